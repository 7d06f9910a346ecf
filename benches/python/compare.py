"""secondo beside PyTorch and scikit-learn, and what a call costs. Run it in an environment with secondo (a release build), torch and
scikit-learn: `python benches/python/compare.py [hessian] [search] [call]`; all three unless named."""

import statistics
import sys
import time
import warnings

import numpy as np

import secondo


def seconds(f, repeat=5):
    times = []
    for _ in range(repeat):
        begin = time.perf_counter()
        f()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


WEIGHTS = [0.5, 2.0, 1.25, 3.0, 0.75, 1.5, 1.0]
#: Each loss of secondo, Σ over all samples, in the functions m of another library.
LOSSES = {
    "squared_error": ({}, lambda m, f, y: (0.5 * (f - y) ** 2).sum()),
    "wsos": ({"output_weights": WEIGHTS}, lambda m, f, y: sum((0.5 * v * (f - y)[:, o] ** 2).sum() for o, v in zip(range(f.shape[1]), WEIGHTS))),
    "logcosh": ({"delta": 0.7}, lambda m, f, y: (0.7**2 * m.log(m.cosh((f - y) / 0.7))).sum()),
    "pseudo_huber": ({"delta": 0.7}, lambda m, f, y: (0.7**2 * (m.sqrt(1 + ((f - y) / 0.7) ** 2) - 1)).sum()),
    "binary_cross_entropy": ({}, lambda m, f, y: (m.log1p(m.exp(f)) - y * f).sum()),
    "softmax_cross_entropy": ({}, lambda m, f, y: m.log(m.exp(f).sum(1)).sum() - (y * f).sum()),
    "poisson": ({}, lambda m, f, y: (m.exp(f) - y * f).sum()),
    "negative_binomial": ({"dispersion": 0.5}, lambda m, f, y: ((y + 2.0) * m.log1p(0.5 * m.exp(f)) - y * f).sum()),
    "gamma": ({}, lambda m, f, y: (y * m.exp(-f) - 1 - m.log(y * m.exp(-f))).sum()),
}
ACTIVATIONS = {
    "tanh": lambda m, u: m.tanh(u),
    "logistic": lambda m, u: 1 / (1 + m.exp(-u)),
    "silu": lambda m, u: u / (1 + m.exp(-u)),
    "softplus": lambda m, u: m.log1p(m.exp(u)),
    "identity": lambda m, u: u,
}


def peers():
    """The name, the functions, how an array is made, and the Hessian of a function, of each library that can be imported."""
    try:
        import torch
    except ImportError:
        print("hessian: torch cannot be imported")
    else:
        array = lambda a: torch.as_tensor(a, dtype=torch.float64)  # noqa: E731
        yield "torch.func.hessian", torch, array, lambda f, w: torch.func.hessian(f)(w).numpy()
    try:
        import jax
    except ImportError:
        print("hessian: jax cannot be imported")
    else:
        jax.config.update("jax_enable_x64", True)
        yield "jax.hessian", jax.numpy, jax.numpy.asarray, lambda f, w: np.asarray(jax.hessian(f)(w))


def random_case(seed):
    """A random network with skips as layers of (units, activation, sources), with data and parameters."""
    random = np.random.default_rng(seed)
    inputs, layers = int(random.integers(1, 5)), []
    for k in range(int(random.integers(2, 5))):
        sources = sorted({k, *random.integers(0, k + 1, size=2).tolist()})
        layers.append((int(random.integers(1, 6)), list(ACTIVATIONS)[random.integers(4)], sources))
    layers[-1] = (layers[-1][0] + 1, "identity", layers[-1][2])
    network = secondo.Network(inputs, [secondo.layer(u, a, sources=s) for u, a, s in layers])
    loss = list(LOSSES)[seed % len(LOSSES)]
    x, y = random.normal(size=(7, inputs)), random.normal(size=(7, network.outputs))
    if loss == "softmax_cross_entropy":
        y = np.abs(y) / np.abs(y).sum(axis=1, keepdims=True)
    elif loss not in ("squared_error", "wsos", "logcosh", "pseudo_huber"):
        y = np.clip(np.abs(y), 0.1, 1.0)
    return network, layers, loss, x, y, random.normal(size=network.parameters)


