// partial[split, e] = sum_i c[i] z[i, a_1] … z[i, a_ORDER] over the 512 samples of a split, for the entries e of a symmetric tensor from
// `first` on, a_1 ≥ … ≥ a_ORDER, a_1 growing slowest.

// C(a + r − 1, r): entries of a tensor of order r whose indices are below a. The host keeps r times that below 2³².
fn entries(a: u32, r: u32) -> u32 {
    var count = 1u;
    for (var s = 0u; s < r; s++) {
        count = count * (a + s) / (s + 1u);
    }
    return count;
}

fn element(split: u32, line: u32, e: u32) {
    let begin = split * 512u;
    let end = min(begin + 512u, params.n);
    // Before the entries with a_1 = a stand those whose indices are all below a; and so on behind a_1.
    var rest = params.first + e;
    var a = params.width - 1u;
#for r in 0..$ORDER
    while entries(a, ${ORDER}u - ${r}u) > rest {
        a -= 1u;
    }
    rest -= entries(a, ${ORDER}u - ${r}u);
    let a_$r = at_z(0u, 0u, a);
#end
    var sum = real();
    for (var i = begin; i < end; i++) {
        var product = c[at_c(i, 0u, 0u)];
#for r in 0..$ORDER
        product *= z[i * params.z_i + a_$r];
#end
        sum += product;
    }
    partial[at_partial(split, line, e)] = sum;
}
