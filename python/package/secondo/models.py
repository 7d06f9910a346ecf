"""Fitted networks as ``.safetensors`` files, which the program ``secondo`` reads and writes, too."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from . import _secondo
from ._arrays import Floats, matrix
from .errors import FileError
from .network import Network, _plain
from .problem import _penalty

__all__ = ["Model", "load"]


class Model:
    """A fitted network with all that predictions need.

    Parameters
    ----------
    network : Network
        The network. Ties are not kept: the file holds all weights.
    w : array_like of shape (P,)
        Its parameters.
    loss : str or dict
        The loss that was minimised.
    features, targets, classes : sequence of str, optional
        The names of inputs, of targets, and of the classes in the order of the outputs.
    standardization : mapping, optional
        ``{"x_mean": …, "x_scale": …, "y_mean": …, "y_scale": …}``: the network sees (x − x_mean)/x_scale.
    penalty : float or dict, optional
        The penalty that was added.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from secondo import Model, Network, load
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "line.safetensors"
    >>> Model(Network.dense([1, 1]), [2.0, 1.0]).save(path)
    >>> load(path).predict([[3.0]])
    array([[7.]])
    """

    def __init__(
        self,
        network: Network,
        w: ArrayLike,
        loss: str | Mapping[str, Any] = "squared_error",
        *,
        features: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        standardization: Mapping[str, Any] | None = None,
        penalty: float | Mapping[str, Any] | None = None,
    ) -> None:
        names = {"features": features, "targets": targets, "classes": classes}
        facts: dict[str, Any] = {
            key: [str(name) for name in value] for key, value in names.items() if value is not None
        }
        if standardization is not None:
            facts["standardization"] = dict(standardization)
        facts["penalty"] = _penalty(penalty)
        described = {"type": loss} if isinstance(loss, str) else dict(loss)
        self._core = _secondo.Model(
            network._core,
            network.weights(w),
            json.dumps(described, default=_plain),
            json.dumps(facts, default=_plain),
        )

    @property
    def network(self) -> Network:
        """The network."""
        return Network._from_text(self._core.network.spec())

    @property
    def w(self) -> Floats:
        """All weights, shape (P,)."""
        return self._core.weights

    @property
    def facts(self) -> dict[str, Any]:
        """The names, the standardisation, the loss and the penalty."""
        facts: dict[str, Any] = json.loads(self._core.facts())
        return facts

    def predict(self, X: ArrayLike) -> Floats:
        """Return predictions for inputs in the units of the data.

        Returns
        -------
        ndarray of shape (n, targets), or (n, classes) with probabilities
        """
        return self._core.predict(matrix(X, "X"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file; it is replaced whole or not at all.

        Raises
        ------
        secondo.FileError
            What the operating system refuses.
        """
        _write(path, self._core.to_bytes())

    def to_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write an ONNX file from inputs in the units of the data to what :meth:`predict` returns, in float64; replaced whole or not at all.

        The input is ``X``, the output ``predictions`` or ``probabilities``. ``atan`` and ``gelu`` pass through float32.

        Raises
        ------
        secondo.UnsupportedError
            An activation, a unit or a loss of the user's own.
        secondo.FileError
            What the operating system refuses.
        """
        _write(path, self._core.to_onnx())

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_bytes, (self._core.to_bytes(), "the pickled model")

    def __repr__(self) -> str:
        return f"<secondo.Model: {self.network!r}, loss {self.facts['loss']['type']}>"

    def _repr_html_(self) -> str:
        from ._html import model

        return model(self)


def _write(path: str | os.PathLike[str], data: bytes) -> None:
    target = Path(path)
    beside = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(data)
        os.replace(beside, target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise FileError(f"cannot write {target}: {error.strerror or error}") from error


def _from_bytes(data: bytes, path: str) -> Model:
    model = Model.__new__(Model)
    model._core = _secondo.Model.from_bytes(data, path)
    return model


def load(path: str | os.PathLike[str]) -> Model:
    """Return the model in a ``.safetensors`` file that the program or :meth:`Model.save` wrote.

    Raises
    ------
    secondo.FileError
        The file cannot be read, is damaged, or is no model.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise FileError(f"cannot read {os.fspath(path)}: {error.strerror or error}") from error
    return _from_bytes(data, os.fspath(path))
