"""Networks from other libraries: with the real ones where they are installed, and with stand-ins."""

import numpy as np
import pytest
from conftest import relative

import secondo


class Module:
    """The part of a PyTorch module that from_torch asks for."""

    def __init__(self, *children):
        self.children = children
        self._modules = {str(i): child for i, child in enumerate(children)}
        self._forward_hooks = {}

    def parameters(self):
        for child in self.children:
            yield from child.parameters()


class Sequential(Module):
    def __call__(self, x):
        for child in self.children:
            x = child(x)
        return x


class Linear(Module):
    def __init__(self, inputs, units, bias=True, seed=0):
        super().__init__()
        random = np.random.default_rng(seed + 100 * inputs + units)
        self.weight = random.normal(size=(units, inputs))
        self.bias = random.normal(size=units) if bias else None

    def __call__(self, x):
        return x @ self.weight.T + (0.0 if self.bias is None else self.bias)

    def parameters(self):
        yield self.weight
        if self.bias is not None:
            yield self.bias


class Tanh(Module):
    def __call__(self, x):
        return np.tanh(x)


class Softplus(Module):
    beta = 1

    def __call__(self, x):
        return np.logaddexp(0.0, x)


class Dropout(Module):
    def __call__(self, x):
        return x


class Skip(Module):
    def __init__(self, module):
        super().__init__(module)
        self.module = module

    def __call__(self, x):
        return np.concatenate([x, self.module(x)], axis=-1)


class Residual(Skip):
    def __call__(self, x):
        return x + self.module(x)


class Conv2d(Module):
    pass


