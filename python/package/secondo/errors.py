"""The exceptions of secondo: each is an :class:`Error`, and also Python's own class for its kind."""

from __future__ import annotations

import numpy as np

__all__ = [
    "DeviceError",
    "Error",
    "FileError",
    "LinearAlgebraError",
    "NonFiniteError",
    "OutOfMemoryError",
    "ShapeError",
    "UnknownNameError",
    "UnsupportedError",
]


class Error(ValueError):
    """A request that cannot be done; the message says what was expected, what was found and what to do."""


class ShapeError(Error):
    """An array has the wrong shape.

    Attributes
    ----------
    what : str
        The array.
    expected, found : list of int
        The lengths.
    """

    what: str
    expected: list[int]
    found: list[int]


class NonFiniteError(Error):
    """A number is NaN or infinite.

    Attributes
    ----------
    what : str
        The quantity.
    at : list of int
        The index of the number; empty for a single one.
    """

    what: str
    at: list[int]


class UnknownNameError(Error):
    """A name is not known.

    Attributes
    ----------
    name : str
        The name that was given.
    known : list of str
        The names that there are.
    """

    name: str
    known: list[str]


class OutOfMemoryError(Error, MemoryError):
    """A request needs more memory than it may take.

    Attributes
    ----------
    need, budget : int
        Bytes that it needs and that it may take.
    """

    need: int
    budget: int


class UnsupportedError(Error, NotImplementedError):
    """A combination is meaningful, but not available."""


class LinearAlgebraError(Error, np.linalg.LinAlgError):
    """A matrix is not positive definite, or an iteration did not converge."""


class DeviceError(Error, RuntimeError):
    """An adapter failed, or there is none."""


class FileError(Error, OSError):
    """A file cannot be read or written, or its contents are not what they should be."""
