#!/usr/bin/env python3
"""The covariance of all parameters of a fitted network, with its tests: secondo beside laplace-torch and R's nnet.

    python benches/peers/inference.py [--hidden 45] [--rows 5000] > table.md

Needs secondo (the Python package from a release build); PyTorch with laplace-torch, and R with nnet, where they are at hand. A [20-HIDDEN-1] net
on made rows, half the squared error, ridge 1; each program starts where a fit has ended, and the fits are not timed. In turns, medians.

  secondo         exact Hessian, covariance, dispersion and degrees of freedom; Wald tests of each weight, unit and input, average slopes
                  with standard errors, residuals and leverages, information criteria: `Inference` and its whole report
  laplace-torch   `Laplace(model, "regression", subset_of_weights="all", hessian_structure="full").fit` and the posterior covariance; with
                  its Gauss-Newton matrix, and with its Hessian; no tests
  R               `nnetHess`, the exact Hessian, and `solve`; no tests. Logistic units, which is R's only choice
"""
import argparse
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time
import warnings

import numpy as np

import secondo

RSCRIPT = """
library(nnet)
a <- commandArgs(TRUE)
n <- as.integer(a[2]); hidden <- as.integer(a[3])
x <- matrix(readBin(file.path(a[1], "x"), "double", n * 20), n, byrow = TRUE)
y <- readBin(file.path(a[1], "y"), "double", n)
set.seed(1)
net <- nnet(x, y, size = hidden, linout = TRUE, decay = 1, maxit = 100, MaxNWts = 1e5, trace = FALSE)
for (i in 1:3) cat(system.time({ h <- nnetHess(net, x, matrix(y)); v <- solve(h) })[["elapsed"]], "\\n")
"""


def table(rows):
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, size=(rows, 20))
    y = np.tanh(2 * x[:, 0]) + x[:, 1] * x[:, 2] + np.sin(3 * x[:, 3]) + 0.1 * random.normal(size=rows)
    return x, y


def seconds(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def ours(x, y, hidden):
    network = secondo.Network.dense([20, hidden, 1])
    problem = secondo.Problem(network, x, y, penalty=1.0)
    fit = problem.minimize(network.initial(seed=1))
    assert fit.success, fit.message

    def work():
        inference = problem.inference(fit.x)
        assert inference.refused is None and len(inference.report["weights"]) == network.parameters
        return inference

    return network, fit.x, work


def laplace(network, w, x, y):
    """Names and works of laplace-torch, at our minimum."""
    try:
        import torch
        from laplace import Laplace, curvature
    except ImportError as error:
        print(f"laplace-torch left out: {error}\n")
        return {}
    torch.set_default_dtype(torch.float64)
    hidden = network.spec["layers"][0]["units"]
    module = torch.nn.Sequential(torch.nn.Linear(20, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, 1))
    secondo.to_torch(network, w, module)
    data = torch.utils.data.TensorDataset(torch.as_tensor(x), torch.as_tensor(y).reshape(-1, 1))

    def of(backend):
        def work():
            loader = torch.utils.data.DataLoader(data, batch_size=len(data))
            fitted = Laplace(
                module, "regression", subset_of_weights="all", hessian_structure="full", prior_precision=1.0, backend=backend
            )
            fitted.fit(loader)
            return fitted.posterior_covariance

        return work

    names = {"Gauss-Newton": "CurvlinopsGGN", "Hessian": "CurvlinopsHessian"}
    return {
        f"laplace-torch, full, {name}": of(getattr(curvature, backend))
        for name, backend in names.items()
        if hasattr(curvature, backend)
    }


def in_r(x, y, hidden):
    if not shutil.which("Rscript"):
        print("R left out: it is not installed\n")
        return []
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "x").write_bytes(np.ascontiguousarray(x, "<f8").tobytes())
        (pathlib.Path(folder) / "y").write_bytes(np.ascontiguousarray(y, "<f8").tobytes())
        run = ["Rscript", "-e", RSCRIPT, folder, str(len(x)), str(hidden)]
        done = subprocess.run(run, capture_output=True, text=True)
    if done.returncode:
        print(f"R left out: {done.stderr.strip().splitlines()[-1:]}\n")
        return []
    return [float(line) for line in done.stdout.split()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hidden", type=int, default=45)
    parser.add_argument("--rows", type=int, default=5000)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    x, y = table(options.rows)
    network, w, work = ours(x, y, options.hidden)
    works = {"secondo, with all tests": work} | laplace(network, w, x, y)
    times = {name: [] for name in works}
    for turn in range(4):
        for name, work in list(works.items()):
            try:
                took = seconds(work)
            except Exception as error:  # a peer that cannot is a row, too
                print(f"{name} left out: {type(error).__name__}: {error}\n")
                del works[name]
                continue
            # The first turn warms up.
            if turn:
                times[name].append(took)
    times["R, nnetHess and solve"] = in_r(x, y, options.hidden)
    own = statistics.median(times["secondo, with all tests"])
    print(f"[20-{options.hidden}-1], {network.parameters} parameters, {options.rows} rows, f64\n")
    print("| | seconds | times secondo's |\n|:--|--:|--:|")
    for name, all in times.items():
        if all:
            print(f"| {name} | {statistics.median(all):.3f} | {statistics.median(all) / own:.1f} |")


main()
