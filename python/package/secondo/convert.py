"""Networks from PyTorch, Keras, Flax and scikit-learn, and back; none of them is needed to import this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._arrays import Floats, matrix, vector
from .errors import Error, UnsupportedError
from .network import Network, Ties, layer

__all__ = ["from_flax", "from_keras", "from_sklearn", "from_state_dict", "from_torch", "state_dict", "to_torch"]

#: PyTorch's modules that are activations.
ACTIVATIONS = {
    "Tanh": "tanh",
    "Sigmoid": "logistic",
    "ReLU": "relu",
    "SiLU": "silu",
    "GELU": "gelu",
    "Softplus": "softplus",
    "ELU": "elu",
    "LeakyReLU": "leaky_relu",
    "Mish": "mish",
    "Softsign": "elliot",
    "Identity": "identity",
}
#: The values that modules' options must have for that.
OPTIONS: dict[str, dict[str, Any]] = {
    "GELU": {"approximate": "none"},
    "Softplus": {"beta": 1},
    "ELU": {"alpha": 1.0},
    "LeakyReLU": {"negative_slope": 0.01},
}


def from_torch(module: Any) -> tuple[Network, Floats]:
    """Return the network of a PyTorch module, and its parameters.

    Parameters
    ----------
    module : torch.nn.Sequential
        Made of ``Linear``, of the activations Tanh, Sigmoid, ReLU, SiLU, GELU (exact), Softplus (β = 1), ELU (α = 1), LeakyReLU
        (slope 0.01), Mish, Softsign and Identity, of Dropout, which is left out, as in ``eval``, of further ``Sequential``, and of
        :class:`secondo.torch.Skip` and :class:`secondo.torch.Residual`, or classes of the same names with an attribute ``module``.

    Returns
    -------
    network : Network
        With ties where there are residual blocks, so that its parameters are the module's.
    w : ndarray of shape (P,)
        The module's parameters in secondo's order; ``network.to_torch_order(w)`` is the order of ``module.parameters()``.

    Raises
    ------
    secondo.UnsupportedError
        A module that is none of these, a parameter that two modules share (the same object), hooks, complex weights.
    secondo.Error
        Weights that are not finite.

    Notes
    -----
    All parameters are free, those without ``requires_grad``, too.

    PyTorch's losses are means: ``nn.MSELoss`` is 2/(n · outputs) times the sum here, with its ½; ``nn.CrossEntropyLoss`` is
    ``Problem(…, loss="softmax_cross_entropy", mean=True)``.
    """
    builder = _Builder()
    builder.add(module, "the module")
    return builder.finish()


class _Builder:
    """A network that grows along the modules: what flows is the outputs of some layers side by side."""

    def __init__(self) -> None:
        self.inputs: int | None = None
        self.layers: list[dict[str, Any]] = []
        self.widths: list[int] = [0]
        self.flow: tuple[int, ...] = (0,)
        #: Of each layer the free part of its rows, what is fixed in them, and which columns are free.
        self.rows: list[tuple[Floats, Floats, Floats]] = []
        #: Whether the last layer still takes an activation.
        self.is_open = False
        #: The weights and biases so far: an object that comes again is shared.
        self.seen: list[Any] = []

    def width(self, flow: Sequence[int]) -> int:
        return sum(self.widths[k] for k in flow)

    def add(self, module: Any, name: str) -> None:
        kind = type(module).__name__
        self.check_hooks(module, name)
        if kind in ("Sequential", "ModuleList"):
            for child_name, child in _children(module):
                self.add(child, child_name)
        elif kind == "Linear":
            self.linear(*self.numbers(module, name))
        elif kind in ACTIVATIONS:
            for option, needed in OPTIONS.get(kind, {}).items():
                found = getattr(module, option, needed)
                if found != needed:
                    raise UnsupportedError(f"{name}, {kind}({option}={found!r}) is not available: only {option}={needed!r} is")
            self.activation(ACTIVATIONS[kind])
        elif kind in ("Dropout", "AlphaDropout"):
            return
        elif kind == "Skip":
            before = self.close()
            self.add(module.module, name)
            self.flow = self.joined(before, self.close(), name)
        elif kind == "Residual":
            self.residual(module.module, name)
        else:
            known = ["Sequential", "Linear", *ACTIVATIONS, "Dropout", "Skip", "Residual"]
            raise UnsupportedError(
                f"{name}, a module {kind}, is not available: known are {', '.join(known)}; write the network as a "
                "secondo.Network"
            )

    def check_hooks(self, module: Any, name: str) -> None:
        if getattr(module, "_forward_hooks", None) or getattr(module, "_forward_pre_hooks", None):
            raise UnsupportedError(f"{name}: a hook may change what the module computes; remove it")

    def numbers(self, module: Any, name: str) -> tuple[Floats, Floats | None]:
        """Returns weight and bias of a Linear module, whose parameters are its own."""
        for parameter in (module.weight, module.bias):
            if any(parameter is other for other in self.seen):
                raise UnsupportedError(
                    f"{name}: its weight or bias is that of another module too; a parameter that several modules share is not "
                    "available here: write the network as a secondo.Network with Ties"
                )
            if parameter is not None:
                self.seen.append(parameter)
        bias = None if module.bias is None else _numpy(module.bias, f"{name}.bias")
        return _numpy(module.weight, f"{name}.weight"), bias

    def joined(self, before: tuple[int, ...], after: tuple[int, ...], name: str) -> tuple[int, ...]:
        if set(before) & set(after) or (before and after and max(before) > min(after)):
            raise UnsupportedError(f"{name}: a Skip within a Skip passes an input on twice, which is not available")
        return (*before, *after)

    def linear(self, weight: Floats, bias: Floats | None, identity: tuple[int, ...] = ()) -> None:
        """Adds a layer of the flow; where `identity` names layers, their outputs side by side are added to it."""
        self.close()
        units, columns = weight.shape
        if self.inputs is None:
            self.inputs = columns
            self.widths[0] = columns
        sources = tuple(sorted({*self.flow, *identity}))
        starts = dict(zip(sources, np.cumsum([0, *(self.widths[k] for k in sources)]), strict=False))
        has_bias = bias is not None
        total = self.width(sources) + has_bias
        free, fixed = np.zeros((units, total)), np.zeros((units, total))
        is_free = np.zeros(total)
        at = 0
        for k in self.flow:
            to = slice(starts[k], starts[k] + self.widths[k])
            free[:, to], is_free[to] = weight[:, at : at + self.widths[k]], 1.0
            at += self.widths[k]
        if at != columns:
            raise Error(f"a Linear layer with {columns} inputs follows one with {at} outputs")
        if bias is not None:
            free[:, -1], is_free[-1] = bias, 1.0
        row = 0
        for k in identity:
            for unit in range(self.widths[k]):
                fixed[row, starts[k] + unit] += 1.0
                row += 1
        self.rows.append((free, fixed, is_free))
        self.layers.append(layer(units, "identity", sources=sources, bias=has_bias))
        self.widths.append(units)
        self.flow = (len(self.layers),)
        self.is_open = True

    def activation(self, name: str) -> None:
        if name == "identity":
            return
        if not self.is_open:
            raise UnsupportedError(
                f"the activation {name} without a Linear module before it is not available: an activation belongs to a layer"
            )
        self.layers[-1]["activations"] = name
        self.is_open = False

    def close(self) -> tuple[int, ...]:
        """Ends the last layer: what follows is no activation of it."""
        self.is_open = False
        return self.flow

    def residual(self, module: Any, name: str) -> None:
        """Adds x + module(x), whose last layer is linear: the sum is a part of that layer."""
        before = self.close()
        modules = list(self.flat(module, name))
        if not modules or type(modules[-1]).__name__ != "Linear":
            raise UnsupportedError(f"{name}: the module of a Residual must end with a Linear module, without an activation")
        if not self.layers and len(modules) == 1:
            self.inputs = self.widths[0] = modules[-1].weight.shape[1]
        for inner in modules[:-1]:
            self.add(inner, name)
        weight, bias = self.numbers(modules[-1], name)
        if self.width(before) != len(weight):
            raise Error(f"{name}: x has {self.width(before)} numbers and module(x) {len(weight)}; their sum is not defined")
        self.linear(weight, bias, identity=before)

    def flat(self, module: Any, name: str) -> Iterator[Any]:
        """The modules that compute something, in their order."""
        self.check_hooks(module, name)
        if type(module).__name__ in ("Sequential", "ModuleList"):
            for _, child in _children(module):
                yield from self.flat(child, name)
        elif type(module).__name__ not in ("Dropout", "AlphaDropout", "Identity"):
            yield module

    def finish(self) -> tuple[Network, Floats]:
        if self.inputs is None:
            raise Error("the module has no Linear module")
        if len(self.flow) > 1:
            raise UnsupportedError("a Skip at the end is not available: let a Linear module follow it")
        free = np.concatenate([rows.ravel() for rows, _, _ in self.rows])
        if not np.all(np.isfinite(free)):
            raise Error("the module has weights that are not finite")
        fixed = np.concatenate([rows.ravel() for _, rows, _ in self.rows])
        is_free = np.concatenate([np.tile(columns, len(rows)) for rows, _, columns in self.rows]) > 0.0
        if not np.any(fixed):
            return Network(self.inputs, self.layers), free
        places = np.flatnonzero(is_free)
        ties = Ties(fixed, len(places), places, np.arange(len(places)))
        return Network(self.inputs, self.layers, ties=ties), free[places]


def _children(module: Any) -> Iterator[tuple[str, Any]]:
    """The modules in their order with their names; ``named_children`` leaves out one that comes again."""
    return iter(module._modules.items())


def _numpy(tensor: Any, name: str = "a weight") -> Floats:
    """Returns a tensor's numbers, of whatever library."""
    if hasattr(tensor, "detach"):
        if tensor.is_complex() or tensor.is_meta:
            raise UnsupportedError(f"{name}: real numbers are needed, found {tensor.dtype} on {tensor.device}")
        # Not every type of PyTorch is one of NumPy.
        tensor = tensor.detach().cpu().double().numpy()
    return np.asarray(tensor, dtype=np.float64)


