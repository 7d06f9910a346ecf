// τ ‖z − μ‖²: parameters μ, then ln σ.

#include "lib/unit/centred.wgsl"
#include "lib/unit/diagonal.wgsl"
#include "lib/unit/log_sigma.wgsl"

fn unit_place(a: u32) -> u32 {
    return 0u;
}