def hessian():
    """The largest relative difference of Hessians from those of torch and jax over 30 random networks with skips, by all losses."""
    for name, m, array, hessian_of in peers():
        worst = 0.0
        for seed in range(30):
            network, layers, loss, x, y, w = random_case(seed)
            options, function = LOSSES[loss]
            if "output_weights" in options:
                options = {"output_weights": WEIGHTS[: network.outputs]}

            def objective(flat):
                states, at = [array(x)], 0
                for units, activation, sources in layers:
                    z = m.concatenate([*(states[s] for s in sources), array(np.ones((len(x), 1)))], 1)
                    end = at + units * z.shape[1]
                    states.append(ACTIVATIONS[activation](m, z @ flat[at:end].reshape(units, -1).T))
                    at = end
                return function(m, states[-1], array(y))

            right = hessian_of(objective, array(w))
            found = secondo.Problem(network, x, y, {"type": loss, **options}).hessian(w)
            worst = max(worst, np.max(np.abs(found - right)) / np.max(np.abs(right)))
        print(f"hessian: 30 networks, {len(LOSSES)} losses, largest difference from {name} {worst:.1e} of the largest entry")
        assert worst < 1e-12


def search():
    """A grid over widths and ridge beside scikit-learn's MLP: seconds and score."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.datasets import load_diabetes, load_wine
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    warnings.simplefilter("ignore")
    for name, load, ours, theirs in (
        ("wine", load_wine, secondo.SecondOrderClassifier(random_state=0), MLPClassifier(max_iter=2000, random_state=0)),
        ("diabetes", load_diabetes, secondo.SecondOrderRegressor(random_state=0), MLPRegressor(max_iter=2000, random_state=0)),
    ):
        x, y = load(return_X_y=True)
        widths = [(2,), (4,), (8,)]
        grid = {"hidden_layer_sizes": widths, "ridge": [0.1, 1.0, 10.0, 30.0]}
        mine = GridSearchCV(ours, grid, cv=5)
        step = type(theirs).__name__.lower()
        pipe = make_pipeline(StandardScaler(), theirs)
        if name == "diabetes":
            # Ours standardises the target by itself.
            pipe, step = TransformedTargetRegressor(pipe, transformer=StandardScaler()), f"regressor__{step}"
        # The same penalties in the terms of scikit-learn, alpha = ridge.
        grid = {f"{step}__hidden_layer_sizes": widths, f"{step}__alpha": [0.1, 1.0, 10.0, 30.0]}
        other = GridSearchCV(pipe, grid, cv=5)
        # In turns, so that what else the machine does meets both.
        times = [[seconds(lambda: search.fit(x, y), 1) for search in (mine, other)] for _ in range(3)]
        ratio = statistics.median(b / a for a, b in times)
        own, peer = (statistics.median(column) for column in zip(*times))
        print(
            f"search, {name}: secondo {own:.2f} s, score {mine.best_score_:.4f}; scikit-learn {peer:.2f} s, "
            f"score {other.best_score_:.4f}; ratio {ratio:.1f}, median of {len(times)} pairs in turns"
        )


def call():
    """Microseconds of a call on iris with [4-5-3], and of the smallest problem, whose time is nearly all call."""
    from sklearn.datasets import load_iris

    x, y = load_iris(return_X_y=True)
    for name, problem in (
        ("iris [4-5-3]", secondo.Problem(secondo.Network.dense([4, 5, 3]), x, y, "softmax_cross_entropy")),
        ("one sample [1-1]", secondo.Problem(secondo.Network.dense([1, 1]), [[1.0]], [1.0])),
    ):
        w = problem.network.initial(0)
        count = 2000
        f = lambda: [problem.value_and_gradient(w) for _ in range(count)]  # noqa: E731
        print(f"call: value_and_gradient of {name}: {seconds(f) / count * 1e6:.1f} µs")


if __name__ == "__main__":
    chosen = sys.argv[1:] or ["hessian", "search", "call"]
    for part in chosen:
        {"hessian": hessian, "search": search, "call": call}[part]()
