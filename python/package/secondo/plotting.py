"""Figures on Matplotlib's axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import ArrayLike

from ._arrays import columns, matrix, numbers
from .blocks import Blocks
from .errors import Error
from .network import Network

if TYPE_CHECKING:
    from .fit import Fit

__all__ = ["plot_convergence", "plot_effects", "plot_hessian", "plot_predictions", "plot_spectrum"]


def _axes(ax: Any) -> Any:
    return plt.subplots()[1] if ax is None else ax


def plot_convergence(fit: Fit, ax: Any = None) -> Any:
    """Plot objective and gradient of a fit over the steps that were tried.

    Parameters
    ----------
    fit : Fit
        What :meth:`secondo.Problem.minimize` returned.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.

    Returns
    -------
    matplotlib.axes.Axes
        Those of the objective.
    """
    ax = _axes(ax)
    tried, value, gradient = fit.trace[:, 0], fit.trace[:, 1], fit.trace[:, 2]
    ax.plot(tried, value, color="C0", label="E")
    ax.set(xlabel="steps tried", ylabel="objective E")
    if np.all(value > 0):
        ax.set_yscale("log")
    beside = ax.twinx()
    beside.semilogy(tried, np.maximum(gradient, np.finfo(float).tiny), color="C1", label="max |∂E/∂w|")
    beside.set_ylabel("largest gradient entry")
    ax.legend([ax.lines[0], beside.lines[0]], ["objective", "gradient"])
    return ax


def plot_spectrum(matrix_or_values: Blocks | ArrayLike, ax: Any = None) -> Any:
    """Plot the eigenvalues of a symmetric matrix by their size, negative ones in another colour.

    Parameters
    ----------
    matrix_or_values : Blocks, array_like of shape (P, P), or array_like of shape (P,)
        The matrix, or its eigenvalues.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.

    Returns
    -------
    matplotlib.axes.Axes
    """
    if isinstance(matrix_or_values, Blocks):
        values = matrix_or_values.eigenvalues()
    else:
        array = numbers(matrix_or_values, "matrix")
        values = array if array.ndim == 1 else np.asarray(np.linalg.eigvalsh(array), dtype=np.float64)
    ax = _axes(ax)
    order = np.argsort(-np.abs(values))
    sizes, place = np.abs(values[order]), np.arange(1, len(values) + 1)
    negative = values[order] < 0
    ax.semilogy(place[~negative], sizes[~negative], ".", color="C0", label=f"{np.sum(~negative)} ≥ 0")
    ax.semilogy(place[negative], sizes[negative], "x", color="C3", label=f"{np.sum(negative)} < 0")
    ax.set(xlabel="number, by size", ylabel="|eigenvalue|")
    ax.legend()
    return ax


def plot_hessian(hessian: Blocks | ArrayLike, network: Network | None = None, ax: Any = None) -> Any:
    """Plot a matrix as a picture, signs in two colours, on a scale that shows small entries.

    Parameters
    ----------
    hessian : Blocks or array_like of shape (P, P)
        The matrix.
    network : Network, optional
        Lines between its layers are drawn.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.

    Returns
    -------
    matplotlib.axes.Axes
    """
    from matplotlib.colors import SymLogNorm

    dense = hessian.dense() if isinstance(hessian, Blocks) else matrix(hessian, "matrix")
    ax = _axes(ax)
    top = float(np.max(np.abs(dense))) or 1.0
    norm = SymLogNorm(linthresh=1e-3 * top, vmin=-top, vmax=top)
    image = ax.imshow(dense, cmap="RdBu_r", norm=norm, interpolation="nearest")
    ax.figure.colorbar(image, ax=ax)
    if network is not None and network.ties is None:
        for _, _, _, _, end, _ in network._core.layers()[:-1]:
            ax.axhline(end - 0.5, color="black", linewidth=0.5)
            ax.axvline(end - 0.5, color="black", linewidth=0.5)
    ax.set(xlabel="parameter", ylabel="parameter")
    return ax


def plot_predictions(y: ArrayLike, predicted: ArrayLike, ax: Any = None) -> Any:
    """Plot predicted against actual targets.

    Parameters
    ----------
    y, predicted : array_like of shape (n,) or (n, outputs)
        The targets and the predictions.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.

    Returns
    -------
    matplotlib.axes.Axes
    """
    actual, found = columns(y, "y"), columns(predicted, "predicted")
    if actual.shape != found.shape:
        raise Error(f"predicted: as many numbers as targets are needed, found {found.shape} for {actual.shape}")
    ax = _axes(ax)
    for o in range(actual.shape[1]):
        label = f"output {o}" if actual.shape[1] > 1 else None
        ax.plot(actual[:, o], found[:, o], ".", label=label)
    ends = [min(actual.min(), found.min()), max(actual.max(), found.max())]
    ax.plot(ends, ends, color="black", linewidth=0.8)
    ax.set(xlabel="actual", ylabel="predicted")
    if actual.shape[1] > 1:
        ax.legend()
    return ax


def plot_effects(
    predict: Any, X: ArrayLike, features: Sequence[int] | None = None, ax: Any = None, *, points: int = 50
) -> Any:
    """Plot how predictions change with each feature, the others as they are, on average over the rows.

    Parameters
    ----------
    predict : callable or estimator
        A function of X that returns one number for each row, or what has it as its method ``predict``.
    X : array_like of shape (n, features)
        The rows over which is averaged.
    features : sequence of int, optional
        The features; all unless given.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    points : int
        The values of a feature, evenly spread over its range.

    Returns
    -------
    matplotlib.axes.Axes
    """
    function = getattr(predict, "predict", predict)
    rows = matrix(X, "X")
    names = getattr(X, "columns", None)
    ax = _axes(ax)
    for feature in range(rows.shape[1]) if features is None else features:
        share = np.linspace(0.0, 1.0, points)
        low, high = rows[:, feature].min(), rows[:, feature].max()
        means: list[float] = []
        for value in low + share * (high - low):
            changed = rows.copy()
            changed[:, feature] = value
            means.append(float(np.mean(numbers(function(changed), "predictions"))))
        ax.plot(share, means, label=str(names[feature]) if names is not None else f"feature {feature}")
    ax.set(xlabel="place in the feature's range", ylabel="mean prediction")
    ax.legend()
    return ax
