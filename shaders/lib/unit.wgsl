// A unit's own text, and what it may call. A kernel says by at() which sample and which unit of its window is meant. The text's own
// names start with unit_, and no kernel's do.

const INPUTS: u32 = $INPUTS;
const PARAMETERS: u32 = $PARAMETERS;

var<private> sample: u32;
var<private> row: u32;

fn at(i: u32, j: u32) {
    sample = i;
    row = j;
}

// Input c.
fn z(c: u32) -> real {
    return inputs[at_inputs(sample, 0u, c)];
}

// Parameter a.
fn w(a: u32) -> real {
    return weights[at_weights(0u, row, a)];
}

#include UNIT
