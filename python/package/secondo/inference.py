"""Statistics of a fit: standard errors, tests, intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _secondo
from ._arrays import Floats, matrix

__all__ = ["Inference", "Predictions"]


@dataclass(frozen=True)
class Predictions:
    """Predictions with their standard errors and intervals, arrays of shape (n, outputs); NaN where there is none."""

    #: The mean response.
    mean: Floats
    #: Its standard error.
    std_error: Floats
    #: The lower ends of its intervals.
    lower: Floats
    #: The upper ends of its intervals.
    upper: Floats
    #: The lower ends of the intervals for new observations; of squared errors alone.
    new_lower: Floats | None
    #: The upper ends of the intervals for new observations; of squared errors alone.
    new_upper: Floats | None


class Inference:
    """Statistics at a minimum; made by :meth:`secondo.Problem.inference` and its like.

    ``print`` shows slopes, tests and weights as tables. Where no standard error has a meaning (no minimum, a saddle, no degrees of
    freedom), :attr:`refused` says why, and what is not there is NaN or None.

    Examples
    --------
    The line through (0, 0), (1, 1), (2, 1): slope ½, RSS 1/6, Σ(x − x̄)² = 2, so se² = (1/6)/(3 − 2)/2.

    >>> from secondo import Network, Problem
    >>> problem = Problem(Network.dense([1, 1]), [[0.0], [1.0], [2.0]], [0.0, 1.0, 1.0])
    >>> inference = problem.inference([0.5, 1 / 6])
    >>> float(round(inference.std_errors[0] ** 2, 12)) == round(1 / 12, 12)
    True
    """

    def __init__(
        self,
        core: _secondo.Inference,
        names: tuple[Sequence[str], Sequence[str]] | None = None,
        standardization: Mapping[str, Any] | None = None,
    ) -> None:
        self._core = core
        self._names = None if names is None else (list(map(str, names[0])), list(map(str, names[1])))
        self._scaling = (
            None if standardization is None else {key: np.asarray(value) for key, value in standardization.items()}
        )

    @property
    def refused(self) -> str | None:
        """Why there are no standard errors; None where there are."""
        return self._core.refused()

    @property
    def covariance(self) -> Floats | None:
        """The covariance of the parameters, shape (P, P); None where it was refused."""
        return self._core.covariance()

    @property
    def std_errors(self) -> Floats:
        """The standard errors of the network's weights in the order of the flat vector; NaN where one is not identified."""
        return np.array([row["std_error"] for row in self.report["weights"]], dtype=float)

    @cached_property
    def report(self) -> dict[str, Any]:
        """All that is known: the JSON report of the program ``secondo infer`` as a dict.

        Its ``weights``, ``inputs`` (tests), ``effects`` (average slopes), ``warnings`` and ``information`` are lists and dicts.
        """
        report: dict[str, Any] = json.loads(self._reported()[0])
        covariance = self.covariance
        report["covariance"] = None if covariance is None else covariance.tolist()
        return report

    @cached_property
    def summary(self) -> str:
        """The tables as text."""
        return self._reported()[1]

    def likelihood_ratios(self, bootstrap: int = 0) -> list[dict[str, Any]]:
        """Return the tests of each input with its likelihood ratio, by fits without it.

        Parameters
        ----------
        bootstrap : int
            The number of simulated tables by which ratios are judged, too.

        Raises
        ------
        secondo.UnsupportedError
            A penalty, or a loss that is no likelihood.
        """
        report = json.loads(self._reported(refit=True, bootstrap=bootstrap)[0])
        return list(report["inputs"])

    def profiles(self) -> Floats:
        """Return the ends of the profile intervals of the network's weights, shape (P, 2), by fits at other values; NaN where open."""
        report = json.loads(self._reported(profile=True)[0])
        ends = [[row.get("profile_lower"), row.get("profile_upper")] for row in report["weights"]]
        return np.array(ends, dtype=float)

    def predict(self, X: ArrayLike) -> Predictions:
        """Return predictions for the rows of X with standard errors and intervals, in the units of the data.

        Parameters
        ----------
        X : array_like of shape (n, inputs)
            The inputs.

        Returns
        -------
        Predictions
            Intervals of the level that was asked for, 0.95 unless given.
        """
        rows, scaling = matrix(X, "X"), self._scaling
        if scaling is not None:
            rows = (rows - scaling["x_mean"]) / scaling["x_scale"]
        outputs, response, observation = self._core.predictions(rows)
        if response is not None:
            # The mean response, on which the targets' units have no bearing.
            outputs = response
        elif scaling is not None:
            scale, mean = scaling["y_scale"], scaling["y_mean"]
            shift = mean * np.array([1.0, 0.0, 1.0, 1.0]).reshape(-1, 1, 1)
            outputs = outputs * scale + shift
            observation = None if observation is None else observation * scale + mean
        lower, upper = (None, None) if observation is None else (observation[0], observation[1])
        return Predictions(outputs[0], outputs[1], outputs[2], outputs[3], lower, upper)

    def _reported(self, *, refit: bool = False, bootstrap: int = 0, profile: bool = False) -> tuple[str, str]:
        scaling = self._scaling
        scales = None if scaling is None else tuple(scaling[key].tolist() for key in ("x_scale", "y_scale", "y_mean"))
        return self._core.report(self._names, scales, refit, bootstrap, profile)

    def __str__(self) -> str:
        return self.summary

    def __repr__(self) -> str:
        weights = len(self.report["weights"])
        return f"<secondo.Inference: {weights} weights, {self.report['covariance_kind']} covariance>"

    def _repr_html_(self) -> str:
        from ._html import inference

        return inference(self)
