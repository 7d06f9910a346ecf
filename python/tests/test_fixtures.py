"""Stored derivatives by JAX, through Python to 1e-13 of the largest entry."""

import numpy as np
import pytest
from conftest import relative

import secondo

TOLERANCE = 1e-13


def built(reference):
    network = secondo.Network.from_spec(reference["spec"])
    problem = secondo.Problem(
        network,
        reference["X"],
        reference["Y"],
        reference["loss"],
        reference["penalty"],
        reference["sample_weights"],
    )
    return problem, np.array(reference["W"], dtype=float)


def test_value_gradient_outputs(reference):
    problem, w = built(reference)
    value, gradient = problem.value_and_gradient(w)
    assert abs(value - reference["value"]) <= TOLERANCE * abs(reference["value"])
    assert problem.value(w) == value
    assert relative(gradient, reference["grad"]) < TOLERANCE
    assert relative(problem.gradient(w), reference["grad"]) < TOLERANCE
    assert relative(problem.outputs(w), reference["outputs"]) < TOLERANCE
    assert relative(problem.network.predict(w, reference["X"]), reference["outputs"]) < TOLERANCE


def test_matrices(reference):
    problem, w = built(reference)
    hessian = np.array(reference["hessian"] or reference["hessian_data"])
    penalty = reference["hessian_penalty"]
    gauss_newton = np.array(reference["gauss_newton_data"]) + (0.0 if penalty is None else np.array(penalty))
    residual = np.array(reference["hessian_data"]) - np.array(reference["gauss_newton_data"])
    assert relative(problem.hessian(w), hessian) < TOLERANCE
    assert relative(problem.gauss_newton(w), gauss_newton) < TOLERANCE
    size = np.max(np.abs(hessian))
    assert np.max(np.abs(problem.residual(w) - residual)) < TOLERANCE * size
    assert relative(problem.diagonal(w), np.diag(hessian)) < TOLERANCE
    assert relative(problem.hessian(w, structure="diagonal"), np.diag(hessian)) < TOLERANCE
    for structure, ranges in (("layer-blocks", reference["layer_ranges"]), ("row-blocks", None)):
        blocks = problem.hessian(w, structure=structure)
        assert isinstance(blocks, secondo.Blocks)
        for key, block in blocks.items():
            place = blocks.range(key)
            assert np.max(np.abs(block - hessian[place, place])) < TOLERANCE * size
        if ranges is not None:
            assert [[blocks.range(key).start, blocks.range(key).stop] for key in blocks] == [r for r in ranges if r[0] < r[1]]


def test_products(reference):
    problem, w = built(reference)
    v = np.array(reference["v"], dtype=float)
    assert relative(problem.linear_operator(w) @ v, reference["hvp"]) < TOLERANCE
    both = problem.linear_operator(w) @ np.column_stack([v, -2.0 * v])
    assert relative(both[:, 0], reference["hvp"]) < TOLERANCE
    assert relative(both[:, 1], -2.0 * np.array(reference["hvp"])) < TOLERANCE


def test_jacobian_and_multipliers(reference):
    problem, w = built(reference)
    assert relative(problem.jacobian(w), reference["jacobian"]) < TOLERANCE
    states, multipliers = problem.configuration(w)
    for found, right in zip(problem.multipliers(w), reference["multipliers"], strict=True):
        assert relative(found, right) < TOLERANCE
    for found, right in zip(multipliers, reference["multipliers"], strict=True):
        assert relative(found, right) < TOLERANCE
    for found, right in zip(states, reference["hidden"], strict=False):
        assert relative(found, right) < TOLERANCE


def test_lagrangian(reference):
    if reference["penalty"] is not None:
        reference = {**reference, "penalty": None}
    problem, w = built(reference)
    blocks = problem.lagrangian(w, structure="row-blocks")
    size = max(np.max(np.abs(row["lagrangian"])) for row in reference["row_blocks"])
    for row in reference["row_blocks"]:
        found = blocks[row["layer"], row["row"]]
        assert np.max(np.abs(found - np.array(row["lagrangian"]))) < TOLERANCE * size
    point = problem.lagrangian_at(w, *problem.configuration(w))
    assert abs(point.value - reference["value_data"]) < 1e-12 * abs(reference["value_data"])
    assert max(np.max(np.abs(d)) for d in point.d_x) < 1e-12 * max(np.max(np.abs(point.d_w)), 1.0)
    assert relative(point.d_w, reference["grad_data"]) < TOLERANCE


def test_tensors(reference):
    higher = reference.get("higher_order")
    if not higher:
        pytest.skip("the file has none")
    problem, w = built(reference)
    for order, name in ((3, "third"), (4, "fourth")):
        if name in higher:
            found = problem.lagrangian_tensor(w, order, layer=higher["layer"], unit=higher["row"])
            assert relative(found, higher[name]) < TOLERANCE


def test_a_wrong_weight_is_found(reference):
    problem, w = built(reference)
    w[0] += 1e-9
    assert relative(problem.gradient(w), reference["grad"]) > TOLERANCE
