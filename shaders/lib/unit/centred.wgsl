// p = q(u; v) with u = z − μ, for parameters μ, v: every derivative of p from those of q (src/network/radial.rs).

const unit_size = INPUTS; // the length of u

fn unit_u(a: u32) -> real {
    return z(a) - w(a);
}

fn unit_v(l: u32) -> real {
    return w(INPUTS + l);
}

fn unit_value() -> real {
    return unit_q();
}

fn unit_d_w(a: u32) -> real {
    if a < INPUTS {
        return -unit_q_u(a);
    }
    return unit_q_v(a - INPUTS);
}

fn unit_d_z(c: u32) -> real {
    return unit_q_u(c);
}

fn unit_d_ww(a: u32, b: u32) -> real {
    if a < INPUTS && b < INPUTS {
        return unit_q_uu(a, b);
    }
    if a < INPUTS {
        return -unit_q_uv(a, b - INPUTS);
    }
    if b < INPUTS {
        return -unit_q_uv(b, a - INPUTS);
    }
    return unit_q_vv(a - INPUTS, b - INPUTS);
}

fn unit_d_zz(b: u32, c: u32) -> real {
    return unit_q_uu(b, c);
}

fn unit_d_wz(a: u32, c: u32) -> real {
    if a < INPUTS {
        return -unit_q_uu(a, c);
    }
    return unit_q_uv(c, a - INPUTS);
}
