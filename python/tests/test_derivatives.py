"""Matrices, blocks and operators against each other and against differences; SciPy's solvers."""

import numpy as np
import pytest
import scipy.optimize
from conftest import random_problem, relative
from scipy.sparse.linalg import LinearOperator, cg, eigsh, lobpcg

import secondo

CURVATURES = ["exact", "gauss-newton", "empirical-fisher", "lagrangian", "residual"]


def test_the_hessian_is_symmetric_and_that_of_differences():
    problem, w = random_problem(penalty=0.1)
    hessian = problem.hessian(w)
    assert np.array_equal(hessian, hessian.T)
    step = 1e-5
    for a in range(len(w)):
        e = step * np.eye(len(w))[a]
        column = (problem.gradient(w + e) - problem.gradient(w - e)) / (2 * step)
        assert np.max(np.abs(column - hessian[:, a])) < 1e-7
    assert scipy.optimize.check_grad(problem.value, problem.gradient, w) < 1e-4


@pytest.mark.parametrize("curvature", CURVATURES)
def test_operators_are_the_matrices(curvature):
    problem, w = random_problem(penalty=0.1)
    dense = problem.curvature(w, curvature)
    operator = problem.linear_operator(w, curvature)
    assert isinstance(operator, LinearOperator) and operator.shape == dense.shape
    vectors = np.random.default_rng(1).normal(size=(len(w), 5))
    assert relative(operator @ vectors, dense @ vectors) < 1e-13
    assert relative(operator.T @ vectors[:, 0], dense @ vectors[:, 0]) < 1e-13
    assert relative(operator.H.matmat(np.asfortranarray(vectors)), dense @ vectors) < 1e-13
    assert relative((2.0 * operator) @ vectors[:, :1], 2.0 * dense @ vectors[:, :1]) < 1e-13


def test_scipy_solves_with_operators():
    problem, w = random_problem(penalty=1.0)
    dense = problem.gauss_newton(w)
    operator = problem.linear_operator(w, "gauss-newton")
    values = np.linalg.eigvalsh(dense)
    largest = eigsh(operator, k=3, return_eigenvectors=False)
    assert relative(np.sort(largest), values[-3:]) < 1e-10
    start = np.random.default_rng(0).normal(size=(len(w), 2))
    found, _ = lobpcg(operator, start, tol=1e-10, maxiter=500)
    assert relative(np.sort(found), values[-2:]) < 1e-6
    right = np.ones(len(w))
    solution, flag = cg(operator, right, rtol=1e-12, maxiter=1000)
    assert flag == 0 and relative(solution, np.linalg.solve(dense, right)) < 1e-8


def test_blocks_are_a_mapping_of_arrays():
    problem, w = random_problem(penalty=1.0)
    dense = problem.gauss_newton(w)
    for structure in ("row-blocks", "layer_blocks"):
        blocks = problem.gauss_newton(w, structure=structure)
        whole = np.zeros_like(dense)
        for key, block in blocks.items():
            place = blocks.range(key)
            whole[place, place] = dense[place, place]
            assert block.flags.c_contiguous
        assert relative(blocks.dense(), whole) < 1e-14
        assert relative(np.asarray(blocks), whole) < 1e-14
        assert relative(blocks.diagonal(), np.diag(dense)) < 1e-14
        right = np.arange(1.0, len(w) + 1)
        assert relative(blocks.solve(right), np.linalg.solve(whole, right)) < 1e-10
        assert relative(blocks @ right, whole @ right) < 1e-13
        assert relative(blocks @ np.eye(len(w)), whole) < 1e-13
        assert relative(blocks.inverse().dense(), np.linalg.inv(whole)) < 1e-10
        assert relative(blocks.eigenvalues(), np.linalg.eigvalsh(whole)) < 1e-12
        assert abs(blocks.log_determinant() - np.linalg.slogdet(whole)[1]) < 1e-10
        with pytest.raises(KeyError):
            blocks[99, 0]
        with pytest.raises(secondo.ShapeError):
            blocks @ right[1:]


