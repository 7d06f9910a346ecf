// q = Σ_a τ u_a², τ from the parameter unit_v(unit_place(a)); unit_tau(v) gives τ, τ′ and τ″ there.

fn unit_tau_of(a: u32) -> vec3<real> {
    return unit_tau(unit_v(unit_place(a)));
}

fn unit_q() -> real {
    var sum = real(0.0);
    for (var a = 0u; a < unit_size; a++) {
        sum += unit_tau_of(a).x * unit_u(a) * unit_u(a);
    }
    return sum;
}

fn unit_q_u(a: u32) -> real {
    return 2.0 * unit_tau_of(a).x * unit_u(a);
}

fn unit_q_v(l: u32) -> real {
    var sum = real(0.0);
    for (var a = 0u; a < unit_size; a++) {
        if unit_place(a) == l {
            sum += unit_tau_of(a).y * unit_u(a) * unit_u(a);
        }
    }
    return sum;
}

fn unit_q_uu(a: u32, b: u32) -> real {
    return select(real(0.0), 2.0 * unit_tau_of(a).x, a == b);
}

fn unit_q_uv(a: u32, l: u32) -> real {
    return select(real(0.0), 2.0 * unit_tau_of(a).y * unit_u(a), unit_place(a) == l);
}

fn unit_q_vv(l: u32, m: u32) -> real {
    var sum = real(0.0);
    for (var a = 0u; a < unit_size; a++) {
        if unit_place(a) == l && l == m {
            sum += unit_tau_of(a).z * unit_u(a) * unit_u(a);
        }
    }
    return sum;
}
