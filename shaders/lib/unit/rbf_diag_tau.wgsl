// Σ_a τ_a (z_a − μ_a)²: parameters μ, then the τ_a.

#include "lib/unit/centred.wgsl"
#include "lib/unit/diagonal.wgsl"
#include "lib/unit/tau.wgsl"

fn unit_place(a: u32) -> u32 {
    return a;
}
