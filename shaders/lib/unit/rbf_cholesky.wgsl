// ‖Lᵀ(z − μ)‖²: parameters μ, then the lower triangle of L row by row, ln L_aa on its diagonal.

#include "lib/unit/centred.wgsl"
#include "lib/exp.wgsl"

fn unit_place(a: u32, b: u32) -> u32 {
    return a * (a + 1u) / 2u + b;
}

fn unit_entry_of(l: u32) -> vec2<u32> {
    var row = 0u;
    while unit_place(row + 1u, 0u) <= l {
        row++;
    }
    return vec2<u32>(row, l - unit_place(row, 0u));
}

fn unit_factor(a: u32, b: u32) -> real {
    if a < b {
        return 0.0;
    }
    let entry = unit_v(unit_place(a, b));
    if a == b {
        return exp_(entry);
    }
    return entry;
}

// ∂L_ab/∂v.
fn unit_slope(a: u32, b: u32) -> real {
    if a == b {
        return unit_factor(a, a);
    }
    return 1.0;
}

// (Lᵀu)_b.
fn unit_y(b: u32) -> real {
    var sum = real(0.0);
    for (var a = b; a < unit_size; a++) {
        sum += unit_factor(a, b) * unit_u(a);
    }
    return sum;
}

fn unit_q() -> real {
    var sum = real(0.0);
    for (var b = 0u; b < unit_size; b++) {
        let part = unit_y(b);
        sum += part * part;
    }
    return sum;
}

fn unit_q_u(a: u32) -> real {
    var sum = real(0.0);
    for (var b = 0u; b <= a; b++) {
        sum += unit_factor(a, b) * unit_y(b);
    }
    return 2.0 * sum;
}

fn unit_q_v(l: u32) -> real {
    let at = unit_entry_of(l);
    return 2.0 * unit_y(at.y) * unit_u(at.x) * unit_slope(at.x, at.y);
}

fn unit_q_uu(a: u32, c: u32) -> real {
    var sum = real(0.0);
    for (var b = 0u; b <= min(a, c); b++) {
        sum += unit_factor(a, b) * unit_factor(c, b);
    }
    return 2.0 * sum;
}

fn unit_q_uv(c: u32, l: u32) -> real {
    let at = unit_entry_of(l);
    var sum = unit_factor(c, at.y) * unit_u(at.x);
    if c == at.x {
        sum += unit_y(at.y);
    }
    return 2.0 * sum * unit_slope(at.x, at.y);
}

fn unit_q_vv(l: u32, m: u32) -> real {
    let at = unit_entry_of(l);
    let to = unit_entry_of(m);
    if at.y != to.y {
        return 0.0;
    }
    var sum = unit_u(at.x) * unit_slope(at.x, at.y) * unit_u(to.x) * unit_slope(to.x, to.y);
    if l == m && at.x == at.y {
        // L_aa″ = L_aa.
        sum += unit_y(at.y) * unit_u(at.x) * unit_slope(at.x, at.x);
    }
    return 2.0 * sum;
}
