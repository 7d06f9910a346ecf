"""Standard errors, tests and intervals against the textbook's formulas for linear models, and against their own parts."""

import json
import pickle

import numpy as np
import pytest

import secondo
from secondo import Network, Problem


def regression(n=40, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 2))
    return x, x @ [1.0, -2.0] + 0.5 + random.normal(size=n)


def least_squares(x, y):
    """The estimate, φ and the covariance of ordinary least squares, the constant last."""
    z = np.column_stack([x, np.ones(len(x))])
    inverse = np.linalg.inv(z.T @ z)
    w = inverse @ z.T @ y
    phi = np.sum((y - z @ w) ** 2) / (len(y) - 3)
    return w, phi, phi * inverse


def test_a_linear_model_is_ordinary_least_squares():
    stats = pytest.importorskip("scipy.stats")
    x, y = regression()
    w, phi, covariance = least_squares(x, y)
    inference = Problem(Network.dense([2, 1]), x, y).minimize().inference(level=0.9)
    assert inference.refused is None
    assert np.allclose(inference.covariance, covariance, rtol=1e-10)
    assert np.allclose(inference.std_errors, np.sqrt(np.diag(covariance)), rtol=1e-10)
    at = np.array([[0.0, 0.0], [1.0, 3.0]])
    z = np.column_stack([at, np.ones(2)])
    found = inference.predict(at)
    std = np.sqrt(np.sum(z @ covariance * z, axis=1))
    assert np.allclose(found.mean[:, 0], z @ w) and np.allclose(found.std_error[:, 0], std, rtol=1e-9)
    t = stats.t.ppf(0.95, len(y) - 3)
    assert np.allclose(found.upper[:, 0], z @ w + t * std) and np.allclose(found.lower[:, 0], z @ w - t * std)
    assert np.allclose(found.new_upper[:, 0], z @ w + t * np.sqrt(std**2 + phi))
    effects = [effect["slope"] for effect in inference.report["effects"]]
    assert np.allclose(effects, w[:2])
    assert "x1" in inference.summary and str(inference) == inference.summary and "Inference" in repr(inference)
    # White's covariance, by its formula.
    robust = Problem(Network.dense([2, 1]), x, y).inference(w, covariance="hc0").covariance
    z = np.column_stack([x, np.ones(len(x))])
    bread, e = np.linalg.inv(z.T @ z), y - z @ w
    assert np.allclose(robust, bread @ (z.T * e**2) @ z @ bread, rtol=1e-9)
    # The profile of a linear model is the interval itself.
    wald = [[row["lower"], row["upper"]] for row in inference.report["weights"]]
    assert np.allclose(inference.profiles(), wald, rtol=1e-5)
    ratio = inference.likelihood_ratios()[0]["likelihood_ratio"]
    assert abs(ratio["f"] / (w[0] ** 2 / covariance[0, 0]) - 1) < 1e-6


def test_where_there_is_no_minimum_it_says_why():
    x, y = regression()
    inference = Problem(Network.dense([2, 1]), x, y).inference([0.0, 0.0, 0.0])
    assert "minimum" in inference.refused and inference.covariance is None
    assert np.all(np.isnan(inference.std_errors)) and np.all(np.isnan(inference.predict(x).lower))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(information="empirical-fisher"), "information"),
        (dict(covariance="hc9"), "hc3"),
        (dict(dispersion="much"), "residual"),
        (dict(dispersion=-1.0), "positive"),
        (dict(weights_are="what"), "frequency"),
        (dict(level=1.0), "between 0 and 1"),
    ],
)
def test_bad_options(options, words):
    x, y = regression()
    with pytest.raises(secondo.Error, match=words):
        Problem(Network.dense([2, 1]), x, y).inference([0.0] * 3, **options)


def test_bad_names_and_rows():
    x, y = regression()
    problem = Problem(Network.dense([2, 1]), x, y)
    with pytest.raises(secondo.Error, match="2 of inputs and 1 of outputs"):
        problem.inference([0.0] * 3, names=(["a"], ["b"])).summary
    with pytest.raises(secondo.Error, match="columns of X"):
        problem.inference([0.0] * 3).predict(x[:, :1])


def test_estimators_answer_in_the_units_of_the_data():
    pytest.importorskip("sklearn")
    pandas = pytest.importorskip("pandas")
    from secondo import SecondOrderClassifier, SecondOrderRegressor

    x, y = regression()
    frame = pandas.DataFrame(100.0 * x + 7.0, columns=["length", "width"])
    fitted = SecondOrderRegressor((), ridge=0.0).fit(frame, 1000.0 * y)
    w, phi, covariance = least_squares(100.0 * x + 7.0, 1000.0 * y)
    z = np.column_stack([frame.to_numpy(), np.ones(len(x))])
    std = np.sqrt(np.sum(z @ covariance * z, axis=1))
    assert np.allclose(fitted.predict_std(frame), std, rtol=1e-9)
    lower, upper = fitted.predict_interval(frame, 0.5)
    inner = (upper - lower) / std
    lower, upper = fitted.predict_interval(frame, 0.5, new=True)
    assert np.allclose((upper - lower) / np.sqrt(std**2 + phi), inner, rtol=1e-9)
    effects = {effect["name"]: effect["slope"] for effect in fitted.inference().report["effects"]}
    assert effects["length"] == pytest.approx(w[0]) and effects["width"] == pytest.approx(w[1])
    assert "length" in fitted.summary_
    assert np.allclose(pickle.loads(pickle.dumps(fitted)).predict_std(frame), std, rtol=1e-9)
    stopped = SecondOrderRegressor((4,), early_stopping=True, patience=1, random_state=0).fit(frame, y)
    with pytest.raises(secondo.LinearAlgebraError, match="no standard errors"):
        stopped.predict_std(frame)
    robust = SecondOrderRegressor((), loss={"type": "logcosh", "delta": 1.0}, ridge=0.0).fit(frame, y)
    assert np.all(robust.predict_std(frame) > 0)
    with pytest.raises(secondo.UnsupportedError, match="squared errors"):
        robust.predict_interval(frame, new=True)
    assert not hasattr(SecondOrderRegressor(), "summary_")
    labels = np.where(y > 0, "above", "below")
    classifier = SecondOrderClassifier((), random_state=0).fit(frame, labels)
    assert "below" in classifier.summary_ and json.dumps(classifier.inference().report)
    found = classifier.inference().predict(frame)
    assert np.all((found.lower > 0) & (found.upper < 1)) and found.new_lower is None
