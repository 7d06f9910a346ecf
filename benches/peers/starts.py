#!/usr/bin/env python3
"""A hundred fits of a small network from random starts: fits a second of secondo, scikit-learn and R's nnet.

    python benches/peers/starts.py [--starts 100] [--ridge 0.01] > table.md

Needs secondo (the Python package from a release build) and scikit-learn, and R with nnet where it is at hand. Two fits at a time, each by one
thread. Standardised data, tanh units, sums over samples and half the ridge times the sum of squares of all parameters. Every program goes on
until its own test of a minimum: secondo's certificate, tol 1e-6 of scikit-learn's lbfgs and reltol 1e-8 of nnet, both with 10,000 iterations
at most. The objective is that of all three programs at the same penalty, but for scikit-learn's biases, which it does not penalise, and nnet's logistic units.
"""
import argparse
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
from sklearn.neural_network import MLPClassifier, MLPRegressor

import secondo

DATA = pathlib.Path(__file__).resolve().parents[2] / "examples" / "data"
SETS = [("iris", "species", 5), ("breast_cancer", "diagnosis", 5), ("diabetes", "progression", 8)]
RSCRIPT = """
library(nnet); library(parallel)
a <- commandArgs(TRUE)
d <- as.matrix(read.csv(a[1])); kind <- a[2]; size <- as.integer(a[3]); starts <- as.integer(a[4]); ridge <- as.numeric(a[5])
p <- as.integer(a[6]); x <- d[, 1:p]; y <- d[, -(1:p), drop = FALSE]
one <- function(seed) {
  set.seed(seed)
  nnet(x, y, size = size, linout = kind == "number", entropy = kind == "two", softmax = kind == "many",
       decay = if (kind == "number") ridge else ridge / 2, maxit = 10000, MaxNWts = 1e5, trace = FALSE)$value
}
time <- system.time(values <- unlist(mclapply(1:starts, one, mc.cores = 2)))[["elapsed"]]
cat(time, median(values) / (if (kind == "number") 2 else 1), "\\n")
"""


def table(name, target):
    frame = pd.read_csv(DATA / f"{name}.csv")
    y = frame.pop(target)
    x = ((frame - frame.mean()) / frame.std(ddof=0)).to_numpy()
    if y.dtype.kind == "f" or y.nunique() > 20:
        return "number", "squared_error", x, ((y - y.mean()) / y.std(ddof=0)).to_numpy(float)
    codes = pd.Categorical(y).codes
    if codes.max() == 1:
        return "two", "binary_cross_entropy", x, codes.astype(float)
    return "many", "softmax_cross_entropy", x, codes


def ours(problem, options):
    def fit(seed):
        found = problem.minimize(problem.network.initial(seed=seed))
        return found.fun, found.success

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(fit, range(options.starts)))
    assert all(success for _, success in ends), "a fit has no certificate"
    return statistics.median(value for value, _ in ends)


def sklearn(kind, x, y, units, options, problem):
    one = MLPRegressor if kind == "number" else MLPClassifier

    def fit(seed):
        warnings.simplefilter("ignore")
        made = one(hidden_layer_sizes=(units,), activation="tanh", solver="lbfgs", alpha=options.ridge, tol=1e-6, max_iter=10_000, random_state=seed)
        return made.fit(x, y)

    fits = joblib.Parallel(n_jobs=2)(joblib.delayed(fit)(seed) for seed in range(options.starts))
    return lambda: statistics.median(problem.value(secondo.from_sklearn(fit)[1]) for fit in fits)


def nnet(kind, x, y, units, options):
    targets = np.eye(y.max() + 1)[y] if kind == "many" else y.reshape(-1, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "table.csv"
        pd.DataFrame(np.hstack([x, targets])).to_csv(path, index=False)
        arguments = [path, kind, units, options.starts, options.ridge, x.shape[1]]
        done = subprocess.run(["Rscript", "-e", RSCRIPT, *map(str, arguments)], capture_output=True, text=True, check=True)
    return [float(number) for number in done.stdout.split()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--starts", type=int, default=100)
    parser.add_argument("--ridge", type=float, default=0.01)
    options = parser.parse_args()
    print("| problem | program | fits a second | secondo's over it | median objective |\n|:--|:--|--:|--:|--:|")
    for name, target, units in SETS:
        kind, loss, x, y = table(name, target)
        outputs = int(y.max()) + 1 if kind == "many" else 1
        network = secondo.Network.dense([x.shape[1], units, outputs])
        problem = secondo.Problem(network, x, y, loss, penalty=options.ridge, threads=1)
        joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(v) for v in range(4))  # its processes are started once
        begin = time.perf_counter()
        objective = ours(problem, options)
        own = time.perf_counter() - begin
        begin = time.perf_counter()
        value = sklearn(kind, x, y, units, options, problem)
        rows = [("secondo", own, objective), ("scikit-learn, lbfgs", time.perf_counter() - begin, value())]
        if shutil.which("Rscript"):
            rows.append(("R, nnet", *nnet(kind, x, y, units, options)))
        widths = "-".join(map(str, [x.shape[1], units, outputs]))
        for program, seconds, value in rows:
            print(f"| {name} [{widths}] | {program} | {options.starts / seconds:.1f} | {seconds / own:.1f} | {value:.4f} |", flush=True)


main()
