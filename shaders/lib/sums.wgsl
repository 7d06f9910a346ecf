// Shared by all kernels that sum over samples: sum_i c[i, j] · (something of phi[i, j, ·])_e.
//
// The samples are cut into splits of `run` samples, the units and the triangle's rows into windows. One launch is for one window:
//     partial[split, j, e],  split < ceil(n / run), j < units, e < entries of the rows a0 ≤ a < a1 of the output.
// A workgroup has one tile of the output and one split; `tiles` is the number of tiles of one unit's (or one unit tile's) output in
// the window, `first_tile` the number of the first among all of them. Its accumulators run over a block of at most BLOCK samples and are
// then added into the workgroup's own elements of `partial`, so that the error of a sum in f32 does not grow with n.

const BLOCK = 512u;

// Adds a block's sum to entry e of unit j; the split's first block starts it.
fn add(split: u32, j: u32, e: u32, fresh: bool, value: real) {
    let at = at_partial(split, j, e);
    var sum = value;
    if !fresh {
        sum += partial[at];
    }
    partial[at] = sum;
}
