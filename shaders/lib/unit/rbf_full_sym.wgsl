// (z − μ)ᵀ M (z − μ): parameters μ, then the upper triangle of the symmetric M row by row.

#include "lib/unit/centred.wgsl"
#include "lib/unit/entries.wgsl"

fn unit_place(a: u32, b: u32) -> u32 {
    let row = min(a, b);
    return row * (2u * unit_size - row - 1u) / 2u + max(a, b);
}

fn unit_entry_of(l: u32) -> vec2<u32> {
    var row = 0u;
    while row + 1u < unit_size && unit_place(row + 1u, row + 1u) <= l {
        row++;
    }
    return vec2<u32>(row, row + l - unit_place(row, row));
}

fn unit_weight(l: u32) -> real {
    let at = unit_entry_of(l);
    return select(real(2.0), real(1.0), at.x == at.y);
}
