"""Problems: a network, data, a loss and a penalty, with all derivatives."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from . import _secondo
from ._arrays import Floats, columns, count, matrix, numbers, rows, vector
from .blocks import Blocks
from .errors import Error
from .network import Network, _plain

if TYPE_CHECKING:
    from .fit import Fit
    from .inference import Inference
    from .operators import CurvatureOperator

__all__ = ["LagrangianPoint", "Plan", "Problem"]

#: The type of a curvature in a structure: an array, or a mapping of arrays.
Curvature = Floats | Blocks


@dataclass(frozen=True)
class Plan:
    """The cost of a request, known before it is done."""

    #: Samples at a time.
    chunk: int
    #: Bytes of X, Y and the weights, which the problem holds already.
    data: int
    #: Bytes of what is returned.
    results: int
    #: Bytes that live only while the request runs.
    working: int
    #: Bytes on the adapter; 0 where the processor computes.
    device: int
    #: Floating-point operations.
    flops: float

    @property
    def bytes(self) -> int:
        """The bytes of memory that the request takes besides the data."""
        return self.results + self.working

    def __str__(self) -> str:
        return (
            f"{self.flops:.3g} operations, {_bytes(self.bytes)} besides {_bytes(self.data)} of data, "
            f"{self.chunk} samples at a time"
        )

    def _repr_html_(self) -> str:
        from ._html import plan

        return plan(self)


@dataclass(frozen=True)
class LagrangianPoint:
    """The value and the derivatives of the Lagrangian L(W, X, E) at a configuration."""

    #: L.
    value: float
    #: ∂L/∂W, shape (P,).
    d_w: Floats
    #: ∂L/∂x^k for each layer, shape (n, units) each.
    d_x: list[Floats]
    #: ∂L/∂e^k for each layer, shape (n, units) each.
    d_e: list[Floats]
    #: The row blocks of ∂²L/∂W².
    d_ww: Blocks


class Problem:
    r"""E(w) = Σ_i ω_i g(f(x_i; w), y_i) + pen(w): sums over samples, not means, unless the mean is asked for.

    It is never changed, and may be used by many threads at once. All computations release the interpreter's lock; Ctrl-C ends a
    long one. A C-contiguous X of float64 (a mapped file, too) is held where it lies and not copied: do not change its numbers while
    the problem is used, since what was computed from them is kept.

    Parameters
    ----------
    network : Network
        The network f; under ties, w is θ.
    X : array_like of shape (n, inputs)
        The inputs.
    y : array_like of shape (n,) or (n, outputs)
        The targets. For ``"softmax_cross_entropy"`` a vector holds the numbers of the classes, from 0; a matrix the class
        probabilities.
    loss : str or dict
        The loss g of one sample, summed over the outputs:

        ======================== =====================================================
        ``squared_error``        ½ (y − f)²: the factor ½ is in it
        ``binary_cross_entropy`` of logits f, 0 ≤ y ≤ 1
        ``softmax_cross_entropy`` of logits f
        ``poisson``              exp f − y f
        ``gamma``                half the unit deviance with mean exp f
        ======================== =====================================================

        Losses with a parameter are a dict: ``{"type": "logcosh", "delta": 1.0}``, ``pseudo_huber`` (delta),
        ``negative_binomial`` (dispersion), ``wsos`` (output_weights). The program's short names, ``sos``, ``bce_logits`` and
        ``softmax_ce``, are taken, too.
    penalty : float or dict, optional
        A number λ is ½ λ Σ_l w_l² over all parameters, biases included. Otherwise a dict such as
        ``{"type": "ridge", "lambda": 0.1, "include_bias": False}``, ``{"type": "ridge_vec", "lambda": […]}``,
        ``{"type": "group_norm", "lambda": 0.1}``, or ``{"type": "sum", "terms": […]}``. It is never divided by n.
    sample_weight : array_like of shape (n,), optional
        The weights ω_i ≥ 0; 1 unless given.
    mean : bool
        Whether the weighted losses are divided by Σ_i ω_i.
    device : str
        ``"cpu"``; ``"gpu"`` for the first hardware adapter, ``"gpu:NAME"`` for one of :func:`secondo.adapters`, ``"gpu:0,gpu:1"`` or
        ``"gpu:all"`` for several that share the samples, ``"auto"`` for a hardware adapter where a request is large enough.
    precision : {"f64", "f32"}, optional
        The precision of the device: f64 on the processor and f32 on adapters unless given. Sums over samples are always in f64.
    memory_budget : int, optional
        The bytes that one request may take; four fifths of what is available unless given.
    threads : int, optional
        The number of threads; all cores unless given. With a number, each thread of Python has that many of its own: small
        fits with ``threads=1`` run side by side in a ``ThreadPoolExecutor``.

    Raises
    ------
    secondo.ShapeError
        X and y have not the network's inputs and outputs, or differ in their rows.
    secondo.NonFiniteError
        A number is NaN or infinite.
    secondo.Error
        A target or a weight that the loss does not know.

    Examples
    --------
    f(x) = w₁ tanh(w₀ x), one sample x = 1, y = 0, at w = (1, 1).

    >>> import numpy as np
    >>> from secondo import Network, Problem
    >>> problem = Problem(Network.dense([1, 1, 1], bias=False), [[1.0]], [0.0])
    >>> problem.hessian([1.0, 1.0]).round(5)
    array([[-0.31081,  0.6397 ],
           [ 0.6397 ,  0.58003]])
    """

    def __init__(
        self,
        network: Network,
        X: ArrayLike,
        y: ArrayLike,
        loss: str | Mapping[str, Any] = "squared_error",
        penalty: float | Mapping[str, Any] | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        mean: bool = False,
        device: str = "cpu",
        precision: Literal["f64", "f32"] | None = None,
        memory_budget: int | None = None,
        threads: int | None = None,
    ) -> None:
        if not isinstance(network, Network):
            raise Error(f"network: a secondo.Network is needed, found {type(network).__name__}; see secondo.from_torch")
        self._network = network
        if not isinstance(loss, str | Mapping):
            raise Error(f"loss: a name or a dict is needed, found {loss!r}")
        self._loss = {"type": loss} if isinstance(loss, str) else dict(loss)
        self._penalty = _penalty(penalty)
        self._options: dict[str, Any] = {
            "mean": mean,
            "device": device,
            "precision": precision,
            "memory": None if memory_budget is None else count(memory_budget, "memory_budget"),
            "threads": None if threads is None else count(threads, "threads"),
        }
        weights = None if sample_weight is None else vector(sample_weight, "sample_weight")
        self._core = _secondo.Problem(
            network._core,
            rows(X, "X"),
            _targets(y, self._loss, network),
            weights,
            json.dumps(self._loss, default=_plain),
            json.dumps(self._penalty, default=_plain),
            **self._options,
        )

    @property
    def network(self) -> Network:
        """The network."""
        return self._network

    @property
    def parameters(self) -> int:
        """P, the length of the parameter vector."""
        return self._core.parameters

    @property
    def samples(self) -> int:
        """n, the number of samples."""
        return self._core.samples

    @property
    def device(self) -> str:
        """The device that computes."""
        return self._core.adapter

    def value(self, w: ArrayLike) -> float:
        """Return E(w).

        Parameters
        ----------
        w : array_like of shape (P,)
            The parameters.

        Raises
        ------
        secondo.ShapeError, secondo.NonFiniteError
            w has the wrong length; a number in it, or E(w), is not finite.

        Examples
        --------
        >>> from secondo import Network, Problem
        >>> Problem(Network.dense([1, 1]), [[2.0]], [1.0]).value([1.0, 3.0])  # ½ (1 − 5)²
        8.0
        """
        return self._core.value(vector(w, "parameters"))

    def gradient(self, w: ArrayLike) -> Floats:
        """Return ∂E/∂w, shape (P,)."""
        return self._core.value_and_gradient(vector(w, "parameters"))[1]

    def value_and_gradient(self, w: ArrayLike) -> tuple[float, Floats]:
        """Return E(w) and ∂E/∂w, as ``scipy.optimize.minimize(…, jac=True)`` takes them.

        Examples
        --------
        >>> from secondo import Network, Problem
        >>> Problem(Network.dense([1, 1]), [[2.0]], [1.0]).value_and_gradient([1.0, 3.0])
        (8.0, array([8., 4.]))
        """
        return self._core.value_and_gradient(vector(w, "parameters"))

    def curvature(self, w: ArrayLike, curvature: str = "exact", structure: str = "full") -> Curvature:
        """Return a curvature matrix, the penalty's second derivative included.

        Parameters
        ----------
        w : array_like of shape (P,)
            The parameters.
        curvature : str
            ``"exact"``, ``"gauss-newton"``, ``"empirical-fisher"``, ``"lagrangian"`` or ``"residual"``.
        structure : str
            ``"full"``, ``"layer-blocks"``, ``"row-blocks"`` (one block for each unit) or ``"diagonal"``.

        Returns
        -------
        ndarray of shape (P, P), Blocks, or ndarray of shape (P,) for a diagonal

        Raises
        ------
        secondo.OutOfMemoryError
            The matrix does not fit; :meth:`linear_operator` multiplies with it and never forms it.
        """
        core, left_out = self._core.curvature(vector(w, "parameters"), curvature, structure)
        if core.structure == "full":
            return core.dense()
        return core.diagonal() if core.structure == "diagonal" else Blocks(core, left_out)

    def hessian(self, w: ArrayLike, structure: str = "full") -> Curvature:
        """Return the exact Hessian of E, ∂²E/∂w²; see :meth:`curvature` for the structures.

        Examples
        --------
        >>> from secondo import Network, Problem
        >>> Problem(Network.dense([1, 1]), [[1.0], [2.0]], [1.0, 2.0]).hessian([0.0, 0.0])
        array([[5., 3.],
               [3., 2.]])
        """
        return self.curvature(w, "exact", structure)

    def gauss_newton(self, w: ArrayLike, structure: str = "full") -> Curvature:
        """Return the (generalised) Gauss–Newton matrix Σ_i ω_i J_iᵀ (∂²g/∂f²) J_i; see :meth:`curvature` for the structures."""
        return self.curvature(w, "gauss-newton", structure)

    def empirical_fisher(self, w: ArrayLike, structure: str = "full") -> Curvature:
        """Return Σ_i ω_i ∇g_i ∇g_iᵀ, which is not Gauss–Newton; see :meth:`curvature` for the structures."""
        return self.curvature(w, "empirical-fisher", structure)

    def lagrangian(self, w: ArrayLike, structure: str = "full") -> Curvature:
        """Return the W–W block of the Lagrangian's second derivative at fixed states and multipliers.

        It is not the Hessian of E: moving w moves the states, too. See :meth:`curvature` for the structures.
        """
        return self.curvature(w, "lagrangian", structure)

    def residual(self, w: ArrayLike, structure: str = "full") -> Curvature:
        """Return what Gauss–Newton leaves out of the Hessian, without the penalty; see :meth:`curvature` for the structures."""
        return self.curvature(w, "residual", structure)

    def diagonal(self, w: ArrayLike, curvature: str = "exact") -> Floats:
        """Return the diagonal of a curvature matrix, shape (P,).

        Examples
        --------
        >>> from secondo import Network, Problem
        >>> Problem(Network.dense([1, 1]), [[1.0], [2.0]], [1.0, 2.0]).diagonal([0.0, 0.0])
        array([5., 2.])
        """
        core, _ = self._core.curvature(vector(w, "parameters"), curvature, "diagonal")
        return core.diagonal()

    def linear_operator(self, w: ArrayLike, curvature: str = "exact") -> CurvatureOperator:
        """Return a curvature as a ``scipy.sparse.linalg.LinearOperator``, which is multiplied and never formed.

        Parameters
        ----------
        w : array_like of shape (P,)
            The parameters. What is propagated at them is kept for all products.
        curvature : str
            As of :meth:`curvature`.

        Returns
        -------
        CurvatureOperator of shape (P, P)
            ``operator @ v`` for a vector; ``operator @ V`` takes several vectors, the columns of V, in one sweep.

        Examples
        --------
        The largest eigenvalue of a Hessian that is never formed.

        >>> from scipy.sparse.linalg import eigsh
        >>> from secondo import Network, Problem
        >>> problem = Problem(Network.dense([1, 1, 1], bias=False), [[1.0]], [0.0])
        >>> eigsh(problem.linear_operator([1.0, 1.0]), k=1, return_eigenvectors=False).round(5)
        array([0.9141])
        """
        from .operators import CurvatureOperator

        return CurvatureOperator(self._core.operator(vector(w, "parameters"), curvature), curvature)

    def outputs(self, w: ArrayLike) -> Floats:
        """Return the outputs f(x_i; w), shape (n, outputs)."""
        outputs = self._core.outputs(vector(w, "parameters"))
        assert outputs is not None
        return outputs

    def jacobian(self, w: ArrayLike) -> Floats:
        """Return ∂f_o(x_i; w)/∂w, shape (n, outputs, P).

        Examples
        --------
        >>> from secondo import Network, Problem
        >>> Problem(Network.dense([1, 1]), [[2.0]], [1.0]).jacobian([0.0, 0.0])
        array([[[2., 1.]]])
        """
        return self._core.jacobian(vector(w, "parameters")).reshape(
            self.samples, self._network.outputs, self.parameters
        )

    def multipliers(self, w: ArrayLike) -> list[Floats]:
        """Return the multipliers e_i^k = −∂(ω_i g)/∂x_i^k of each layer k, shape (n, units) each."""
        return self._core.multipliers(vector(w, "parameters"))

    def configuration(self, w: ArrayLike) -> tuple[list[Floats], list[Floats]]:
        """Return the states x_i^k and the multipliers e_i^k of each layer k, shape (n, units) each."""
        return self._core.configuration(vector(w, "parameters"))

    def lagrangian_at(
        self, w: ArrayLike, states: Sequence[ArrayLike], multipliers: Sequence[ArrayLike]
    ) -> LagrangianPoint:
        """Return the Lagrangian with its derivatives where w, states and multipliers are independent.

        L(W, X, E) = Σ_i ω_i g(x_i^m, y_i) + pen(W) + Σ_i Σ_k e_i^k · (x_i^k − h(p^k(z_i^k; W^k)))

        Parameters
        ----------
        w : array_like of shape (P,)
            The parameters.
        states, multipliers : sequence of array_like of shape (n, units)
            One for each layer; :meth:`configuration` returns those where L is stationary in both.
        """
        given = [[matrix(a, what) for a in arrays] for what, arrays in (("states", states), ("multipliers", multipliers))]
        value, d_w, d_x, d_e, d_ww = self._core.lagrangian_at(vector(w, "parameters"), *given)
        return LagrangianPoint(value, d_w, d_x, d_e, Blocks(d_ww))

    def lagrangian_tensor(self, w: ArrayLike, order: int, *, layer: int = 1, unit: int = 0) -> Floats:
        """Return the derivative of any order of the Lagrangian in the d parameters of one unit, without the penalty.

        Parameters
        ----------
        w : array_like of shape (P,)
            The parameters; states and multipliers are those that they propagate.
        order : int
            The order q ≥ 1 of the derivative.
        layer : int
            The layer, from 1.
        unit : int
            The unit in its layer, from 0.

        Returns
        -------
        ndarray of shape (d, …, d) with q axes

        Examples
        --------
        >>> from secondo import Network, Problem
        >>> problem = Problem(Network.dense([1, 1, 1], bias=False), [[1.0]], [0.0])
        >>> problem.lagrangian_tensor([1.0, 1.0], 2).round(5)
        array([[-0.48719]])
        """
        return self._core.lagrangian_tensor(vector(w, "parameters"), layer, unit, order)

    def plan(
        self, curvature: str | None = None, structure: str = "full", *, products: int | None = None
    ) -> Plan:
        """Return what a request costs before it is done.

        Parameters
        ----------
        curvature : str, optional
            The curvature; value and gradient alone unless given.
        structure : str
            Its structure.
        products : int, optional
            The number of vectors that it is multiplied with, rather than formed.

        Raises
        ------
        secondo.OutOfMemoryError
            It cannot fit; the message has the numbers and an alternative.

        Examples
        --------
        >>> import numpy as np
        >>> from secondo import Network, Problem
        >>> problem = Problem(Network.dense([4, 50, 1]), np.ones((100, 4)), np.ones(100))
        >>> problem.plan("exact").results >= 8 * 301 * 302 // 2
        True
        """
        if products is not None:
            return Plan(*self._core.plan_products(curvature or "exact", products))
        return Plan(*self._core.plan(None if curvature is None else (curvature, structure)))

    def minimize(
        self,
        start: ArrayLike | None = None,
        method: str = "auto",
        *,
        callback: Callable[[Any], object] | None = None,
        state: Any = None,
        progress: bool = False,
        **options: Any,
    ) -> Fit:
        """Minimise E from a start, or go on from where a fit was left.

        Parameters
        ----------
        start : array_like of shape (P,), optional
            The first parameters; ``network.initial()`` unless given.
        method : str
            ``"auto"`` (by loss and size), ``"trust-region"``, ``"newton-cg"``, ``"lbfgs"``, ``"lm"``
            (Levenberg–Marquardt), ``"newton-rows"`` or ``"newton-layers"``.
        callback : callable, optional
            Called at the start and after every accepted step with a :class:`secondo.Progress`; a true answer, or
            ``StopIteration``, ends the fit at its best point.
        state : State or bytes, optional
            Where a fit of the same problem by the same method was left: ``fit.state``, ``progress.state``, or their ``bytes``. On
            the processor it goes on to the same last bit.
        progress : bool
            Whether to show a line with the progress, in a notebook or on a terminal.
        **options
            Of all methods max_iter, time_limit (seconds), gtol, ftol and xtol; of all but ``"lm"`` fallback, and of all but
            ``"lbfgs"`` besides curvature; of
            trust regions and ``"lm"`` initial_radius, max_radius and eta; of ``"trust-region"`` and ``"newton-cg"`` scaling; of
            ``"newton-cg"`` and ``"lbfgs"`` preconditioner; of ``"newton-cg"`` products; of ``"lbfgs"`` pairs; of ``"newton-rows"`` and ``"newton-layers"`` indefinite and mu.

        Returns
        -------
        Fit
            SciPy's ``OptimizeResult`` with x, fun, success, message, nit, and all of the report.

        Raises
        ------
        secondo.Error
            An option that the method does not have, or out of range.
        KeyboardInterrupt
            After Ctrl-C; its attribute ``fit`` holds the best point so far, as does that of an exception of the callback.

        Examples
        --------
        >>> from secondo import Network, Problem
        >>> fit = Problem(Network.dense([1, 1]), [[1.0], [2.0], [4.0]], [1.0, 2.5, 3.5]).minimize([0.0, 0.0])
        >>> fit.success, fit.x.round(4)
        (True, array([0.7857, 0.5   ]))
        """
        from .fit import run

        return run(self, start, method, callback=callback, state=state, progress=progress, options=options)

    def inference(
        self,
        w: ArrayLike,
        *,
        information: str = "exact",
        covariance: str | None = None,
        dispersion: str | float = "residual",
        weights_are: str = "precision",
        level: float = 0.95,
        names: tuple[Sequence[str], Sequence[str]] | None = None,
    ) -> Inference:
        """Return what the data tell about a minimum w: standard errors, tests, intervals.

        Parameters
        ----------
        w : array_like of shape (P,)
            The minimum.
        information : {"exact", "gauss-newton"}
            The information matrix.
        covariance : str, optional
            ``"model"``, ``"posterior"`` or the robust ``"hc0"``, ``"hc1"``, ``"hc2"``, ``"hc3"``; ``"model"`` unless given,
            ``"posterior"`` with a penalty.
        dispersion : str or float
            ``"residual"`` RSS/(N − edf), ``"ml"`` RSS/N, ``"matrix"`` one of several outputs, or a known number.
        weights_are : {"precision", "frequency"}
            Whether a row of weight ω has the variance φ/ω, or stands for ω equal rows.
        level : float
            The level of intervals.
        names : pair of sequences of str, optional
            The names of inputs and outputs.

        Raises
        ------
        secondo.Error
            An option out of range, an unknown name.
        """
        from .inference import Inference

        core = self._core.inference(
            vector(w, "parameters"), information, covariance, str(dispersion), weights_are, level
        )
        return Inference(core, names)

    def _arguments(self) -> tuple[Any, ...]:
        return self._network, *self._core.data(), self._loss, self._penalty, self._options

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, self._arguments()

    def __repr__(self) -> str:
        return (
            f"<secondo.Problem: {self.samples} samples, {self._network!r}, loss {self._loss['type']}, on {self.device}>"
        )

    def _repr_html_(self) -> str:
        from ._html import problem

        return problem(self)


def _restored(
    network: Network,
    x: Floats,
    y: Floats,
    weights: Floats,
    loss: Mapping[str, Any],
    penalty: Mapping[str, Any] | None,
    options: dict[str, Any],
) -> Problem:
    options = {("memory_budget" if name == "memory" else name): value for name, value in options.items()}
    return Problem(network, x, y, loss, penalty, weights, **options)


def _penalty(penalty: float | Mapping[str, Any] | None) -> dict[str, Any] | None:
    if penalty is None:
        return None
    if isinstance(penalty, Mapping):
        return dict(penalty)
    try:
        factor = float(penalty)
    except (TypeError, ValueError):
        factor = math.nan
    if not math.isfinite(factor):
        raise Error(f"penalty: a finite number, a dict or None is needed, found {penalty!r}")
    return {"type": "ridge", "lambda": factor, "include_bias": True}


def _targets(y: ArrayLike, loss: Mapping[str, Any], network: Network) -> Floats:
    """Returns Y; of class numbers, where the loss has classes, one column for each class."""
    array = numbers(y, "y")
    is_softmax = loss.get("type") in ("softmax_ce", "softmax_cross_entropy", "cross_entropy")
    if not is_softmax or array.ndim != 1:
        return columns(array, "y")
    classes = network.outputs
    found = array.astype(np.intp)
    if np.any(found != array) or np.any(found < 0) or np.any(found >= classes):
        raise Error(f"y: class numbers from 0 to {classes - 1} are needed, one for each output of the network")
    return np.eye(classes)[found]


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} TiB"
