// out[i, j] = Σ_oq J[i, o, j] G[i, o, q] J[i, q, j] for o, q < outputs: the diagonals of Jᵀ G J.

fn element(i: u32, r: u32, j: u32) {
    var sum = real(0.0);
    for (var o = 0u; o < params.outputs; o++) {
        var inner = real(0.0);
        for (var q = 0u; q < params.outputs; q++) {
            inner += hessian[at_hessian(i, o, q)] * jacobian[at_jacobian(i, q, j)];
        }
        sum += jacobian[at_jacobian(i, o, j)] * inner;
    }
    out[at_out(i, r, j)] = sum;
}
