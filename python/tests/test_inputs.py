"""Bad input is a clear exception, good input of any layout the same numbers."""

import gc
import os
import sys

import numpy as np
import pytest
from conftest import random_problem

import secondo
from secondo import Network, Problem

NETWORK = Network.dense([2, 3, 1])
X, Y = np.arange(10.0).reshape(5, 2) / 10, np.arange(5.0)


def test_layouts_and_dtypes_give_the_same_numbers():
    w = NETWORK.initial(0)
    right = Problem(NETWORK, X, Y).value(w)
    wide = np.zeros((10, 4))
    wide[::2, ::2] = X
    misaligned = np.frombuffer(b"\0" + X.tobytes(), dtype=np.uint8)[1:].view(np.float64).reshape(5, 2)
    same = [
        np.asfortranarray(X), wide[::2, ::2], X[::-1][::-1], misaligned, X.astype(">f8"), X.tolist(), X.astype(np.longdouble),
    ]
    for x in same:
        assert Problem(NETWORK, x, Y).value(w) == right
    assert Problem(NETWORK, X, Y.astype(int)).value(w) == right
    assert Problem(NETWORK, X, Y.reshape(-1, 1)).value(w) == right
    assert Problem(NETWORK, X, Y).value(np.repeat(w, 2)[::2]) == right
    assert abs(Problem(NETWORK, X.astype(np.float32), Y).value(w) - right) < 1e-5


def test_frames():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    w = NETWORK.initial(0)
    right = Problem(NETWORK, X, Y).value(w)
    assert Problem(NETWORK, pandas.DataFrame(X), pandas.Series(Y)).value(w) == right
    assert Problem(NETWORK, polars.DataFrame(X), polars.Series(Y)).value(w) == right


def test_a_vector_of_float64_is_not_copied():
    from secondo._arrays import matrix, vector

    w = NETWORK.initial(0)
    assert vector(w, "w") is w
    assert np.shares_memory(matrix(X, "X"), X)


def held(problem):
    """X as the problem holds it."""
    return problem._core.data()[0]


def test_x_is_held_where_it_lies(tmp_path):
    w = NETWORK.initial(0)
    x = X.copy()
    problem = Problem(NETWORK, x, Y)
    assert held(problem).ctypes.data == x.ctypes.data
    right = problem.value(w)
    # The library reads this memory, and it stays while the problem lives.
    count = sys.getrefcount(x)
    assert not np.shares_memory(held(Problem(NETWORK, np.asfortranarray(x), Y)), x)
    mapped = np.memmap(tmp_path / "x", dtype=np.float64, mode="w+", shape=x.shape)
    mapped[:] = x
    other = Problem(NETWORK, mapped, Y)
    assert held(other).ctypes.data == mapped.ctypes.data and other.value(w) == right
    del mapped
    assert other.value(w) == right
    del problem
    gc.collect()
    assert sys.getrefcount(x) < count


def test_changed_numbers_are_seen():
    """A planted fault: were X copied, the value would stay."""
    x = X.copy()
    problem, w = Problem(NETWORK, x, Y), NETWORK.initial(0)
    before = problem.outputs(w)
    x[0] += 1.0
    fresh = Problem(NETWORK, x, Y)
    assert held(problem) is x and not np.array_equal(fresh.outputs(w), before)