def to_torch(network: Network, w: ArrayLike, module: Any) -> None:
    """Write parameters into a PyTorch module that :func:`from_torch` understands.

    Parameters
    ----------
    network : Network
        The network that ``from_torch(module)`` returned, or one with the same parameters.
    w : array_like of shape (P,)
        Its parameters. They are rounded where the module's are float32.
    module : torch.nn.Module
        The module, which is changed.
    """
    ordered = network.to_torch_order(vector(w, "parameters"))
    parameters = list(module.parameters())
    count = sum(int(np.prod(p.shape)) for p in parameters)
    if count != len(ordered):
        raise Error(f"the module has {count} parameters, and {len(ordered)} were given")
    at = 0
    for parameter in parameters:
        size = int(np.prod(parameter.shape))
        values = ordered[at : at + size].reshape(tuple(parameter.shape))
        parameter.data.copy_(parameter.data.new_tensor(values.tolist()))
        at += size


def state_dict(network: Network, w: ArrayLike) -> dict[str, Floats]:
    """Return the parameters under PyTorch's names, as an ``nn.Sequential`` of Linear modules and activations in turns has them.

    Examples
    --------
    >>> from secondo import Network, state_dict
    >>> list(state_dict(Network.dense([2, 3, 1]), [0.0] * 13))
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """
    out: dict[str, Floats] = {}
    for k, (weights, biases) in enumerate(network.unflatten(w)):
        out[f"{2 * k}.weight"] = weights.copy()
        if biases is not None:
            out[f"{2 * k}.bias"] = biases.copy()
    return out


