"""scikit-learn's own checks, whole, and what they leave out."""

import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from secondo import RBFRegressor, SecondOrderClassifier, SecondOrderRegressor

warnings.simplefilter("ignore", ConvergenceWarning)


@parametrize_with_checks(
    [SecondOrderRegressor((3,)), SecondOrderClassifier((3,)), RBFRegressor(3)]
)
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_the_constant_function_is_the_mean():
    x, y = np.zeros((4, 1)), np.array([1.0, 2.0, 3.0, 10.0])
    fitted = SecondOrderRegressor((), ridge=0.0).fit(x, y, [1.0, 1.0, 1.0, 0.0])
    assert np.allclose(fitted.predict(x), 2.0)


def test_a_linear_model_is_ridge_regression():
    x, y = load_diabetes(return_X_y=True)
    z = (x - x.mean(0)) / x.std(0)
    t = (y - y.mean()) / y.std()
    right = np.linalg.solve(z.T @ z + 2.0 * np.eye(10), z.T @ t)
    fitted = SecondOrderRegressor((), ridge=2.0).fit(x, y)
    assert np.allclose(fitted.w_[:10], right, atol=1e-10)


def test_pipelines_searches_and_frames():
    pandas = pytest.importorskip("pandas")
    frame = load_wine(as_frame=True)
    search = GridSearchCV(
        make_pipeline(StandardScaler().set_output(transform="pandas"), SecondOrderClassifier((3,), random_state=0)),
        {"secondorderclassifier__ridge": [0.1, 1.0]},
        cv=3,
    ).fit(frame.data, frame.target)
    assert search.best_score_ > 0.9
    assert list(search.best_estimator_[-1].feature_names_in_) == list(frame.data.columns)
    assert isinstance(frame.data, pandas.DataFrame)
    scores = cross_val_score(SecondOrderRegressor((2,), ridge=10.0, random_state=0), *load_diabetes(return_X_y=True), cv=3)
    assert scores.mean() > 0.4
    polars = pytest.importorskip("polars")
    fitted = SecondOrderClassifier((3,), random_state=0).fit(polars.DataFrame(frame.data), frame.target)
    assert list(fitted.feature_names_in_) == list(frame.data.columns)


def test_pickle_clone_and_warm_start():
    x, y = load_iris(return_X_y=True)
    fitted = SecondOrderClassifier((3,), random_state=0, warm_start=True).fit(x, y)
    copy = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(copy.predict_proba(x), fitted.predict_proba(x))
    assert not hasattr(clone(fitted), "w_")
    before = fitted.n_iter_
    assert fitted.fit(x, y).n_iter_ < before
    assert np.allclose(fitted.predict_proba(x).sum(axis=1), 1.0)
    assert np.array_equal(fitted.model_.predict(x), fitted.predict_proba(x))


def test_early_stopping_callbacks_and_losses():
    x, y = load_diabetes(return_X_y=True)
    seen = []
    stopped = SecondOrderRegressor(
        (10,), ridge=1e-3, early_stopping=True, patience=3, random_state=0, callback=lambda p: seen.append(p.iteration)
    ).fit(x, y)
    assert len(seen) >= stopped.fit_.nit and stopped.score(x, y) > 0.3
    counts = np.random.default_rng(0).poisson(np.exp(x[:, 2] * 10))
    poisson = SecondOrderRegressor((2,), loss="poisson", random_state=0).fit(x, counts)
    assert np.all(poisson.predict(x) > 0) and poisson.score(x, counts) > 0.1
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        SecondOrderRegressor((4,), max_iter=1, random_state=0).fit(x, y)
    with pytest.raises(ValueError, match="ridge"):
        SecondOrderRegressor(ridge=-1.0).fit(x, y)
    with pytest.raises(ValueError, match="n_starts"):
        SecondOrderRegressor(n_starts=0).fit(x, y)


def test_several_starts_keep_the_best():
    x, y = load_diabetes(return_X_y=True)
    many = SecondOrderRegressor((4,), n_starts=4, random_state=1).fit(x, y)
    one = SecondOrderRegressor((4,), n_starts=1, random_state=1).fit(x, y)
    assert many.loss_ <= one.loss_
