"""Curvature matrices in blocks along the diagonal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _secondo
from ._arrays import Floats, numbers, shape_error, vector

__all__ = ["Blocks"]

Key = int | tuple[int, int]


class Blocks(Mapping[Key, Floats]):
    """A symmetric matrix with blocks along its diagonal and 0 elsewhere: a mapping of arrays.

    The keys of layer blocks are the layers, from 1; those of row blocks (layer, unit), units from 0. Instances come from
    :meth:`secondo.Problem.hessian` and its like.

    Examples
    --------
    >>> import numpy as np, secondo
    >>> problem = secondo.Problem(secondo.Network.dense([1, 1]), [[1.0], [2.0]], [1.0, 2.0])
    >>> blocks = problem.hessian([0.0, 0.0], structure="row-blocks")
    >>> list(blocks), blocks[1, 0]
    ([(1, 0)], array([[5., 3.],
           [3., 2.]]))
    >>> blocks.solve([8.0, 5.0])
    array([1., 1.])
    """

    def __init__(self, core: _secondo.Matrix, left_out: float = 0.0) -> None:
        self._core = core
        #: The largest entry of the penalty's Hessian that lies outside the blocks, in size.
        self.left_out = left_out
        self._ranges: dict[Key, slice] = {
            layer if unit is None else (layer, unit): slice(start, start + order)
            for layer, unit, start, order in core.places()
            if layer is not None
        }

    @property
    def structure(self) -> str:
        """``"row-blocks"`` or ``"layer-blocks"``."""
        return self._core.structure

    @property
    def shape(self) -> tuple[int, int]:
        """(P, P)."""
        return self._core.order, self._core.order

    def __getitem__(self, key: Key) -> Floats:
        if key not in self._ranges:
            raise KeyError(key)
        return self._core.block(*key) if isinstance(key, tuple) else self._core.block(key)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._ranges)

    def __len__(self) -> int:
        return len(self._ranges)

    def range(self, key: Key) -> slice:
        """Return where the parameters of a block stand in the flat vector."""
        return self._ranges[key]

    def diagonal(self) -> Floats:
        """Return the diagonal, shape (P,)."""
        return self._core.diagonal()

    def dense(self) -> Floats:
        """Return the whole matrix, shape (P, P)."""
        return self._core.dense()

    def solve(self, b: ArrayLike) -> Floats:
        """Return B⁻¹b, shape (P,).

        Raises
        ------
        secondo.LinearAlgebraError
            A block is singular to rounding.
        """
        return self._core.solve(vector(b, "b"))

    def inverse(self) -> Blocks:
        """Return B⁻¹, in the same blocks."""
        return Blocks(self._core.inverse())

    def eigenvalues(self) -> Floats:
        """Return all eigenvalues, ascending, shape (P,)."""
        return self._core.eigenvalues()

    def log_determinant(self) -> float:
        """Return ln det B of a positive definite matrix."""
        return self._core.log_determinant()

    def __matmul__(self, v: ArrayLike) -> Floats:
        """Return B v for a vector, or for each column of a matrix."""
        array = numbers(v, "vector")
        if array.ndim not in (1, 2) or array.shape[0] != self._core.order:
            raise shape_error("vector", [self._core.order], list(array.shape))
        if array.ndim == 1:
            product: Floats = self._core.products(array[np.newaxis])[0]
            return product
        return self._core.products(array.T).T

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Floats:
        dense = self.dense()
        return dense if dtype is None else dense.astype(dtype)

    def __repr__(self) -> str:
        return f"<secondo.Blocks: {len(self)} {self.structure} of a {self.shape[0]} × {self.shape[1]} matrix>"

    def _repr_html_(self) -> str:
        from ._html import blocks

        return blocks(self)
