// (z − μ)ᵀ M (z − μ): parameters μ, then M row by row.

#include "lib/unit/centred.wgsl"
#include "lib/unit/entries.wgsl"
#include "lib/unit/square.wgsl"
