"""Fits of problems and of any Python function, with SciPy's result."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import OptimizeResult

from . import _secondo
from ._arrays import Floats, matrix, shape_error, vector
from .errors import Error

if TYPE_CHECKING:
    from .inference import Inference
    from .problem import Problem

__all__ = ["Fit", "minimize", "run", "trust_region"]

#: The reasons of an end, in the order of their numbers in ``status``; the first three are convergence.
REASONS = {
    "gradient": "the gradient is within gtol",
    "step": "the step is within xtol",
    "function": "the change of the function is within ftol",
    "iterations": "the iterations are used up (max_iter)",
    "time": "the time is used up",
    "stalled": "no step reduces the function",
    "unbounded": "no minimum: the function falls on and on as the parameters grow without limit",
    "non-finite": "the function or a derivative is not finite",
    "indefinite": "stationary, but the matrix of the model is indefinite",
    "singular": "the matrix of the step is singular",
    "interrupted": "it was interrupted",
    "part": "a user-defined part failed",
    "validation": "the error on the validation rows was lowest there (early stopping)",
}


class Fit(OptimizeResult):  # type: ignore[misc]
    """The end of a fit: SciPy's ``OptimizeResult``.

    Attributes
    ----------
    x : ndarray of shape (P,)
        The best parameters.
    fun : float
        E there.
    success : bool
        Whether a tolerance was met.
    status, message : int, str
        Why it ended.
    nit, nfev, njev, nhev : int
        Accepted steps, and evaluations of values alone, gradients and matrices.
    report : dict
        All that the library says, such as ``method``, ``choice``, ``gradient_norm`` and ``seconds``.
    trace : ndarray of shape (steps, 4)
        For the start and each accepted step the number of tried steps, E, the largest gradient entry, and the seconds so far.
    state : State
        Where it ended, to go on from; ``bytes(fit.state)`` can be stored.
    problem : Problem
        What was minimised.
    """

    def inference(self, **options: Any) -> Inference:
        """Return what the data tell about the minimum; with the options of :meth:`secondo.Problem.inference`.

        Examples
        --------
        >>> from secondo import Network, Problem
        >>> fit = Problem(Network.dense([1, 1]), [[0.0], [1.0], [2.0]], [0.0, 1.0, 1.0]).minimize()
        >>> predicted = fit.inference(level=0.9).predict([[1.0]])
        >>> bool(abs(predicted.std_error[0, 0] ** 2 - 1 / 6 / 3) < 1e-12)  # φ/n at the mean of x
        True
        """
        problem: Problem = self.problem
        return problem.inference(self.x, **options)

    def _repr_html_(self) -> str:
        from ._html import fit

        return fit(self)


def run(
    problem: Problem,
    start: ArrayLike | None,
    method: str,
    *,
    callback: Callable[[Any], object] | None,
    state: Any,
    progress: bool,
    options: dict[str, Any],
) -> Fit:
    """Return the fit of a problem; see :meth:`secondo.Problem.minimize`."""
    if start is None and state is None:
        start = problem.network.initial()
    with contextlib.ExitStack() as stack:
        if progress:
            from ._progress import Bar

            callback = stack.enter_context(Bar(callback))
        first = None if start is None else vector(start, "start")
        report, last, trace, raised = problem._core.fit(method, options, first, state, callback)
    fit = _fit(report, last, trace)
    if fit.x is None and first is not None:
        # Ended before the first evaluation.
        fit.x = first.copy()
    fit.problem = problem
    if raised is not None:
        raised.fit = fit
        raise raised
    return fit


def _fit(report: tuple[str, Floats] | None, last: _secondo.State | None, trace: Floats) -> Fit:
    """Returns what is known of a fit, of which an exception may have left the last state alone."""
    if report is None:
        x, value, steps = (last.w, last.value, last.iterations) if last is not None else (None, np.nan, 0)
        return Fit(x=x, fun=value, success=False, nit=steps, trace=trace, state=last, **_reason("interrupted"))
    facts, x = json.loads(report[0]), report[1]
    count = facts["evaluations"]
    return Fit(
        x=x,
        fun=np.nan if facts["value"] is None else facts["value"],
        success=facts["converged"],
        nit=facts["iterations"],
        nfev=count["objective"],
        njev=count["gradient"],
        nhev=count["curvature"],
        report=facts,
        trace=trace,
        state=last,
        **_reason(facts["reason"]),
    )


def _reason(name: str) -> dict[str, Any]:
    return {"status": list(REASONS).index(name), "message": REASONS[name]}


def trust_region(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: tuple[Any, ...] = (),
    jac: Callable[..., Any] | bool | None = None,
    hess: Callable[..., Any] | None = None,
    hessp: Callable[..., Any] | None = None,
    callback: Callable[..., object] | None = None,
    bounds: Any = None,
    constraints: Any = (),
    **options: Any,
) -> OptimizeResult:
    """Minimise a function of several variables by Newton's method within a trust region.

    It has the signature that ``scipy.optimize.minimize`` calls a method with: ``minimize(…, method=secondo.trust_region)``. Negative
    curvature is used, saddles are left, and the iterates do not depend on the units of x.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns a float; with ``jac=True`` the pair of value and gradient. NaN says that it is not defined there.
    x0 : array_like of shape (d,)
        The start.
    args : tuple
        Further arguments of the functions.
    jac : callable or True
        ``jac(x, *args)`` returns the gradient, shape (d,).
    hess : callable, optional
        ``hess(x, *args)`` returns the Hessian, shape (d, d), of which the lower triangle is read.
    hessp : callable, optional
        ``hessp(x, p, *args)`` returns the Hessian times p. The whole matrix is formed from d products at each accepted point.
    callback : callable, optional
        ``callback(intermediate_result)`` is called where derivatives have been computed, with x, fun and jac;
        ``StopIteration`` ends it.
    **options
        max_iter (also maxiter), gtol, xtol, ftol, initial_radius, max_radius, eta, scaling.

    Returns
    -------
    scipy.optimize.OptimizeResult

    Raises
    ------
    secondo.Error
        No gradient or no Hessian, bounds or constraints, an option out of range, a result of a wrong shape.
    Exception
        What the functions raise; its attribute ``fit`` holds the best point so far.

    Examples
    --------
    >>> from scipy.optimize import rosen, rosen_der, rosen_hess
    >>> import secondo
    >>> found = secondo.minimize(rosen, [-1.2, 1.0], jac=rosen_der, hess=rosen_hess)
    >>> found.success, found.x.round(12)
    (True, array([1., 1.]))
    """
    no_bounds = bounds is None or not np.any(np.isfinite(np.asarray(bounds, dtype=float)))
    if not no_bounds or (constraints is not None and np.size(constraints) > 0):
        raise Error("bounds, constraints: they are not available; use a method of SciPy such as trust-constr")
    start = vector(np.atleast_1d(np.asarray(x0)), "x0")
    if "maxiter" in options:
        options["max_iter"] = options.pop("maxiter")
    if options.pop("disp", False):
        raise Error("disp: nothing is printed; use a callback")
    function = _Function(fun, args, jac, hess, hessp, callback, len(start))
    reason, x, value, _, steps, counts, raised = _secondo.minimize_function(
        function.value, function.gradient, function.hessian, start, options
    )
    if raised is not None:
        reason = "interrupted"
    found = OptimizeResult(
        x=x,
        fun=value,
        success=reason in list(REASONS)[:3],
        nit=steps,
        nfev=counts[0],
        njev=counts[1],
        nhev=counts[2],
        **_reason(reason),
    )
    if function.last is not None and np.array_equal(function.last.x, x):
        found.jac = function.last.jac
    if raised is not None and not isinstance(raised, StopIteration):
        raised.fit = found
        raise raised
    return found


class _Function:
    """The user's functions of x alone, with what was found last."""

    def __init__(
        self,
        fun: Callable[..., Any],
        args: tuple[Any, ...],
        jac: Callable[..., Any] | bool | None,
        hess: Callable[..., Any] | None,
        hessp: Callable[..., Any] | None,
        callback: Callable[..., object] | None,
        d: int,
    ) -> None:
        if jac is not True and not callable(jac):
            raise Error("jac: a function that returns the gradient is needed, or True where fun returns it, too")
        if not callable(hess) and not callable(hessp):
            raise Error("hess: a function that returns the Hessian is needed, or hessp, that returns its products")
        self.fun, self.args, self.jac, self.hess, self.hessp = fun, args, jac, hess, hessp
        self.callback, self.d = callback, d
        self.last: OptimizeResult | None = None
        self._pair: tuple[Floats, Any, Any] | None = None

    def _both(self, x: Floats) -> tuple[Any, Any]:
        if self._pair is None or not np.array_equal(self._pair[0], x):
            value, gradient = self.fun(x.copy(), *self.args)
            self._pair = x, value, gradient
        return self._pair[1:]

    def value(self, x: Floats) -> float:
        value = self._both(x)[0] if self.jac is True else self.fun(x, *self.args)
        if np.size(value) != 1:
            raise shape_error("the function's value", [1], list(np.shape(value)))
        return float(np.asarray(value).reshape(()))

    def gradient(self, x: Floats) -> Floats:
        gradient = self._both(x)[1] if self.jac is True else self.jac(x, *self.args)
        gradient = vector(gradient, "the gradient")
        if gradient.shape != (self.d,):
            raise shape_error("the gradient", [self.d], list(gradient.shape))
        self.last = OptimizeResult(x=x, fun=self.value(x) if self.callback else np.nan, jac=gradient)
        return gradient

    def hessian(self, x: Floats) -> Floats:
        if callable(self.hess):
            h = self.hess(x, *self.args)
            hessian = matrix(h.toarray() if hasattr(h, "toarray") else h, "the Hessian")
        else:
            products = [self.hessp(x, e, *self.args) for e in np.eye(self.d)]  # type: ignore[misc]
            hessian = matrix(products, "the Hessian")
        if hessian.shape != (self.d, self.d):
            raise shape_error("the Hessian", [self.d, self.d], list(hessian.shape))
        if self.callback is not None and self.last is not None:
            self.callback(self.last)
        return hessian


#: Minimise a function with two derivatives: ``minimize(fun, x0, jac=…, hess=…)``; see :func:`trust_region`.
minimize = trust_region