@pytest.mark.skipif("SECONDO_TEST_LARGE" not in os.environ, reason="SECONDO_TEST_LARGE=1 asks for 2 GB")
def test_two_gigabytes_of_x():
    resource = pytest.importorskip("resource")
    n = 25_000_000
    x = np.full((n, 10), 0.5)
    network = Network.dense([10, 1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    problem = Problem(network, x, np.ones(n))
    value, gradient = problem.value_and_gradient(np.zeros(11))
    assert value == n / 2 and np.allclose(gradient, np.r_[np.full(10, -n / 2), -n])
    # Y, the weights, and a chunk: no second X.
    assert 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < x.nbytes / 2


def test_results_own_their_memory():
    problem, w = random_problem()
    gradient = problem.gradient(w)
    before = gradient.copy()
    del problem
    assert np.array_equal(gradient, before) and gradient.flags.writeable


BAD = [
    (dict(X=X[:, :1]), secondo.ShapeError, "columns of X: expected 2, found 1"),
    (dict(y=Y[:3]), secondo.ShapeError, "rows of Y: expected 5, found 3"),
    (dict(y=np.ones((5, 2))), secondo.ShapeError, "columns of Y"),
    (dict(X=X[0]), secondo.Error, "reshape"),
    (dict(X=X[np.newaxis]), secondo.Error, "a matrix is needed"),
    (dict(X=X[:0], y=Y[:0]), secondo.Error, "there are no rows"),
    (dict(X=np.where(X == X[1, 1], np.nan, X)), secondo.NonFiniteError, "row 1, column 1"),
    (dict(y=np.where(Y == 2, np.inf, Y)), secondo.NonFiniteError, "row 2"),
    (dict(X=X.astype(object)), secondo.Error, "dtype object"),
    (dict(X=X.astype(str)), secondo.Error, "numbers are needed"),
    (dict(X=X + 0j), secondo.Error, "complex128"),
    (dict(X=[[1, 2], [3]]), secondo.Error, "not an array of numbers"),
    (dict(X=np.ma.masked_less(X, 0.1)), secondo.Error, "masked"),
    (dict(loss="nonsense"), secondo.Error, "unknown loss 'nonsense'"),
    (dict(loss={"type": "logcosh"}), secondo.Error, "delta"),
    (dict(loss="binary_cross_entropy"), secondo.Error, "target of sample 2"),
    (dict(penalty=-1.0), secondo.Error, "-1"),
    (dict(penalty="much"), secondo.Error, "a finite number, a dict or None"),
    (dict(penalty=np.nan), secondo.Error, "a finite number, a dict or None"),
    (dict(X=X * 1j), secondo.Error, "real numbers"),
    (dict(penalty={"type": "nothing"}), secondo.Error, "unknown penalty"),
    (dict(sample_weight=-np.ones(5)), secondo.Error, "must not be negative"),
    (dict(sample_weight=np.zeros(5)), secondo.Error, "all are 0"),
    (dict(sample_weight=np.ones(4)), secondo.ShapeError, "sample weights"),
    (dict(device="abacus"), secondo.Error, "device: must be"),
    (dict(device="gpu:no such adapter"), secondo.DeviceError, "no such adapter"),
    (dict(precision="f16"), secondo.Error, "'f32', 'f64' or None"),
    (dict(threads=0), secondo.Error, "between 1 and 1024"),
    (dict(threads=-1), secondo.Error, "threads: must be between"),
    (dict(threads=1.5), secondo.Error, "threads: a whole number"),
    (dict(memory_budget=-1), secondo.Error, "memory_budget: must be"),
    (dict(loss=None), secondo.Error, "loss: a name or a dict"),
]


@pytest.mark.parametrize(("change", "kind", "words"), BAD)
def test_bad_problems(change, kind, words):
    arguments = {"network": NETWORK, "X": X, "y": Y, **change}
    with pytest.raises(kind, match=words) as caught:
        Problem(**arguments)
    assert isinstance(caught.value, ValueError)


def test_sparse_matrices_are_refused():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(secondo.Error, match="sparse"):
        Problem(NETWORK, sparse.csr_array(X), Y)


def test_what_is_no_network():
    with pytest.raises(secondo.Error, match="secondo.Network is needed"):
        Problem("net", X, Y)


@pytest.mark.parametrize(
    ("w", "kind", "words"),
    [
        (np.ones(3), secondo.ShapeError, "expected 13, found 3"),
        (np.full(13, np.nan), secondo.NonFiniteError, "index 0"),
        (np.ones((13, 1)), secondo.Error, "a vector is needed"),
        (["a"] * 13, secondo.Error, "numbers are needed"),
        (1.0, secondo.Error, "a vector is needed"),
    ],
)
def test_bad_parameters(w, kind, words):
    problem = Problem(NETWORK, X, Y)
    for method in (problem.value, problem.gradient, problem.hessian, problem.jacobian, problem.linear_operator, problem.multipliers):
        with pytest.raises(kind, match=words):
            method(w)


def test_bad_names_list_the_good_ones():
    problem = Problem(NETWORK, X, Y)
    w = NETWORK.initial(0)
    with pytest.raises(secondo.UnknownNameError, match="gauss-newton") as caught:
        problem.curvature(w, "nonsense")
    assert "exact" in caught.value.known
    with pytest.raises(secondo.UnknownNameError, match="row-blocks"):
        problem.hessian(w, structure="rows")
    with pytest.raises(secondo.Error, match="unknown activation"):
        Network.dense([1, 1, 1], "nonsense")
    with pytest.raises(secondo.UnknownNameError, match="glorot"):
        NETWORK.initial(0, "nonsense")


def test_bad_networks():
    with pytest.raises(secondo.Error, match="at least the inputs and the outputs"):
        Network.dense([1])
    with pytest.raises(secondo.Error, match="layer"):
        Network(1, [])
    with pytest.raises(secondo.Error):
        Network(1, [secondo.layer(1, sources=[5])])
    with pytest.raises(secondo.Error):
        Network.dense([1, -1])
    with pytest.raises(secondo.Error, match="spec"):
        Network(1, [{"units": object(), "activations": "tanh"}])
    with pytest.raises(secondo.Error, match="outside|lies"):
        Network.dense([1, 1], ties=secondo.Ties([0.0, 0.0], 1, [7], [0]))
    with pytest.raises(secondo.ShapeError):
        Network.dense([1, 1], ties=secondo.Ties([0.0], 1, [0], [0]))


def test_whole_numbers_and_lengths_of_a_network():
    network = Network.dense([2, 3, 1])
    for seed in (-1, 1 << 64, 0.5, "one"):
        with pytest.raises(secondo.Error, match="seed"):
            network.initial(seed)
    w = network.initial(np.int64(3))
    with pytest.raises(secondo.Error, match="threads"):
        network.predict(w, [[1.0, 2.0]], threads=-1)
    with pytest.raises(secondo.ShapeError):
        network.unflatten(w[:-1])


def test_an_operator_refuses_wrong_vectors():
    problem, w = random_problem()
    operator = problem.linear_operator(w)
    with pytest.raises(ValueError):
        operator @ np.ones(3)
    with pytest.raises(secondo.NonFiniteError):
        operator @ np.full(len(w), np.nan)


def test_formulas_are_activations():
    problem = Problem(Network.dense([2, 3, 1], "u/(1+u^2)"), X, Y)
    named = Problem(Network.dense([2, 3, 1], "tanh(u)"), X, Y)
    w = NETWORK.initial(0)
    assert problem.hessian(w).shape == (13, 13)
    assert abs(named.value(w) - Problem(NETWORK, X, Y).value(w)) < 1e-13
    assert secondo.activation("tanh", 0.0)[:2] == [0.0, 1.0]
