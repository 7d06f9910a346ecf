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


def hessian():
    """The largest relative difference of Hessians from torch.func.hessian over 30 random networks with skips."""
    import torch

    losses = {
        "squared_error": lambda f, y: 0.5 * ((f - y) ** 2).sum(),
        "binary_cross_entropy": lambda f, y: torch.nn.functional.binary_cross_entropy_with_logits(f, y, reduction="sum"),
        "softmax_cross_entropy": lambda f, y: torch.nn.functional.cross_entropy(f, y, reduction="sum"),
        "poisson": lambda f, y: (f.exp() - y * f).sum(),
        "gamma": lambda f, y: (y * (-f).exp() - 1 - torch.log(y * (-f).exp())).sum(),
    }
    functions = {"tanh": torch.tanh, "logistic": torch.sigmoid, "silu": torch.nn.functional.silu, "softplus": torch.nn.functional.softplus}
    worst = 0.0
    for seed in range(30):
        random = np.random.default_rng(seed)
        names = list(functions)
        widths, layers = [int(random.integers(1, 5))], []
        for k in range(int(random.integers(2, 5))):
            sources = sorted({k, *random.integers(0, k + 1, size=2).tolist()})
            layers.append((int(random.integers(1, 6)), names[random.integers(len(names))], sources))
            widths.append(layers[-1][0])
        layers[-1] = (layers[-1][0] + 1, "identity", layers[-1][2])
        network = secondo.Network(widths[0], [secondo.layer(u, a, sources=s) for u, a, s in layers])
        loss = list(losses)[seed % len(losses)]
        n, outputs = 7, network.outputs
        x = random.normal(size=(n, widths[0]))
        y = random.normal(size=(n, outputs))
        if loss == "softmax_cross_entropy":
            y = np.abs(y) / np.abs(y).sum(axis=1, keepdims=True)
        elif loss != "squared_error":
            y = np.clip(np.abs(y), 0.1, 1.0)
        w = random.normal(size=network.parameters)

        def objective(flat):
            states, at = [torch.as_tensor(x)], 0
            for units, activation, sources in layers:
                z = torch.cat([*(states[s] for s in sources), torch.ones(n, 1, dtype=torch.float64)], dim=1)
                rows = flat[at : at + units * z.shape[1]].reshape(units, -1)
                at += rows.numel()
                p = z @ rows.T
                states.append(p if activation == "identity" else functions[activation](p))
            return losses[loss](states[-1], torch.as_tensor(y))

        right = torch.func.hessian(objective)(torch.as_tensor(w)).numpy()
        found = secondo.Problem(network, x, y, loss).hessian(w)
        worst = max(worst, np.max(np.abs(found - right)) / np.max(np.abs(right)))
    print(f"hessian: 30 networks, largest difference from torch.func.hessian {worst:.1e} of the largest entry")


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
        begin = time.perf_counter()
        mine = GridSearchCV(ours, grid, cv=5).fit(x, y)
        own = time.perf_counter() - begin
        step = type(theirs).__name__.lower()
        pipe = make_pipeline(StandardScaler(), theirs)
        if name == "diabetes":
            # Ours standardises the target by itself.
            pipe, step = TransformedTargetRegressor(pipe, transformer=StandardScaler()), f"regressor__{step}"
        # The same penalties in the terms of scikit-learn, alpha = ridge.
        grid = {f"{step}__hidden_layer_sizes": widths, f"{step}__alpha": [0.1, 1.0, 10.0, 30.0]}
        begin = time.perf_counter()
        other = GridSearchCV(pipe, grid, cv=5).fit(x, y)
        theirs_seconds = time.perf_counter() - begin
        print(
            f"search, {name}: secondo {own:.2f} s, score {mine.best_score_:.4f}; scikit-learn {theirs_seconds:.2f} s, "
            f"score {other.best_score_:.4f}; ratio {theirs_seconds / own:.1f}"
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