def from_state_dict(
    state: Mapping[str, Any], activation: str | Sequence[str] = "tanh", *, output: str = "identity"
) -> tuple[Network, Floats]:
    """Return the network of a state dict of Linear modules, one after the other, which does not hold the activations.

    Parameters
    ----------
    state : mapping
        Names that end with ``weight`` (outputs × inputs) and, where there are biases, ``bias``; in the order of the layers.
    activation : str or sequence of str
        The activation of the hidden layers, or one for each.
    output : str
        That of the last layer.

    Examples
    --------
    >>> import numpy as np
    >>> from secondo import from_state_dict
    >>> network, w = from_state_dict({"0.weight": np.ones((1, 2)), "0.bias": np.zeros(1)})
    >>> w
    array([1., 1., 0.])
    """
    pairs: list[tuple[Floats, Floats | None]] = []
    stem = None
    for name, value in state.items():
        prefix, _, kind = name.rpartition(".")
        if kind == "weight":
            stem = prefix
            pairs.append((matrix(_numpy(value), name), None))
        elif kind == "bias" and prefix == stem:
            pairs[-1] = pairs[-1][0], _numpy(value)
        else:
            raise UnsupportedError(f"{name}: only weight, and bias behind it, of Linear modules are available")
    return _dense(pairs, activation, output)