def test_the_mean_and_weights():
    random = np.random.default_rng(3)
    network = secondo.Network.dense([2, 3, 1])
    x, y, weights = random.normal(size=(10, 2)), random.normal(size=10), random.integers(0, 4, 10).astype(float)
    w = network.initial(1)
    summed = secondo.Problem(network, x, y, sample_weight=weights)
    repeated = secondo.Problem(network, np.repeat(x, weights.astype(int), 0), np.repeat(y, weights.astype(int)))
    assert relative(summed.hessian(w), repeated.hessian(w)) < 1e-12
    mean = secondo.Problem(network, x, y, sample_weight=weights, mean=True)
    assert relative(mean.hessian(w) * weights.sum(), summed.hessian(w)) < 1e-14


def test_class_numbers_are_one_column_for_each_class():
    random = np.random.default_rng(4)
    network, x, codes = secondo.Network.dense([2, 3, 3]), random.normal(size=(9, 2)), np.arange(9) % 3
    w = network.initial(0)
    numbers = secondo.Problem(network, x, codes, "softmax_cross_entropy")
    columns = secondo.Problem(network, x, np.eye(3)[codes], "softmax_ce")
    assert numbers.value(w) == columns.value(w)
    f = network.predict(w, x)
    right = np.sum(np.log(np.sum(np.exp(f), axis=1)) - f[np.arange(9), codes])
    assert abs(numbers.value(w) - right) < 1e-12 * right


def test_the_order_of_parameters():
    network = secondo.Network.dense([3, 2, 1])
    w = np.arange(network.parameters, dtype=float)
    (first, biases), (second, last) = network.unflatten(w)
    right = np.concatenate([first.ravel(), biases, second.ravel(), last])
    assert np.array_equal(network.to_torch_order(w), right)
    assert np.array_equal(network.from_torch_order(right), w)
    assert np.array_equal(network.flatten(network.unflatten(w)), w)
    square = np.outer(w, w)
    assert np.array_equal(network.to_torch_order(square), np.outer(right, right))
    assert np.array_equal(network.to_torch_order(square, axis=1), np.outer(w, right))


def test_ties():
    network = secondo.Network.dense([1, 2, 1])
    fixed = np.zeros(7)
    # Both hidden units have the same slope; all else is free.
    columns = [0, 1, 0, 2, 3, 4, 5]
    tied = secondo.Network.dense([1, 2, 1], ties=secondo.Ties(fixed, 6, np.arange(7), columns))
    x, y = np.linspace(-1, 1, 5).reshape(-1, 1), np.linspace(0, 1, 5)
    theta = np.random.default_rng(0).normal(size=6)
    c = np.zeros((7, 6))
    c[np.arange(7), columns] = 1.0
    whole, part = secondo.Problem(network, x, y, penalty=0.1), secondo.Problem(tied, x, y, penalty=0.1)
    assert part.parameters == 6 and np.array_equal(tied.weights(theta), c @ theta)
    assert relative(part.gradient(theta), c.T @ whole.gradient(c @ theta)) < 1e-13
    assert relative(part.hessian(theta), c.T @ whole.hessian(c @ theta) @ c) < 1e-13
    with pytest.raises(secondo.UnsupportedError, match="tied"):
        tied.torch_order()


def test_plans():
    problem, _ = random_problem()
    plan = problem.plan("exact")
    assert plan.results >= 8 * problem.parameters * (problem.parameters + 1) // 2
    assert plan.flops > problem.plan().flops > 0
    assert "operations" in str(plan) and problem.plan(products=4).bytes > 0
    small, _ = random_problem(memory_budget=1000)
    with pytest.raises(secondo.OutOfMemoryError) as caught:
        small.plan("exact")
    assert caught.value.need > caught.value.budget and isinstance(caught.value, MemoryError)


def test_f32_and_threads():
    problem, w = random_problem()
    single, _ = random_problem(precision="f32")
    assert 0 < relative(single.hessian(w), problem.hessian(w)) < 1e-5
    two, _ = random_problem(threads=2)
    assert np.array_equal(two.hessian(w), problem.hessian(w)), "no bit depends on the number of threads"
    assert "2 threads" in two.device or "threads" in problem.device
