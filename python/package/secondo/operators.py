"""Curvatures as SciPy's linear operators."""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import LinearOperator

from . import _secondo
from ._arrays import Floats, numbers

__all__ = ["CurvatureOperator"]


class CurvatureOperator(LinearOperator):  # type: ignore[misc]
    """A symmetric curvature matrix by its products; made by :meth:`secondo.Problem.linear_operator`."""

    def __init__(self, core: _secondo.Operator, curvature: str) -> None:
        super().__init__(np.dtype(np.float64), (core.order, core.order))
        self._core = core
        #: The name of the curvature.
        self.curvature = curvature

    def _matvec(self, v: Floats) -> Floats:
        product: Floats = self._core.products(numbers(v, "vector").reshape(1, -1))[0]
        return product

    def _matmat(self, vectors: Floats) -> Floats:
        return self._core.products(numbers(vectors, "vectors").T).T

    def _adjoint(self) -> CurvatureOperator:
        return self

    _transpose = _adjoint

    def _repr_html_(self) -> str:
        from ._html import operator

        return operator(self)