TWICE = Tanh()
MODULES = {
    "an activation twice": Sequential(Linear(3, 4), TWICE, Linear(4, 5), TWICE, Linear(5, 2)),
    "dense": Sequential(Linear(3, 4), Tanh(), Dropout(), Linear(4, 5, bias=False), Softplus(), Linear(5, 2)),
    "linear layers": Sequential(Linear(3, 4), Linear(4, 2)),
    "skip": Sequential(Linear(3, 4), Tanh(), Skip(Sequential(Linear(4, 2), Tanh())), Linear(6, 2)),
    "skip of the input": Sequential(Skip(Sequential(Linear(3, 4), Tanh())), Linear(7, 2)),
    "residual": Sequential(Linear(3, 4), Tanh(), Residual(Sequential(Linear(4, 5), Tanh(), Linear(5, 4))), Linear(4, 2)),
    "residual of one layer": Sequential(Linear(3, 4), Tanh(), Residual(Linear(4, 4)), Tanh(), Linear(4, 2)),
    "two residuals": Sequential(
        Linear(3, 4), Tanh(),
        Residual(Sequential(Linear(4, 5), Tanh(), Linear(5, 4))), Tanh(),
        Residual(Sequential(Linear(4, 2), Tanh(), Linear(2, 4, bias=False))),
        Linear(4, 2),
    ),
    "residual of a skip": Sequential(
        Skip(Sequential(Linear(3, 2), Tanh())), Residual(Sequential(Linear(5, 3), Tanh(), Linear(3, 5))), Linear(5, 2)
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_stand_ins_for_torch(name):
    module = MODULES[name]
    network, w = secondo.from_torch(module)
    x = np.random.default_rng(7).normal(size=(6, 3))
    assert relative(network.predict(w, x), module(x)) < 1e-14
    flat = np.concatenate([p.ravel() for p in module.parameters()])
    assert np.array_equal(network.to_torch_order(w), flat)
    assert np.array_equal(network.from_torch_order(flat), w)
    assert network.parameters == len(flat)
    # Other parameters, too, and derivatives.
    for parameter in module.parameters():
        parameter += 0.125
    moved = network.from_torch_order(flat + 0.125)
    assert relative(network.predict(moved, x), module(x)) < 1e-13
    problem = secondo.Problem(network, x, module(x) + 1.0)
    step = 1e-6 * np.eye(len(w))[0]
    difference = (problem.value(moved + step) - problem.value(moved - step)) / 2e-6
    assert abs(problem.gradient(moved)[0] - difference) < 1e-6


def test_modules_that_are_not_known():
    for module, words in [
        (Sequential(Conv2d()), "Conv2d.*known are .*Linear"),
        (Sequential(Tanh(), Linear(2, 1)), "without a Linear"),
        (Sequential(Linear(2, 2), Tanh(), Tanh(), Linear(2, 1)), "without a Linear"),
        (Sequential(Linear(2, 2), Skip(Linear(2, 1))), "Skip at the end"),
        (Sequential(Linear(2, 2), Residual(Sequential(Linear(2, 2), Tanh()))), "must end with a Linear"),
    ]:
        with pytest.raises(secondo.UnsupportedError, match=words):
            secondo.from_torch(module)
    layer, tied, hooked = Linear(2, 2), Linear(2, 2), Linear(2, 2)
    tied.weight = layer.weight
    hooked_tanh = Sequential(Linear(2, 2), Tanh())
    hooked._forward_hooks = hooked_tanh._forward_hooks = {0: print}
    block = Sequential(Linear(2, 2), Tanh())
    for modules, words in [
        ((layer, Tanh(), layer), "share"),
        ((layer, Tanh(), tied), "share"),
        ((block, block, Linear(2, 1)), "share"),
        ((Linear(2, 2), Residual(layer), Residual(layer)), "share"),
        ((hooked,), "hook"),
        ((Linear(2, 2), Residual(Sequential(hooked_tanh, Linear(2, 2)))), "hook"),
    ]:
        with pytest.raises(secondo.UnsupportedError, match=words):
            secondo.from_torch(Sequential(*modules))
    layer.bias[0] = np.nan
    with pytest.raises(secondo.Error, match="not finite"):
        secondo.from_torch(Sequential(layer))
    beta = Softplus()
    beta.beta = 2
    with pytest.raises(secondo.UnsupportedError, match="beta=2"):
        secondo.from_torch(Sequential(Linear(2, 2), beta, Linear(2, 1)))
    with pytest.raises(secondo.Error, match="no Linear"):
        secondo.from_torch(Sequential())
    with pytest.raises(secondo.Error, match="with 3 inputs follows one with 2"):
        secondo.from_torch(Sequential(Linear(2, 2), Linear(3, 1)))


def test_state_dicts():
    network, w = secondo.from_torch(MODULES["dense"])
    state = secondo.state_dict(network, w)
    copy, same = secondo.from_state_dict(state, ["tanh", "softplus"])
    assert copy.spec == network.spec and np.array_equal(same, w)
    with pytest.raises(secondo.Error, match="2 hidden layers"):
        secondo.from_state_dict(state, ["tanh"])
    with pytest.raises(secondo.UnsupportedError, match="running_mean"):
        secondo.from_state_dict({**state, "1.running_mean": np.ones(3)})


def test_keras_and_flax():
    network, w = secondo.from_torch(MODULES["dense"])
    (a, b), (c, _), (d, e) = network.unflatten(w)
    copy, same = secondo.from_keras([a.T, b, c.T, d.T, e], ["tanh", "softplus"])
    assert copy.spec == network.spec and np.array_equal(same, w)
    tree = {"Dense_10": {"kernel": d.T, "bias": e}, "Dense_2": {"kernel": c.T}, "Dense_0": {"kernel": a.T, "bias": b}}
    copy, same = secondo.from_flax({"params": tree}, ["tanh", "softplus"])
    assert copy.spec == network.spec and np.array_equal(same, w)
    with pytest.raises(secondo.UnsupportedError):
        secondo.from_keras([np.ones((2, 3, 4))])
    with pytest.raises(secondo.UnsupportedError):
        secondo.from_flax({"Conv_0": {"kernels": a}})


def test_scikit_learn():
    neural = pytest.importorskip("sklearn.neural_network")
    random = np.random.default_rng(0)
    x, y = random.normal(size=(40, 3)), random.normal(size=40)
    for activation in ("tanh", "relu", "logistic"):
        fitted = neural.MLPRegressor(hidden_layer_sizes=(5, 4), activation=activation, max_iter=20, random_state=0)
        with pytest.warns():
            fitted.fit(x, y)
        network, w = secondo.from_sklearn(fitted)
        assert relative(network.predict(w, x)[:, 0], fitted.predict(x)) < 1e-13
    with pytest.warns():
        classifier = neural.MLPClassifier((5,), max_iter=20, random_state=0).fit(x, np.arange(40) % 3)
    network, w = secondo.from_sklearn(classifier)
    logits = network.predict(w, x)
    found = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert relative(found, classifier.predict_proba(x)) < 1e-13
    with pytest.raises(secondo.Error, match="not fitted"):
        secondo.from_sklearn(neural.MLPRegressor())


def test_torch():
    torch = pytest.importorskip("torch")
    from torch import nn

    from secondo.torch import Residual as TorchResidual
    from secondo.torch import Skip as TorchSkip

    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(3, 4), nn.Tanh(), TorchResidual(nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 4))),
        TorchSkip(nn.Sequential(nn.Linear(4, 2), nn.SiLU())), nn.Linear(6, 3),
    ).double()
    network, w = secondo.from_torch(module)
    x, codes = torch.randn(7, 3, dtype=torch.float64), torch.arange(7) % 3
    names = [name for name, _ in module.named_parameters()]
    shapes = [p.shape for p in module.parameters()]

    def loss(flat):
        parts = torch.split(flat, [s.numel() for s in shapes])
        state = {name: part.reshape(shape) for name, part, shape in zip(names, parts, shapes)}
        outputs = torch.func.functional_call(module, state, (x,))
        return nn.functional.cross_entropy(outputs, codes, reduction="sum")

    flat = torch.cat([p.detach().ravel() for p in module.parameters()])
    problem = secondo.Problem(network, x.numpy(), codes.numpy(), "softmax_cross_entropy")
    order = network.to_torch_order
    assert np.array_equal(order(w), flat.numpy())
    assert abs(problem.value(w) - loss(flat).item()) < 1e-13 * problem.value(w)
    assert relative(order(problem.gradient(w)), torch.func.grad(loss)(flat).numpy()) < 1e-12
    assert relative(order(problem.hessian(w)), torch.func.hessian(loss)(flat).numpy()) < 1e-12
    secondo.to_torch(network, w + 1.0, module)
    changed = torch.cat([p.detach().ravel() for p in module.parameters()])
    assert torch.equal(changed, flat + 1.0)
