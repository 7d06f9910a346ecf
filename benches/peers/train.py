#!/usr/bin/env python3
"""The fits of examples/race.rs by the methods of other programs: the same objective, data, start and tolerance.

    cargo run --release --example race -- --folder race-data
    python benches/peers/train.py race-data [--only digits] [--starts 3] [--limit 300] > table.md

Every run ends where max|gradient| is gtol of its value at the start, at its own limit of iterations (50,000), or (but scikit-learn's)
after --limit seconds. JAX is needed. The table of medians counts runs that reached the goal, or their own test where no gradient is seen.
Objective, all sums over samples: half squares, binary or softmax cross entropy of tanh units with one hidden layer, and half the ridge times
the sum of squares of all parameters, biases too. What cannot be imported is left out, and said.

  scipy-lbfgs      SciPy's L-BFGS-B, 10 pairs, value and gradient by JAX, compiled
  scipy-trust      SciPy's trust-exact with the Hessian by JAX; up to 2,100 parameters
  sklearn-lbfgs    scikit-learn's MLP, solver lbfgs, from the same start; no ridge on its biases, so another minimum
  torch-lbfgs      PyTorch's LBFGS, 10 pairs, strong Wolfe
  minpack          MINPACK's lmder through SciPy, Jacobian by JAX; squares alone, the ridge as residuals
  nnet             R's nnet (BFGS, logistic units) with the same sizes and decay, its own start; up to 1,000 parameters
"""
import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

jax.config.update("jax_enable_x64", True)
try:
    import sklearn.neural_network as sklearn
except ImportError:
    sklearn = None
try:
    import torch

    torch.set_default_dtype(torch.float64)
except ImportError:
    torch = None

ITERATIONS = 50_000


class TimeIsUp(Exception):
    pass


class Problem:
    """The files that race.rs wrote, as NumPy arrays. Parameters go unit by unit, the bias after the weights of each."""

    def __init__(self, path):
        self.about = json.loads(path.read_text())
        self.name, self.loss, self.ridge = (self.about[key] for key in ("name", "loss", "ridge"))
        inputs, self.hidden, outputs = self.widths = self.about["widths"]
        n = self.about["rows"]
        read = lambda extension: np.fromfile(path.with_suffix("." + extension), dtype="<f8")
        self.x, self.y = read("x").reshape(n, inputs), read("y").reshape(n, outputs)
        self.parameters = self.hidden * (inputs + 1) + outputs * (self.hidden + 1)
        self.starts = read("starts").reshape(-1, self.parameters)

    def split(self, w):
        """[V, b] of each layer."""
        inputs, hidden, outputs = self.widths
        first, second = w[: hidden * (inputs + 1)].reshape(hidden, inputs + 1), w[hidden * (inputs + 1):].reshape(outputs, hidden + 1)
        return [(m[:, :-1], m[:, -1]) for m in (first, second)]

    def outputs(self, w, tanh, x):
        (v1, b1), (v2, b2) = self.split(w)
        return tanh(x @ v1.T + b1) @ v2.T + b2

    def jax(self):
        x, y = jnp.asarray(self.x), jnp.asarray(self.y)

        def objective(w):
            z = self.outputs(w, jnp.tanh, x)
            if self.loss == "squares":
                fit = 0.5 * jnp.sum((z - y) ** 2)
            elif self.loss == "binary":
                fit = jnp.sum(jnp.logaddexp(0.0, z) - y * z)
            else:
                fit = jnp.sum(jax.scipy.special.logsumexp(z, axis=1) - jnp.sum(y * z, axis=1))
            return fit + 0.5 * self.ridge * jnp.sum(w * w)

        return objective

    def torch(self):
        x, y = torch.from_numpy(self.x), torch.from_numpy(self.y)
        classes = y.argmax(1)

        def objective(w):
            z = self.outputs(w, torch.tanh, x)
            if self.loss == "squares":
                fit = 0.5 * ((z - y) ** 2).sum()
            elif self.loss == "binary":
                fit = torch.nn.functional.binary_cross_entropy_with_logits(z, y, reduction="sum")
            else:
                fit = torch.nn.functional.cross_entropy(z, classes, reduction="sum")
            return fit + 0.5 * self.ridge * (w * w).sum()

        return objective


class Watch:
    """Counts gradients, remembers the last point, and ends a run at the goal or the time."""

    def __init__(self, value_and_gradient, goal, limit):
        self.of, self.goal, self.end = value_and_gradient, goal, time.perf_counter() + limit
        self.gradients, self.last, self.value, self.size, self.done = 0, None, np.nan, np.nan, False

    def __call__(self, w):
        if self.last is None or not np.array_equal(w, self.last[0]):
            value, gradient = self.of(w)
            self.gradients += 1
            self.last = (np.array(w), float(value), np.asarray(gradient, dtype=float))
            self.value, self.size = self.last[1], np.abs(self.last[2]).max()
            if self.size <= self.goal:
                raise StopIteration
            if time.perf_counter() > self.end:
                raise TimeIsUp
        return self.last[1], self.last[2]