def from_keras(weights: Sequence[Any], activation: str | Sequence[str] = "tanh", *, output: str = "identity") -> tuple[Network, Floats]:
    """Return the network of Keras's ``model.get_weights()`` of Dense layers: kernels (inputs × outputs), each with its bias behind it.

    Parameters
    ----------
    weights : sequence of array_like
        Kernels with two axes and biases with one.
    activation, output : str
        As of :func:`from_state_dict`.

    Examples
    --------
    >>> from secondo import from_keras
    >>> network, w = from_keras([[[1.0], [2.0]], [3.0]])
    >>> network.inputs, w
    (2, array([1., 2., 3.]))
    """
    pairs: list[tuple[Floats, Floats | None]] = []
    for index, value in enumerate(weights):
        array = _numpy(value)
        if array.ndim == 2:
            pairs.append((array.T, None))
        elif array.ndim == 1 and pairs and pairs[-1][1] is None:
            pairs[-1] = pairs[-1][0], array
        else:
            raise UnsupportedError(f"weights[{index}]: only kernels, and biases behind them, of Dense layers are available")
    return _dense(pairs, activation, output)


def from_flax(parameters: Mapping[str, Any], activation: str | Sequence[str] = "tanh", *, output: str = "identity") -> tuple[Network, Floats]:
    """Return the network of Flax's parameters of Dense layers: ``{"Dense_0": {"kernel": …, "bias": …}, …}``.

    Parameters
    ----------
    parameters : mapping
        The layers in the order of the numbers at the end of their names; also below a key ``params``.
    activation, output : str
        As of :func:`from_state_dict`.
    """
    if set(parameters) == {"params"}:
        parameters = parameters["params"]

    def number(name: str) -> int:
        digits = name.rpartition("_")[2]
        if not digits.isdigit() or "kernel" not in parameters[name]:
            raise UnsupportedError(f"{name}: only Dense layers with numbered names are available")
        return int(digits)

    weights: list[Any] = []
    for name in sorted(parameters, key=number):
        entry = parameters[name]
        weights += [entry["kernel"], *([entry["bias"]] if "bias" in entry else [])]
    return from_keras(weights, activation, output=output)


def from_sklearn(estimator: Any) -> tuple[Network, Floats]:
    """Return the network of a fitted ``MLPRegressor`` or ``MLPClassifier``, and its parameters.

    The outputs are before the link: logits of a classifier.

    Raises
    ------
    secondo.Error
        The estimator is not fitted.
    """
    if not hasattr(estimator, "coefs_"):
        raise Error(f"{type(estimator).__name__} is not fitted, or no multi-layer perceptron")
    pairs = [
        (_numpy(weights).T, _numpy(biases))
        for weights, biases in zip(estimator.coefs_, estimator.intercepts_, strict=True)
    ]
    link = estimator.out_activation_
    output = "identity" if link in ("identity", "logistic", "softmax") else link
    return _dense(pairs, estimator.activation, output)


def _dense(
    pairs: Sequence[tuple[Floats, Floats | None]], activation: str | Sequence[str], output: str
) -> tuple[Network, Floats]:
    if not pairs:
        raise Error("there is no layer")
    names = [activation] * (len(pairs) - 1) if isinstance(activation, str) else list(activation)
    if len(names) != len(pairs) - 1:
        raise Error(f"activation: {len(pairs) - 1} hidden layers need as many names, found {len(names)}")
    layers = [
        layer(len(weights), name, bias=biases is not None)
        for (weights, biases), name in zip(pairs, [*names, output], strict=True)
    ]
    network = Network(pairs[0][0].shape[1], layers)
    return network, network.flatten(pairs)
