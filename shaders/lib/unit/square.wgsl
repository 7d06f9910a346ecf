// All entries of M, row by row.

fn unit_place(a: u32, b: u32) -> u32 {
    return a * unit_size + b;
}

fn unit_entry_of(l: u32) -> vec2<u32> {
    return vec2<u32>(l / unit_size, l % unit_size);
}

fn unit_weight(l: u32) -> real {
    return 1.0;
}
