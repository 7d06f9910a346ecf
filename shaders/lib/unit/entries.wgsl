// q = uᵀ M u with the entries of M as parameters: entry (a, b) is unit_v(unit_place(a, b)), and parameter l is the entry at
// unit_entry_of(l), which stands unit_weight(l) times in M.

fn unit_q() -> real {
    var sum = real(0.0);
    for (var a = 0u; a < unit_size; a++) {
        for (var b = 0u; b < unit_size; b++) {
            sum += unit_u(a) * unit_v(unit_place(a, b)) * unit_u(b);
        }
    }
    return sum;
}

fn unit_q_u(a: u32) -> real {
    var sum = real(0.0);
    for (var b = 0u; b < unit_size; b++) {
        sum += unit_q_uu(a, b) * unit_u(b);
    }
    return sum;
}

fn unit_q_v(l: u32) -> real {
    let at = unit_entry_of(l);
    return unit_weight(l) * (unit_u(at.x) * unit_u(at.y));
}

fn unit_q_uu(a: u32, b: u32) -> real {
    return unit_v(unit_place(a, b)) + unit_v(unit_place(b, a));
}

fn unit_q_uv(a: u32, l: u32) -> real {
    let at = unit_entry_of(l);
    var sum = real(0.0);
    if a == at.x {
        sum += unit_u(at.y);
    }
    if a == at.y {
        sum += unit_u(at.x);
    }
    return unit_weight(l) * sum;
}

fn unit_q_vv(l: u32, m: u32) -> real {
    return 0.0;
}