def compiled(problem, cache):
    if "gradient" not in cache:
        f = jax.jit(jax.value_and_grad(problem.jax()))
        f(jnp.asarray(problem.starts[0]))[0].block_until_ready()
        cache["gradient"] = lambda w: f(jnp.asarray(w))
    return cache["gradient"]


def scipy_lbfgs(problem, start, goal, limit, cache):
    f = compiled(problem, cache)
    watch = Watch(f, goal, limit)
    options = {"maxiter": ITERATIONS, "maxfun": 10 * ITERATIONS, "ftol": 0, "gtol": 0, "maxcor": 10}
    return run(watch, lambda: scipy.optimize.minimize(watch, start, jac=True, method="L-BFGS-B", options=options))


def scipy_trust(problem, start, goal, limit, cache):
    if problem.parameters > 2_100:
        return None
    f = compiled(problem, cache)
    if "hessian" not in cache:
        hessian = jax.jit(jax.hessian(problem.jax()))
        hessian(jnp.asarray(start)).block_until_ready()
        cache["hessian"] = lambda w: np.asarray(hessian(jnp.asarray(w)))
    watch = Watch(f, goal, limit)
    value, gradient = (lambda w: watch(w)[0]), (lambda w: watch(w)[1])
    options = {"maxiter": ITERATIONS, "gtol": 0}
    return run(watch, lambda: scipy.optimize.minimize(value, start, jac=gradient, hess=cache["hessian"], method="trust-exact", options=options))


def minpack(problem, start, goal, limit, cache):
    if problem.loss != "squares":
        return None
    f = compiled(problem, cache)
    if "jacobian" not in cache:
        x, y = jnp.asarray(problem.x), jnp.asarray(problem.y)
        residuals = jax.jit(lambda w: jnp.concatenate([(problem.outputs(w, jnp.tanh, x) - y).ravel(), problem.ridge**0.5 * w]))
        jacobian = jax.jit(jax.jacfwd(residuals))
        jacobian(residuals(jnp.asarray(start))[: problem.parameters])
        cache["jacobian"] = (lambda w: np.asarray(residuals(w))), (lambda w: np.asarray(jacobian(w)))
    of_w, jacobian_of_w = cache["jacobian"]
    watch = Watch(f, goal, limit)

    def watched(w):
        watch(w)  # one gradient besides each Jacobian: MINPACK has no test of this kind
        return jacobian_of_w(w)

    return run(watch, lambda: scipy.optimize.leastsq(of_w, start, Dfun=watched, ftol=0, xtol=0, gtol=0, maxfev=ITERATIONS))


def torch_lbfgs(problem, start, goal, limit, _):
    objective = problem.torch()
    w = torch.tensor(start, requires_grad=True)
    solver = torch.optim.LBFGS([w], lr=1, max_iter=ITERATIONS, max_eval=10 * ITERATIONS, tolerance_grad=0, tolerance_change=0,
                               history_size=10, line_search_fn="strong_wolfe")

    def value_and_gradient(_):
        w.grad = None
        value = objective(w)
        value.backward()
        return value.detach().numpy(), w.grad.numpy()

    watch = Watch(value_and_gradient, goal, limit)

    def closure():
        watch(w.detach().numpy())
        return torch.tensor(watch.value)

    return run(watch, lambda: solver.step(closure))


def sklearn_lbfgs(problem, start, goal, limit, _):
    regression = problem.loss == "squares"
    if regression:
        y = problem.y.ravel()
    else:
        y = problem.y.argmax(1) if problem.y.shape[1] > 1 else problem.y.ravel().astype(int)
    n = len(problem.x)
    kind = sklearn.MLPRegressor if regression else sklearn.MLPClassifier
    # Its objective is ours over n, its penalty alpha/(2n) on the weights; its goal is that of SciPy, on the mean.
    model = kind(hidden_layer_sizes=[problem.hidden], activation="tanh", solver="lbfgs", alpha=problem.ridge, tol=goal / n, max_iter=ITERATIONS,
                 max_fun=10 * ITERATIONS, warm_start=True)
    model.max_iter = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(problem.x, y)
        (v1, b1), (v2, b2) = problem.split(start)
        model.coefs_, model.intercepts_ = [v1.T.copy(), v2.T.copy()], [b1.copy(), b2.copy()]
        model.max_iter = ITERATIONS
        begin = time.perf_counter()
        model.fit(problem.x, y)
        seconds = time.perf_counter() - begin
    return {"seconds": seconds, "objective": float(model.loss_ * n), "gradients": None, "end": "its own test"}


SCRIPT = """
library(nnet); a <- commandArgs(TRUE); n <- as.integer(a[2]); p <- as.integer(a[3]); o <- as.integer(a[4])
x <- matrix(readBin(file.path(a[1], 'x'), 'double', n * p), n, byrow = TRUE)
y <- matrix(readBin(file.path(a[1], 'y'), 'double', n * o), n, byrow = TRUE)
set.seed(as.integer(a[7]))
t <- system.time(f <- nnet(x, y, size = as.integer(a[5]), decay = as.numeric(a[6]), linout = a[8] == 'squares', entropy = a[8] == 'binary',
  softmax = a[8] == 'softmax', maxit = 50000, reltol = 0, abstol = 0, MaxNWts = 1e5, trace = FALSE))
cat(t[['elapsed']], f$value, f$convergence)
"""


