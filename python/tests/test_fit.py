"""Fits: methods, options, callbacks, interruptions, states to go on from."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import random_problem, relative
from scipy.optimize import OptimizeResult
from scipy.optimize import minimize as scipy_minimize

import secondo
from secondo import Network, Problem

METHODS = ["auto", "trust-region", "newton-cg", "lm", "newton-rows", "newton_layers"]


def line():
    return Problem(Network.dense([1, 1]), [[1.0], [2.0], [4.0]], [1.0, 2.5, 3.5])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_line(method):
    fit = line().minimize([0.0, 0.0], method, max_iter=500)
    assert isinstance(fit, OptimizeResult) and isinstance(fit, secondo.Fit)
    assert fit.success and fit.status < 3 and fit.message
    assert np.max(np.abs(fit.x - [11 / 14, 0.5])) < 1e-6
    assert fit.fun == pytest.approx(line().value(fit.x), rel=1e-12)
    assert fit.trace.shape[1] == 4 and fit.trace[-1, 1] <= fit.trace[0, 1]
    assert fit.report["method"] and fit.nit >= 1


@pytest.mark.parametrize("method", METHODS)
def test_a_fit_goes_on_as_if_it_had_not_been_left(method):
    problem, w = random_problem(penalty=1.0)
    whole = problem.minimize(w, method, max_iter=40)
    # Ten steps of L-BFGS, with which auto begins, count as one.
    part = problem.minimize(w, method, max_iter=1 if method == "auto" else 3)
    assert part.status == 3 and not part.success
    for state in (part.state, bytes(part.state), pickle.loads(pickle.dumps(part.state))):
        assert np.array_equal(problem.minimize(state=state, method=method, max_iter=40).x, whole.x)


def test_a_state_of_another_fit_is_refused():
    problem, w = random_problem(penalty=1.0)
    other, _ = random_problem(penalty=2.0)
    part = problem.minimize(w, "trust-region", max_iter=3)
    with pytest.raises(secondo.Error, match="another fit.*penalty"):
        other.minimize(method="trust-region", state=bytes(part.state))
    with pytest.raises(secondo.Error, match="trust-region.*newton-cg"):
        problem.minimize(method="newton-cg", state=part.state)
    with pytest.raises(secondo.Error):
        problem.minimize(method="trust-region", state=b"no state")
    with pytest.raises(TypeError):
        problem.minimize(method="trust-region", state=5)


def test_options_are_checked():
    problem = line()
    with pytest.raises(secondo.Error, match="momentum: auto has no such option; it has .*max_iter"):
        problem.minimize([0.0, 0.0], momentum=0.9)
    with pytest.raises(secondo.Error, match="max_iter: 'many'"):
        problem.minimize([0.0, 0.0], max_iter="many")
    with pytest.raises(secondo.UnknownNameError, match="newton-cg"):
        problem.minimize([0.0, 0.0], "adam")
    with pytest.raises(secondo.Error, match="gtol"):
        problem.minimize([0.0, 0.0], gtol=-1.0)
    with pytest.raises(secondo.Error, match="time_limit"):
        problem.minimize([0.0, 0.0], time_limit=-1.0)
    with pytest.raises(secondo.ShapeError):
        problem.minimize([0.0])


def test_the_callback_sees_the_course():
    seen = []

    def watch(progress):
        seen.append((progress.iteration, progress.value, progress.state.w.copy()))
        assert progress.max_iter > 0 and progress.gradient_norm >= 0 and progress.elapsed >= 0

    problem, w = random_problem(penalty=1.0)
    fit = problem.minimize(w, "trust-region", callback=watch)
    assert [row[0] for row in seen] == list(range(fit.nit + 1))
    assert np.array_equal(seen[0][2], w) and np.array_equal(seen[-1][2], fit.x)
    assert [row[1] for row in seen] == fit.trace[:, 1].tolist()


@pytest.mark.parametrize("how", ["true", "stop"])
def test_the_callback_ends_a_fit(how):
    def watch(progress):
        if progress.iteration == 2:
            if how == "stop":
                raise StopIteration
            return True

    problem, w = random_problem(penalty=1.0)
    fit = problem.minimize(w, "trust-region", callback=watch)
    assert fit.nit == 2 and not fit.success and "interrupted" in fit.message


def test_fits_of_two_threads_run_side_by_side():
    problem, w = random_problem(penalty=1.0, threads=1)
    both = threading.Barrier(2, timeout=60)

    # Each fit stands at its start until the other is there.
    def meet(progress):
        if progress.iteration == 0:
            both.wait()

    with ThreadPoolExecutor(2) as pool:
        fits = list(pool.map(lambda _: problem.minimize(w, "trust-region", callback=meet), range(2)))
    np.testing.assert_array_equal(fits[0].x, fits[1].x)


def test_a_callback_computes_on_threads_of_its_own():
    problem, w = random_problem(penalty=1.0, threads=1)
    seen, fits = [], []

    def watch(progress):
        seen.append(problem.value(progress.state.w))

    # Not in this thread: a computation that waits for itself would not end.
    fit = threading.Thread(target=lambda: fits.append(problem.minimize(w, "trust-region", callback=watch)), daemon=True)
    fit.start()
    fit.join(60)
    assert seen == fits[0].trace[:, 1].tolist()


def test_an_exception_of_the_callback_is_raised_with_the_best_point():
    def watch(progress):
        if progress.iteration == 2:
            raise ZeroDivisionError("mine")

    problem, w = random_problem(penalty=1.0)
    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        problem.minimize(w, "trust-region", callback=watch)
    fit = caught.value.fit
    assert fit.nit == 2 and fit.fun < problem.value(w)
    whole = problem.minimize(w, "trust-region")
    assert np.array_equal(problem.minimize(state=fit.state, method="trust-region").x, whole.x)


def test_progress_is_for_people(capsys):
    line().minimize([0.0, 0.0], progress=True)
    assert capsys.readouterr() == ("", "")


def test_scipy_minimises_a_problem():
    problem, w = random_problem(penalty=1.0)
    ours = problem.minimize(w, "trust-region", gtol=1e-10)
    found = scipy_minimize(problem.value_and_gradient, w, jac=True, hess=problem.hessian, method="trust-exact")
    assert found.success and np.linalg.norm(problem.gradient(found.x)) < 1e-4
    hessp = lambda w, p: problem.linear_operator(w) @ p  # noqa: E731
    found = scipy_minimize(problem.value, w, jac=problem.gradient, hessp=hessp, method="trust-krylov")
    assert found.success and ours.success


def test_models_are_kept(tmp_path):
    problem = line()
    fit = problem.minimize([0.0, 0.0])
    model = secondo.Model(
        problem.network, fit.x, features=["t"], targets=["y"],
        standardization={"x_mean": [1.0], "x_scale": [2.0], "y_mean": [0.0], "y_scale": [1.0]},
    )
    path = tmp_path / "line.safetensors"
    model.save(path)
    copy = secondo.load(path)
    x = np.array([[3.0], [5.0]])
    right = problem.network.predict(fit.x, (x - 1.0) / 2.0)
    assert np.array_equal(copy.predict(x), right) and np.array_equal(copy.w, fit.x)
    assert copy.facts["features"] == ["t"] and copy.network.spec == problem.network.spec
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(x), right)
    with pytest.raises(secondo.FileError, match="cannot read"):
        secondo.load(tmp_path / "none")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(secondo.FileError):
        secondo.load(path)
    with pytest.raises(secondo.FileError, match="cannot write"):
        model.save(tmp_path / "no folder" / "line.safetensors")


@pytest.mark.parametrize("loss, outputs", [("squared_error", 2), ("binary_cross_entropy", 1), ("softmax_cross_entropy", 3), ("poisson", 1)])
def test_onnx_predicts_the_same(tmp_path, loss, outputs):
    runtime = pytest.importorskip("onnxruntime")
    network = secondo.Network(
        2,
        [secondo.layer(4, "tanh"), secondo.layer(3, ["softplus", "mish", "identity"], sources=[0, 1]), secondo.layer(outputs, "identity", bias=False)],
    )
    classes = {"binary_cross_entropy": ["no", "yes"], "softmax_cross_entropy": ["a", "b", "c"]}.get(loss)
    targets = 2 if loss == "squared_error" else 1
    scaling = {"x_mean": [1.0, -2.0], "x_scale": [0.5, 3.0], "y_mean": [0.0] * targets, "y_scale": [1.0] * targets}
    if loss == "squared_error":
        scaling |= {"y_mean": [3.0, 0.0], "y_scale": [2.0, 7.0]}
    model = secondo.Model(
        network, network.initial(seed=3), loss, features=["u", "v"], classes=classes,
        targets=None if loss == "squared_error" else ["y"], standardization=scaling,
    )
    path = tmp_path / "model.onnx"
    model.to_onnx(path)
    x = np.random.default_rng(0).normal(size=(50, 2))
    found = runtime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"X": x})[0]
    assert relative(found, model.predict(x)) < 1e-13
    # Other inputs give other outputs: the comparison can fail.
    assert relative(found, model.predict(x + 1e-6)) > 1e-9


def test_onnx_refuses_what_it_cannot_say(tmp_path):
    network = secondo.Network(1, [secondo.layer(2, "gauss", propagation="rbf_iso_log_sigma"), secondo.layer(1, "identity")])
    model = secondo.Model(network, network.initial(seed=0))
    with pytest.raises(secondo.UnsupportedError, match="linear units"):
        model.to_onnx(tmp_path / "model.onnx")
    with pytest.raises(secondo.FileError, match="cannot write"):
        secondo.Model(secondo.Network.dense([1, 1]), [1.0, 2.0]).to_onnx(tmp_path / "no folder" / "model.onnx")
    assert not list(tmp_path.iterdir())
