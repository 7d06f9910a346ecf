"""Any Python function: through secondo's own door and through SciPy's."""

import numpy as np
import pytest
import scipy.optimize
from scipy.optimize import OptimizeResult, rosen, rosen_der, rosen_hess, rosen_hess_prod

import secondo

START = np.array([-1.2, 1.0, 0.5])


def test_rosenbrock_by_matrix_by_products_and_through_scipy():
    ways = [
        secondo.minimize(rosen, START, jac=rosen_der, hess=rosen_hess),
        secondo.minimize(rosen, START, jac=rosen_der, hessp=rosen_hess_prod),
        secondo.minimize(lambda x: (rosen(x), rosen_der(x)), START, jac=True, hess=rosen_hess),
        scipy.optimize.minimize(rosen, START, jac=rosen_der, hess=rosen_hess, method=secondo.trust_region),
        scipy.optimize.minimize(
            lambda x: (rosen(x), rosen_der(x)), START, jac=True, hess=rosen_hess, method=secondo.trust_region,
            options={"gtol": 1e-10, "maxiter": 500},
        ),
    ]
    for found in ways:
        assert isinstance(found, OptimizeResult) and found.success, found
        assert np.max(np.abs(found.x - 1.0)) < 1e-8
        assert found.nfev > 0 and found.nhev > 0 and found.message


def test_arguments_and_the_callback():
    seen = []
    found = secondo.minimize(
        lambda x, c: np.sum((x - c) ** 2), [0.0, 0.0], (3.0,), jac=lambda x, c: 2 * (x - c), hess=lambda x, c: 2 * np.eye(2),
        callback=lambda intermediate_result: seen.append(intermediate_result.fun),
    )
    assert np.max(np.abs(found.x - 3.0)) < 1e-12 and seen[0] == 18.0 and seen[-1] < 1e-12


def test_a_saddle_is_left():
    found = secondo.minimize(
        lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4, [0.0, 0.0],
        jac=lambda x: np.array([2 * x[0], -2 * x[1] + 4 * x[1] ** 3]),
        hess=lambda x: np.diag([2.0, -2 + 12 * x[1] ** 2]),
    )
    assert found.success and abs(found.fun + 0.25) < 1e-14


def test_nan_is_where_a_function_is_not_defined():
    found = secondo.minimize(
        lambda x: x[0] - np.log(x[0]) if x[0] > 0 else np.nan, [0.01], jac=lambda x: 1 - 1 / x, hess=lambda x: np.diag(1 / x**2)
    )
    assert found.success and abs(found.x[0] - 1) < 1e-8


@pytest.mark.parametrize("where", ["fun", "jac", "hess"])
@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt])
def test_exceptions_are_raised_with_the_best_point(where, kind):
    count = 0

    def fails(name, function):
        def call(x):
            nonlocal count
            if name == where:
                count += 1
                if count == 4:
                    raise kind("mine")
            return function(x)

        return call

    with pytest.raises(kind, match="mine") as caught:
        secondo.minimize(
            fails("fun", rosen), START, jac=fails("jac", rosen_der), hess=fails("hess", rosen_hess)
        )
    assert caught.value.fit.fun <= rosen(START) and not caught.value.fit.success


def test_stop_iteration_ends_it():
    def stop(intermediate_result):
        if intermediate_result.fun < 1.0:
            raise StopIteration

    found = secondo.minimize(rosen, START, jac=rosen_der, hess=rosen_hess, callback=stop)
    assert not found.success and "interrupted" in found.message and found.fun < rosen(START)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(jac=None), "jac"),
        (dict(hess=None), "hess"),
        (dict(hess="2-point"), "hess"),
        (dict(bounds=[(0, 1)] * 3), "bounds"),
        (dict(constraints=[{"type": "eq", "fun": rosen}]), "constraints"),
        (dict(jac=lambda x: x[:2]), "the gradient: expected 3, found 2"),
        (dict(hess=lambda x: np.eye(2)), "the Hessian: expected 3 × 3, found 2 × 2"),
        (dict(fun=lambda x: x), "the function's value"),
        (dict(nonsense=1), "no such option"),
        (dict(gtol=-1.0), "gtol"),
        (dict(x0=[np.nan] * 3), "x0|start|finite"),
    ],
)
def test_bad_arguments(change, words):
    arguments = {"fun": rosen, "x0": START, "jac": rosen_der, "hess": rosen_hess, **change}
    with pytest.raises(secondo.Error, match=words):
        secondo.minimize(**arguments)