def nnet(problem, start, goal, limit, cache):
    if problem.parameters > 1_000:
        return None
    cache["seed"] = cache.get("seed", 0) + 1
    with tempfile.TemporaryDirectory() as folder:
        problem.x.tofile(f"{folder}/x")
        problem.y.tofile(f"{folder}/y")
        n, (p, hidden, o) = len(problem.x), problem.widths
        # nnet minimises the sum of squares without a half, and decay times the sum of squared weights.
        decay = problem.ridge if problem.loss == "squares" else problem.ridge / 2
        words = [folder, n, p, o, hidden, decay, cache["seed"], problem.loss]
        try:
            done = subprocess.run(["Rscript", "-e", SCRIPT, *map(str, words)], capture_output=True, text=True, timeout=limit, check=True)
        except subprocess.TimeoutExpired:
            return {"seconds": limit, "objective": np.nan, "gradients": None, "end": "time"}
        except subprocess.CalledProcessError as error:
            return {"seconds": np.nan, "objective": np.nan, "gradients": None, "end": error.stderr.strip()[-80:]}
    seconds, value, code = done.stdout.split()
    # nnet's squares have no half.
    half = 0.5 if problem.loss == "squares" else 1.0
    return {"seconds": float(seconds), "objective": half * float(value), "gradients": None, "end": "its own test" if code == "0" else "limit"}


def run(watch, of):
    begin, end = time.perf_counter(), "its own test"
    try:
        of()
    except StopIteration:
        end = "goal"
    except TimeIsUp:
        end = "time"
    except Exception as error:  # of whatever kind: MINPACK's wrapper has its own
        end = "goal" if watch.size <= watch.goal else str(error)[:60]
    return {"seconds": time.perf_counter() - begin, "objective": watch.value, "gradients": watch.gradients, "relative": watch.size, "end": end}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for one run")
    options = parser.parse_args()
    peers = {"scipy-lbfgs": (jax, scipy_lbfgs), "scipy-trust": (jax, scipy_trust), "sklearn-lbfgs": (sklearn, sklearn_lbfgs),
             "torch-lbfgs": (torch, torch_lbfgs), "minpack": (jax, minpack), "nnet": (shutil.which("Rscript"), nnet)}
    absent = [name for name, (there, _) in peers.items() if not there]
    if absent:
        print("Not at hand, and left out: " + ", ".join(absent) + ".\n")
    rows, medians = [], []
    for path in sorted(options.folder.glob("*.json"), key=lambda path: path.with_suffix(".starts").stat().st_size):
        problem = Problem(path)
        if options.only not in problem.name:
            continue
        results = [result for result in problem.about["results"] if result["start"] < options.starts]
        cache = {}
        for index, start in enumerate(problem.starts[: options.starts]):
            scale = np.abs(np.asarray(jax.grad(problem.jax())(jnp.asarray(start)))).max()
            for name, (there, method) in peers.items():
                found = there and method(problem, start, problem.about["gtol"] * scale, options.limit, cache.setdefault(name, {}))
                if found:
                    if "relative" in found:
                        found["relative"] /= scale
                    results.append({"method": name, "start": index, **found})
                    print(f"{problem.name}, {name}, start {index}: {found}", file=sys.stderr)
        rows += [(problem, result) for result in results]
        medians.append((problem, results))
    print("| problem | P | start | method | seconds | gradients | objective | gradient/start | end |\n|:--|--:|--:|:--|--:|--:|--:|--:|:--|")
    for problem, r in sorted(rows, key=lambda row: (row[0].parameters, row[0].name, row[1]["start"])):
        relative = f"{r['relative']:.1e}" if r.get("relative") is not None else ""
        print(f"| {problem.name} | {problem.parameters} | {r['start']} | {r['method']} | {r['seconds']:.4f} | {r['gradients'] or ''} | "
              f"{r['objective']:.6f} | {relative} | {r.get('end', '')} |")
    print("\nMedian seconds, and the fastest other method over the default:\n")
    print("| problem | P | default | fastest other program | its seconds | ratio |\n|:--|--:|--:|:--|--:|--:|")
    for problem, results in medians:
        of = {}
        for result in results:
            reached = result.get("relative") is None or result["relative"] <= 1.001 * problem.about["gtol"]
            ended = result.get("end", "goal") in ("goal", "its own test")
            if ended and reached and np.isfinite(result["seconds"]):
                of.setdefault(result["method"], []).append(result["seconds"])
        middle = {name: statistics.median(seconds) for name, seconds in of.items() if len(seconds) * 2 > min(options.starts, len(problem.starts))}
        ours = middle.pop("secondo, default", np.nan)
        middle.pop("secondo, plain L-BFGS", None)
        best = min(middle, key=middle.get) if middle else ""
        print(f"| {problem.name} | {problem.parameters} | {ours:.4f} | {best} | {middle.get(best, np.nan):.4f} | {middle.get(best, np.nan) / ours:.2f} |")


if __name__ == "__main__":
    main()
