"""Arguments as the arrays that the extension module takes."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import Error, ShapeError

Floats = NDArray[np.float64]


def shape_error(what: str, expected: list[int], found: list[int]) -> ShapeError:
    def words(lengths: list[int]) -> str:
        return " × ".join(map(str, lengths)) or "a single number"

    error = ShapeError(f"{what}: expected {words(expected)}, found {words(found)}")
    error.what, error.expected, error.found = what, expected, found
    return error


def count(value: Any, what: str) -> int:
    """Returns a whole number that is not negative and fits 64 bits."""
    try:
        found = operator.index(value)
    except TypeError:
        raise Error(f"{what}: a whole number is needed, found {value!r}") from None
    if not 0 <= found < 1 << 64:
        raise Error(f"{what}: must be between 0 and 2⁶⁴ − 1, found {found}")
    return found


def numbers(value: Any, what: str) -> Floats:
    """Returns an array of aligned native float64; without a copy where it is one."""
    if hasattr(value, "toarray"):
        raise Error(f"{what}: sparse matrices are not taken; use X.toarray() where it fits into memory")
    if np.ma.isMaskedArray(value) and np.ma.is_masked(value):
        raise Error(f"{what}: masked entries are not taken; fill or remove them first")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise Error(f"{what}: not an array of numbers: {error}") from None
    if array.dtype.kind == "c":
        raise Error(f"{what}: real numbers are needed, found the dtype {array.dtype}")
    if array.dtype.kind not in "fiub":
        raise Error(
            f"{what}: numbers are needed, found the dtype {array.dtype}; convert text and objects first, as .astype(float) does"
        )
    if array.dtype == np.float64 and array.dtype.isnative and array.flags.aligned:
        return array
    return np.require(array, np.float64, ["A"])


def vector(value: Any, what: str) -> Floats:
    """Returns a contiguous vector; without a copy where it is one."""
    if type(value) is np.ndarray and value.dtype == np.float64 and value.ndim == 1:
        flags = value.flags
        if flags.c_contiguous and flags.aligned and value.dtype.isnative:
            return value
    array = numbers(value, what)
    if array.ndim != 1:
        raise Error(f"{what}: a vector is needed, found an array of shape {array.shape}")
    return np.ascontiguousarray(array)


def matrix(value: Any, what: str) -> Floats:
    array = numbers(value, what)
    if array.ndim != 2:
        raise Error(
            f"{what}: a matrix is needed, one row for each sample, found an array of shape {array.shape}; of a single feature "
            "use reshape(-1, 1), of a single sample reshape(1, -1)"
        )
    return array


def rows(value: Any, what: str) -> Floats:
    """Returns a matrix row by row; without a copy where it is one."""
    return np.ascontiguousarray(matrix(value, what))


def columns(value: Any, what: str) -> Floats:
    """Returns a matrix; a vector becomes one column."""
    array = numbers(value, what)
    return array.reshape(-1, 1) if array.ndim == 1 else matrix(array, what)
