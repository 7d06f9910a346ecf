// (z, 1) W (z, 1)ᵀ: parameters W row by row.

#include "lib/unit/entries.wgsl"
#include "lib/unit/square.wgsl"

const unit_size = INPUTS + 1u;

fn unit_u(a: u32) -> real {
    if a < INPUTS {
        return z(a);
    }
    return 1.0;
}

fn unit_v(l: u32) -> real {
    return w(l);
}

fn unit_value() -> real {
    return unit_q();
}

fn unit_d_w(a: u32) -> real {
    return unit_q_v(a);
}

fn unit_d_z(c: u32) -> real {
    return unit_q_u(c);
}

fn unit_d_ww(a: u32, b: u32) -> real {
    return unit_q_vv(a, b);
}

fn unit_d_zz(b: u32, c: u32) -> real {
    return unit_q_uu(b, c);
}

fn unit_d_wz(a: u32, c: u32) -> real {
    return unit_q_uv(c, a);
}
