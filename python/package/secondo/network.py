"""Networks: layers that earlier layers feed, with linear, radial or normalised units."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _secondo
from ._arrays import Floats, count, matrix, numbers, shape_error, vector
from .errors import Error, UnsupportedError

__all__ = ["Network", "Ties", "layer"]


def layer(
    units: int,
    activation: str | Sequence[str] = "tanh",
    *,
    sources: Iterable[int] | None = None,
    bias: bool = True,
    propagation: str | Sequence[str] = "linear",
) -> dict[str, Any]:
    """Return the description of a layer.

    Parameters
    ----------
    units : int
        The number of units.
    activation : str or sequence of str
        The name of the activation, a formula in ``u`` such as ``"u/(1+u^2)"``, or one for each unit.
    sources : iterable of int, optional
        The layers that feed it, 0 being the input; the layer before unless given.
    bias : bool
        Whether linear units have a bias.
    propagation : str or sequence of str
        ``"linear"``, a radial form such as ``"rbf_iso_log_sigma"``, or ``"normalized"``; or one for each unit.

    Returns
    -------
    dict
        An entry of ``layers`` of :class:`Network`.

    Examples
    --------
    >>> layer(1, "identity", sources=[0, 1])["sources"]
    [0, 1]
    """
    out: dict[str, Any] = {
        "units": units,
        "bias": bias,
        "propagation": propagation if isinstance(propagation, str) else list(propagation),
        "activations": activation if isinstance(activation, str) else list(activation),
    }
    if sources is not None:
        out["sources"] = [int(source) for source in sources]
    return out


class Ties:
    """Fixed and tied parameters: W = fixed + C θ.

    Parameters
    ----------
    fixed : array_like of shape (P,)
        The weights at θ = 0.
    free : int
        The number of θ.
    rows, columns, values : array_like of shape (entries,)
        The entries of C: ``C[rows[i], columns[i]] = values[i]``; at the same place they add up. The values are 1 unless given.

    Examples
    --------
    The slope is free, the bias stays at 0.

    >>> network = Network.dense([1, 1], ties=Ties([0.0, 0.0], 1, [0], [0]))
    >>> network.parameters, network.weights([3.0])
    (1, array([3., 0.]))
    """

    def __init__(
        self,
        fixed: ArrayLike,
        free: int,
        rows: ArrayLike,
        columns: ArrayLike,
        values: ArrayLike | None = None,
    ) -> None:
        self.fixed = vector(fixed, "fixed")
        self.free = int(free)
        self.rows: NDArray[np.int64] = np.ascontiguousarray(rows, dtype=np.int64)
        self.columns: NDArray[np.int64] = np.ascontiguousarray(columns, dtype=np.int64)
        self.values = np.ones(len(self.rows)) if values is None else vector(values, "values")
        lengths = [len(self.rows), len(self.columns), len(self.values)]
        if len(set(lengths)) > 1:
            raise Error(f"ties: as many rows as columns and values are needed, found {lengths}")

    def _arguments(self) -> tuple[Any, ...]:
        return self.fixed, self.free, self.rows, self.columns, self.values

    def __reduce__(self) -> tuple[Any, ...]:
        return Ties, self._arguments()


class Network:
    """A feed-forward network: any number of layers, each fed by any earlier ones.

    The flat parameter vector runs layer by layer, unit by unit, the bias last in each row; :meth:`to_torch_order` gives
    PyTorch's order.

    Parameters
    ----------
    inputs : int
        The number of inputs.
    layers : sequence of dict
        The layers, each made by :func:`layer`.
    ties : Ties, optional
        Fixed and tied parameters. The parameters of the network, and of its problems, are then θ.

    Raises
    ------
    secondo.Error
        No layer, a layer without units, a source that is not an earlier layer, an unknown name.

    Examples
    --------
    The output layer sees the input directly, too.

    >>> network = Network(2, [layer(3, "tanh"), layer(1, "identity", sources=[0, 1])])
    >>> network.parameters
    15
    """

    def __init__(
        self, inputs: int, layers: Sequence[Mapping[str, Any]], *, ties: Ties | None = None
    ) -> None:
        spec = {"inputs": inputs, "layers": [dict(entry) for entry in layers]}
        self._set(json.dumps(spec, default=_plain), ties)

    def _set(self, spec: str, ties: Ties | None) -> None:
        self._ties = ties
        self._core = _secondo.Network(spec, None if ties is None else ties._arguments())

    @classmethod
    def _from_text(cls, spec: str, ties: Ties | None = None) -> Network:
        network = cls.__new__(cls)
        network._set(spec, ties)
        return network

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any] | str | os.PathLike[str]) -> Network:
        """Return the network of a specification.

        Parameters
        ----------
        spec : mapping or path
            ``{"inputs": …, "layers": […]}``, or the path of a JSON file with it.

        Examples
        --------
        >>> network = Network.from_spec({"inputs": 1, "layers": [{"units": 1, "activations": "identity"}]})
        >>> network.parameters
        2
        """
        if not isinstance(spec, Mapping):
            with open(spec, encoding="utf-8") as file:
                spec = json.load(file)
        if not isinstance(spec, Mapping):
            raise Error("spec: an object with inputs and layers is needed")
        return cls._from_text(json.dumps(spec, default=_plain))

    @classmethod
    def dense(
        cls,
        widths: Sequence[int],
        activation: str = "tanh",
        *,
        output: str = "identity",
        bias: bool = True,
        ties: Ties | None = None,
    ) -> Network:
        """Return layers of the given widths, each fed by the one before.

        Parameters
        ----------
        widths : sequence of int
            The inputs, the hidden units, the outputs.
        activation, output : str
            The activations of hidden and of output units.
        bias : bool
            Whether units have a bias.
        ties : Ties, optional
            Fixed and tied parameters.

        Examples
        --------
        >>> Network.dense([10, 16, 1]).parameters
        193
        """
        if len(widths) < 2:
            raise Error("widths: at least the inputs and the outputs are needed")
        *hidden, outputs = widths[1:]
        layers = [layer(units, activation, bias=bias) for units in hidden]
        return cls(widths[0], [*layers, layer(outputs, output, bias=bias)], ties=ties)

    @classmethod
    def radial(
        cls, inputs: int, centres: int, outputs: int = 1, *, form: str = "rbf_iso_log_sigma"
    ) -> Network:
        """Return a network of Gaussians exp(−(z − μ)ᵀM(z − μ)/2) with a linear output layer.

        Parameters
        ----------
        inputs, centres, outputs : int
            The widths of the layers.
        form : str
            How M is parametrised: ``"rbf_iso_log_sigma"``, ``"rbf_diag_log_sigma"``, ``"rbf_cholesky"``, ….

        Examples
        --------
        Five centres with two coordinates and a width each, and six weights.

        >>> Network.radial(2, 5).parameters
        21
        """
        units = layer(centres, "exp_neg_half", propagation=form)
        return cls(inputs, [units, layer(outputs, "identity")])

    @property
    def inputs(self) -> int:
        """The number of inputs."""
        return self._core.inputs

    @property
    def outputs(self) -> int:
        """The number of outputs."""
        return self._core.outputs

    @property
    def parameters(self) -> int:
        """P, the length of the flat parameter vector; under ties the number of θ."""
        return self._core.parameters

    @property
    def ties(self) -> Ties | None:
        """Fixed and tied parameters, where there are any."""
        return self._ties

    @property
    def spec(self) -> dict[str, Any]:
        """The architecture as :meth:`from_spec` reads it."""
        spec: dict[str, Any] = json.loads(self._core.spec())
        return spec

    def initial(self, seed: int = 0, rule: str | None = None, X: ArrayLike | None = None) -> Floats:
        """Return parameters to start a fit from.

        Parameters
        ----------
        seed : int
            The same seed gives the same numbers on every machine.
        rule : str, optional
            ``"glorot"``, ``"he"``, ``"lecun"``, ``"uniform"``, ``"normal"`` or ``"zero"``; the one that suits the activation of
            the first layer unless given.
        X : array_like of shape (n, inputs), optional
            Rows over which the centres of radial units are spread.

        Returns
        -------
        ndarray of shape (P,)

        Examples
        --------
        >>> Network.dense([2, 3, 1]).initial(seed=1).shape
        (13,)
        """
        x = None if X is None else matrix(X, "X")
        return self._core.initial(rule or "", count(seed, "seed"), x)

    def predict(self, w: ArrayLike, X: ArrayLike, *, threads: int | None = None) -> Floats:
        """Return the outputs for the rows of X.

        Parameters
        ----------
        w : array_like of shape (P,)
            The parameters.
        X : array_like of shape (n, inputs)
            The inputs.
        threads : int, optional
            The number of threads; all cores unless given.

        Returns
        -------
        ndarray of shape (n, outputs)

        Examples
        --------
        >>> Network.dense([1, 1]).predict([2.0, 1.0], [[3.0]])
        array([[7.]])
        """
        threads = None if threads is None else count(threads, "threads")
        return self._core.predict(vector(w, "parameters"), matrix(X, "X"), threads)

    def weights(self, w: ArrayLike) -> Floats:
        """Return all weights W of the parameters: fixed + Cθ under ties, a copy of `w` otherwise."""
        return self._core.to_weights(vector(w, "parameters"))

    def unflatten(self, w: ArrayLike) -> list[tuple[Floats, Floats | None]]:
        """Return the weights of each layer as a matrix and a vector of biases.

        Parameters
        ----------
        w : array_like of shape (P,)
            The parameters.

        Returns
        -------
        list of (ndarray of shape (units, inputs of the layer), ndarray of shape (units,) or None)
            Without a bias the second is None. For layers whose units are not linear, the parameters of each unit are a row of
            the first.

        Examples
        --------
        >>> [(weights, biases)] = Network.dense([2, 1]).unflatten([1.0, 2.0, 3.0])
        >>> weights, biases
        (array([[1., 2.]]), array([3.]))
        """
        weights, found = self.weights(w), np.size(w)
        if found != self.parameters:
            raise shape_error("parameters", [self.parameters], [found])
        out: list[tuple[Floats, Floats | None]] = []
        for _, units, bias, start, end, is_linear in self._core.layers():
            size = end - start
            if size % units:
                raise UnsupportedError("unflatten is not available: the units of a layer differ in their parameters")
            rows = weights[start:end].reshape(units, size // units)
            has_bias = bias and is_linear
            out.append((rows[:, :-1], rows[:, -1]) if has_bias else (rows, None))
        return out

    def flatten(self, layers: Sequence[tuple[ArrayLike, ArrayLike | None]]) -> Floats:
        """Return the flat vector of all weights W from those of each layer: the inverse of :meth:`unflatten` without ties."""
        parts = []
        views = self._core.layers()
        if len(layers) != len(views):
            raise shape_error("layers", [len(views)], [len(layers)])
        for k, ((weights, biases), (_, units, bias, start, end, is_linear)) in enumerate(
            zip(layers, views, strict=True), start=1
        ):
            rows = matrix(weights, f"weights of layer {k}")
            if bias and is_linear:
                if biases is None:
                    raise Error(f"layer {k} has biases, and none were given")
                rows = np.column_stack([rows, numbers(biases, f"biases of layer {k}").reshape(-1, 1)])
            elif biases is not None:
                raise Error(f"layer {k} has no biases, and some were given")
            if rows.shape != (units, (end - start) // units):
                raise shape_error(f"layer {k}", [units, (end - start) // units], list(rows.shape))
            parts.append(rows.ravel())
        return np.concatenate(parts)

    def torch_order(self) -> NDArray[np.intp]:
        """Return the permutation p with ``w[p]`` in PyTorch's order: of each layer the weights row by row, then the biases.

        Raises
        ------
        secondo.UnsupportedError
            Ties under which a parameter is not one of the weights.
        """
        order: list[NDArray[np.intp]] = []
        for _, units, bias, start, end, is_linear in self._core.layers():
            rows = np.arange(start, end, dtype=np.intp).reshape(units, -1)
            if bias and is_linear:
                order += [rows[:, :-1].ravel(), rows[:, -1]]
            else:
                order.append(rows.ravel())
        weights = np.concatenate(order)
        ties = self._ties
        if ties is None:
            return weights
        if ties.free != len(ties.rows) or len(set(ties.columns)) < ties.free or np.any(ties.values != 1.0):
            raise UnsupportedError(
                "PyTorch's order is not available: a parameter is tied to several weights, or scaled"
            )
        place = np.full(len(weights), -1, dtype=np.intp)
        place[ties.rows] = ties.columns
        found = place[weights]
        return found[found >= 0]

    def to_torch_order(self, array: ArrayLike, axis: int | None = None) -> Floats:
        """Return an array over the parameters in PyTorch's order.

        Parameters
        ----------
        array : array_like
            Parameters, a gradient, a Hessian or a Jacobian.
        axis : int, optional
            The axis over the parameters; all axes unless given.

        Examples
        --------
        >>> network = Network.dense([1, 2])
        >>> network.to_torch_order([1.0, 10.0, 2.0, 20.0])
        array([ 1.,  2., 10., 20.])
        >>> network.from_torch_order([1.0, 2.0, 10.0, 20.0])
        array([ 1., 10.,  2., 20.])
        """
        return _permuted(numbers(array, "array"), self.torch_order(), axis)

    def from_torch_order(self, array: ArrayLike, axis: int | None = None) -> Floats:
        """Return an array in secondo's order of the parameters: the inverse of :meth:`to_torch_order`."""
        return _permuted(numbers(array, "array"), np.argsort(self.torch_order()), axis)

    def __reduce__(self) -> tuple[Any, ...]:
        return Network._from_text, (self._core.spec(), self._ties)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Network)
            and self._core.spec() == other._core.spec()
            and self._ties is other._ties
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        widths = "-".join(str(view[1]) for view in self._core.layers())
        tied = f", {self._core.weights} weights" if self._ties is not None else ""
        return f"<secondo.Network [{self.inputs}-{widths}], {self.parameters} parameters{tied}>"

    def _repr_html_(self) -> str:
        from ._html import network

        return network(self)


def _plain(value: Any) -> Any:
    """Returns a NumPy number as JSON has it."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise Error(f"spec: {value!r} is neither a number, a name nor a list of them")


def _permuted(array: Floats, order: NDArray[np.intp], axis: int | None) -> Floats:
    for a in range(array.ndim) if axis is None else (axis,):
        if array.shape[a] != len(order):
            raise shape_error(f"axis {a}", [len(order)], [array.shape[a]])
        array = np.take(array, order, axis=a)
    return array
