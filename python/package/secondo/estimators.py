"""Estimators of scikit-learn: networks that are trained to the minimum by second-order methods."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ._arrays import Floats
from .errors import Error, LinearAlgebraError, UnsupportedError
from .fit import Fit
from .inference import Inference, Predictions
from .models import Model
from .network import Network, layer
from .problem import Problem

__all__ = ["RBFRegressor", "SecondOrderClassifier", "SecondOrderRegressor"]

#: Losses of y − f alone, for which targets are standardised.
LOCATION = ("squared_error", "sos", "sum_of_squares", "logcosh", "log_cosh", "pseudo_huber")


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """Shared by the estimators: standardisation, starts, early stopping, and the model of the best fit."""

    #: The checks that scikit-learn makes of the targets.
    _validation: Mapping[str, Any] = {}

    def _network(self, inputs: int, outputs: int) -> Network:
        raise NotImplementedError

    def _encode(self, y: Any) -> tuple[Floats, str | Mapping[str, Any], list[str] | None]:
        """Returns the targets of the network, its loss and the names of classes; learns what :meth:`predict` needs of y."""
        raise NotImplementedError

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """Fit the network.

        Parameters
        ----------
        X : array_like of shape (n, features)
            The inputs; frames of pandas and polars keep their names.
        y : array_like of shape (n,) or (n, outputs)
            The targets; of a classifier the labels, shape (n,).
        sample_weight : array_like of shape (n,), optional
            Weights ≥ 0: a row of weight 2 counts as two rows, one of weight 0 as none.

        Returns
        -------
        self
        """
        rows, targets = validate_data(self, X, y, dtype=np.float64, **self._validation)
        weights: Floats = _check_sample_weight(sample_weight, rows, dtype=np.float64)
        if np.any(weights < 0):
            raise Error("sample_weight: must not be negative")
        some = weights > 0
        if not np.any(some):
            raise Error("sample_weight: all are 0")
        Y, loss, classes = self._encode(np.asarray(targets)[some])
        self._train(rows[some], Y, weights[some], loss, classes)
        return self

    def inference(self, **options: Any) -> Inference:
        """Return what the data tell about the fit, in the units of the data.

        Its ``predict(X)`` gives standard errors and intervals, ``print`` shows slopes, tests and weights.

        Parameters
        ----------
        **options
            As of :meth:`secondo.Problem.inference`.
        """
        check_is_fitted(self)
        outputs = self.network_.outputs
        names = getattr(self, "feature_names_in_", [f"x{j + 1}" for j in range(self.n_features_in_)])
        targets = self._output_names(outputs)
        problem: Problem = self.fit_.problem
        found = problem.inference(self.w_, names=(names, targets), **options)
        scaling = dict(self.model_.facts["standardization"])
        # Of classes there is one scale, 1.
        scaling.update({key: np.resize(scaling[key], outputs) for key in ("y_mean", "y_scale")})
        return Inference(found._core, (names, targets), scaling)

    def _output_names(self, outputs: int) -> list[str]:
        return [f"y{o + 1}" for o in range(outputs)] if outputs > 1 else ["y"]

    @property
    def summary_(self) -> str:
        """The tables of :meth:`inference` as text: slopes, tests, fit and weights."""
        return self.inference().summary

    def _train(
        self, X: Floats, Y: Floats, weights: Floats, loss: str | Mapping[str, Any], classes: Sequence[str] | None
    ) -> None:
        """Fits on rows whose weights are positive, and sets the attributes."""
        if not np.isfinite(self.ridge) or self.ridge < 0:
            raise Error(f"ridge: must be finite and not negative, found {self.ridge}")
        if self.n_starts < 1:
            raise Error(f"n_starts: must be at least 1, found {self.n_starts}")
        random = check_random_state(self.random_state)
        seeds = random.randint(0, 2**31 - 1, size=self.n_starts)
        name = loss if isinstance(loss, str) else loss.get("type")
        scaling = self._scaling(X, Y[:, :1] if classes else Y, weights, name in LOCATION)
        x = (X - scaling["x_mean"]) / scaling["x_scale"]
        y = Y if classes else (Y - scaling["y_mean"]) / scaling["y_scale"]
        network = self._network(X.shape[1], Y.shape[1])
        warm = getattr(self, "w_", None) if self.warm_start else None
        watch = None
        if self.early_stopping:
            kept, held = train_test_split(
                np.arange(len(x)), test_size=self.validation_fraction, random_state=int(seeds[0])
            )
            watch = _Watch(Problem(network, x[held], y[held], loss, None, weights[held], threads=self.threads), self.patience)
            X, x, y, weights = X[kept], x[kept], y[kept], weights[kept]
        problem = Problem(
            network, x, y, loss, float(self.ridge), weights, device=self.device, threads=self.threads
        )
        # Rows that are repeated must not draw more centres than their weight would.
        spread = (np.unique(X, axis=0) - scaling["x_mean"]) / scaling["x_scale"]
        best: tuple[float, Fit, Floats] | None = None
        for seed in seeds:
            start = network.initial(int(seed), None, spread)
            if warm is not None and len(warm) == len(start):
                start, warm = warm, None
            fit, w, value = self._fit_from(problem, start, watch)
            if best is None or value < best[0]:
                best = value, fit, w
        assert best is not None
        _, self.fit_, self.w_ = best
        self.network_ = network
        self.n_iter_ = max(1, int(self.fit_.nit))
        self.loss_ = float(self.fit_.fun)
        self.loss_curve_ = self.fit_.trace[:, 1].tolist()
        self.model_ = Model(
            network, self.w_, loss, standardization=scaling, classes=classes, penalty=float(self.ridge)
        )
        if self.fit_.message.endswith("(max_iter)"):
            warnings.warn(f"not at the minimum: {self.fit_.message}", ConvergenceWarning, stacklevel=3)

    def _fit_from(self, problem: Problem, start: Floats, watch: _Watch | None) -> tuple[Fit, Floats, float]:
        callback: Callable[[Any], object] | None = self.callback
        if watch is not None:
            watch.begin(self.callback)
            callback = watch
        options = {"gtol": self.gtol}
        if self.max_iter is not None:
            options["max_iter"] = self.max_iter
        fit = problem.minimize(start, self.method, callback=callback, **options)
        if watch is not None and watch.w is not None:
            return fit, watch.w, watch.value
        return fit, fit.x, float(fit.fun)

    def _scaling(self, X: Floats, Y: Floats, weights: Floats, is_location: bool) -> dict[str, Floats]:
        """Returns weighted means and standard deviations; a constant column has the scale 1."""

        def spread(a: Floats) -> tuple[Floats, Floats]:
            mean = np.average(a, axis=0, weights=weights)
            scale = np.sqrt(np.average((a - mean) ** 2, axis=0, weights=weights))
            rounding = 10 * np.finfo(float).eps * np.max(np.abs(a), axis=0)
            return mean, np.where(scale > rounding, scale, 1.0)

        ones, zeros = np.ones, np.zeros
        x_mean, x_scale = spread(X) if self.standardize else (zeros(X.shape[1]), ones(X.shape[1]))
        if not np.all(np.isfinite(x_scale)):
            raise Error("X: the spread of a column is too large for float64; divide it by a power of ten")
        y_mean, y_scale = spread(Y) if self.standardize and is_location else (zeros(Y.shape[1]), ones(Y.shape[1]))
        return {"x_mean": x_mean, "x_scale": x_scale, "y_mean": y_mean, "y_scale": y_scale}


class _Watch:
    """A callback that keeps the parameters with the smallest loss on rows that are held out, and stops where it rises."""

    def __init__(self, held: Problem, patience: int) -> None:
        self._held, self._patience = held, patience
        self.begin(None)

    def begin(self, then: Callable[[Any], object] | None) -> None:
        self._then = then
        self.value, self.w, self._since = np.inf, None, 0

    def __call__(self, progress: Any) -> bool:
        if self._then is not None and self._then(progress):
            return True
        w = progress.state.w
        value = self._held.value(w)
        self._since += 1
        if value < self.value:
            self.value, self.w, self._since = value, w, 0
        return self._since > self._patience


class _Regressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    _validation = {"multi_output": True, "y_numeric": True}

    def _encode(self, y: Any) -> tuple[Floats, str | Mapping[str, Any], list[str] | None]:
        self._is_vector = y.ndim == 1
        return np.asarray(y, dtype=np.float64).reshape(len(y), -1), self.loss, None

    def predict(self, X: ArrayLike) -> Floats:
        """Return predictions in the units of y, shape (n,) or (n, outputs) as y had it."""
        check_is_fitted(self)
        return self._as_y(self.model_.predict(validate_data(self, X, dtype=np.float64, reset=False)))

    def predict_std(self, X: ArrayLike) -> Floats:
        """Return the standard errors of the predicted means, shape (n,) or (n, outputs) as y had it.

        Each call computes the covariance of the parameters anew; for several, and for its options, keep :meth:`inference`.

        Raises
        ------
        secondo.LinearAlgebraError
            There are none, such as after early stopping, which is at no minimum; the message says why.
        """
        return self._as_y(self._predicted(X, 0.95).std_error)

    def predict_interval(self, X: ArrayLike, level: float = 0.95, *, new: bool = False) -> tuple[Floats, Floats]:
        """Return the lower and the upper ends of intervals, shape (n,) or (n, outputs) as y had it.

        Parameters
        ----------
        X : array_like of shape (n, features)
            The inputs.
        level : float
            Their level.
        new : bool
            Whether they are for new observations, of squared errors, rather than for the mean.

        Raises
        ------
        secondo.LinearAlgebraError
            As :meth:`predict_std`.
        secondo.UnsupportedError
            Intervals for new observations of another loss.

        Examples
        --------
        >>> import numpy as np
        >>> from secondo import SecondOrderRegressor
        >>> x = np.linspace(0, 1, 30)
        >>> y = 2 * x + np.random.default_rng(0).normal(size=30)
        >>> line = SecondOrderRegressor((), ridge=0.0).fit(x.reshape(-1, 1), y)
        >>> lower, upper = line.predict_interval([[0.5]], new=True)
        >>> bool(lower[0] < 1.0 < upper[0])
        True
        """
        found = self._predicted(X, level)
        if not new:
            return self._as_y(found.lower), self._as_y(found.upper)
        if found.new_lower is None or found.new_upper is None:
            raise UnsupportedError("intervals for new observations are for squared errors alone")
        return self._as_y(found.new_lower), self._as_y(found.new_upper)

    def _predicted(self, X: ArrayLike, level: float) -> Predictions:
        inference = self.inference(level=level)
        if inference.refused is not None:
            raise LinearAlgebraError(f"no standard errors: {inference.refused}")
        return inference.predict(validate_data(self, X, dtype=np.float64, reset=False))

    def _as_y(self, columns: Floats) -> Floats:
        return columns[:, 0] if self._is_vector else columns

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class SecondOrderRegressor(_Regressor):
    """A network for regression, trained to the minimum by second-order methods.

    It minimises Σ_i ω_i g(f(x_i), y_i) + ½ ridge Σ_l w_l² for standardised inputs and, where the loss depends on y − f alone,
    targets; biases are in the penalty. (scikit-learn's ``alpha`` of ``MLPRegressor`` divides the penalty by n and leaves biases out.)

    Parameters
    ----------
    hidden_layer_sizes : sequence of int
        The hidden layers; ``()`` is a linear model.
    activation : str
        The activation of hidden units: a name or a formula in ``u``.
    ridge : float
        The factor of the penalty.
    loss : str or dict
        As of :class:`secondo.Problem`.
    method : str
        As of :meth:`secondo.Problem.minimize`.
    standardize : bool
        Whether inputs and targets are standardised with the weighted mean and standard deviation.
    max_iter : int, optional
        The most steps; the method's own limit unless given.
    gtol : float
        The largest gradient entry at which a fit ends, relative to the start where that is above 1.
    n_starts : int
        The number of random starts, of which the best is kept.
    early_stopping : bool
        Whether `validation_fraction` of the rows are held out, and the parameters with the smallest loss there are kept.
    validation_fraction : float
        The part of the rows that is held out.
    patience : int
        The accepted steps in a row without a smaller loss there after which a fit ends.
    warm_start : bool
        Whether a fit starts from the parameters of the one before.
    callback : callable, optional
        As of :meth:`secondo.Problem.minimize`.
    random_state : int, RandomState or None
        The seed of the starts.
    device : str
        As of :class:`secondo.Problem`.
    threads : int, optional
        The number of threads; all cores unless given. Inside workers of joblib, 1 is best.

    Attributes
    ----------
    network_ : Network
        The network.
    w_ : ndarray of shape (P,)
        Its parameters, for standardised data.
    model_ : Model
        The same with the standardisation, to be saved.
    fit_ : Fit
        The end of the fit, with the problem and so with the rows.
    summary_ : str
        Slopes, tests, fit and weights as tables, computed when it is read.
    loss_, loss_curve_, n_iter_ : float, list of float, int
        The objective at the end and after each step, and the number of accepted steps.

    Examples
    --------
    >>> import numpy as np
    >>> from secondo import SecondOrderRegressor
    >>> X = np.linspace(-2, 2, 40).reshape(-1, 1)
    >>> estimator = SecondOrderRegressor((4,), ridge=1e-3, random_state=0).fit(X, np.sin(2 * X[:, 0]))
    >>> bool(estimator.score(X, np.sin(2 * X[:, 0])) > 0.99)
    True
    """

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (10,),
        activation: str = "tanh",
        *,
        ridge: float = 1.0,
        loss: str | Mapping[str, Any] = "squared_error",
        method: str = "auto",
        standardize: bool = True,
        max_iter: int | None = None,
        gtol: float = 1e-10,
        n_starts: int = 1,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        warm_start: bool = False,
        callback: Callable[[Any], object] | None = None,
        random_state: Any = None,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.ridge = ridge
        self.loss = loss
        self.method = method
        self.standardize = standardize
        self.max_iter = max_iter
        self.gtol = gtol
        self.n_starts = n_starts
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.warm_start = warm_start
        self.callback = callback
        self.random_state = random_state
        self.device = device
        self.threads = threads

    def _network(self, inputs: int, outputs: int) -> Network:
        return _dense(self.hidden_layer_sizes, self.activation, inputs, outputs)


class RBFRegressor(_Regressor):
    """A network of Gaussian radial units for regression, centres and widths trained with the weights.

    It starts from centres that k-means spreads over the rows, and minimises as :class:`SecondOrderRegressor` does.

    Parameters
    ----------
    n_centers : int
        The number of radial units.
    form : str
        How the matrix M of a unit exp(−(z − μ)ᵀM(z − μ)/2) is parametrised: ``"rbf_iso_log_sigma"`` (one width),
        ``"rbf_diag_log_sigma"`` (one for each input), ``"rbf_cholesky"`` (any positive definite M), ….
    ridge, loss, method, standardize, max_iter, gtol, n_starts, early_stopping, validation_fraction, patience, warm_start, \
callback, random_state, device, threads
        As of :class:`SecondOrderRegressor`.

    Examples
    --------
    >>> import numpy as np
    >>> from secondo import RBFRegressor
    >>> X = np.linspace(-2, 2, 40).reshape(-1, 1)
    >>> estimator = RBFRegressor(6, ridge=1e-4, random_state=0).fit(X, np.sin(2 * X[:, 0]))
    >>> bool(estimator.score(X, np.sin(2 * X[:, 0])) > 0.99)
    True
    """

    def __init__(
        self,
        n_centers: int = 10,
        form: str = "rbf_iso_log_sigma",
        *,
        ridge: float = 1.0,
        loss: str | Mapping[str, Any] = "squared_error",
        method: str = "auto",
        standardize: bool = True,
        max_iter: int | None = None,
        gtol: float = 1e-10,
        n_starts: int = 1,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        warm_start: bool = False,
        callback: Callable[[Any], object] | None = None,
        random_state: Any = None,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        self.n_centers = n_centers
        self.form = form
        self.ridge = ridge
        self.loss = loss
        self.method = method
        self.standardize = standardize
        self.max_iter = max_iter
        self.gtol = gtol
        self.n_starts = n_starts
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.warm_start = warm_start
        self.callback = callback
        self.random_state = random_state
        self.device = device
        self.threads = threads

    def _network(self, inputs: int, outputs: int) -> Network:
        return Network.radial(inputs, self.n_centers, outputs, form=self.form)


class SecondOrderClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A network for classification, trained to the minimum by second-order methods.

    It minimises the sum of cross entropies, with one logit for two classes and softmax for more, and ½ ridge Σ_l w_l².

    Parameters
    ----------
    hidden_layer_sizes, activation, ridge, method, standardize, max_iter, gtol, n_starts, early_stopping, validation_fraction, \
patience, warm_start, callback, random_state, device, threads
        As of :class:`SecondOrderRegressor`.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
        The labels, in the order of the columns of :meth:`predict_proba`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from secondo import SecondOrderClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> bool(SecondOrderClassifier((5,), random_state=0).fit(X, y).score(X, y) > 0.95)
    True
    """

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (10,),
        activation: str = "tanh",
        *,
        ridge: float = 1.0,
        method: str = "auto",
        standardize: bool = True,
        max_iter: int | None = None,
        gtol: float = 1e-10,
        n_starts: int = 1,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        warm_start: bool = False,
        callback: Callable[[Any], object] | None = None,
        random_state: Any = None,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.ridge = ridge
        self.method = method
        self.standardize = standardize
        self.max_iter = max_iter
        self.gtol = gtol
        self.n_starts = n_starts
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.warm_start = warm_start
        self.callback = callback
        self.random_state = random_state
        self.device = device
        self.threads = threads

    def _network(self, inputs: int, outputs: int) -> Network:
        return _dense(self.hidden_layer_sizes, self.activation, inputs, outputs)

    def _encode(self, y: Any) -> tuple[Floats, str | Mapping[str, Any], list[str] | None]:
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        count, names = len(self.classes_), [str(label) for label in self.classes_]
        if count < 2:
            raise Error(f"y: at least two classes are needed, found the one class {self.classes_[0]!r}")
        if count == 2:
            return codes.reshape(-1, 1).astype(float), "binary_cross_entropy", names
        return np.eye(count)[codes], "softmax_cross_entropy", names

    def _output_names(self, outputs: int) -> list[str]:
        names = [str(label) for label in self.classes_]
        return names if outputs == len(names) else names[1:]

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Return the probabilities of the classes, shape (n, classes)."""
        check_is_fitted(self)
        return self.model_.predict(validate_data(self, X, dtype=np.float64, reset=False))

    def predict_log_proba(self, X: ArrayLike) -> Floats:
        """Return the logarithms of the probabilities, shape (n, classes)."""
        out: Floats = np.log(np.maximum(self.predict_proba(X), np.finfo(float).tiny))
        return out

    def predict(self, X: ArrayLike) -> Any:
        """Return the most probable labels, shape (n,)."""
        best = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[best]


def _dense(hidden: Sequence[int] | int, activation: str, inputs: int, outputs: int) -> Network:
    layers = [layer(int(units), activation) for units in np.atleast_1d(np.asarray(hidden, dtype=int))]
    return Network(inputs, [*layers, layer(outputs, "identity")])
