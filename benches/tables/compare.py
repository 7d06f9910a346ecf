#!/usr/bin/env python3
"""Compares what `secondo fit` makes of tables with scikit-learn's MLP and R's nnet, whose alpha and decay are cross-validated.

    python benches/tables/compare.py --secondo target/release/secondo [--splits 5] [--rows 2000] [SET …]

Needs scikit-learn and pandas; R with nnet and MASS where it is installed, else their columns and sets are left out. Each table is divided several times into 80 % to train and 20 % to test, classes in proportion; all
programs see the same rows. The score is the accuracy for classes and R² for numbers, on the rows to test; the table that is printed
has its mean over the divisions and, for the difference, its mean and standard error.

The data sets, with their sources and licences: iris, wine, breast cancer and digits (UCI, CC BY 4.0) and diabetes (Efron and others,
2004) come with scikit-learn; letter (UCI, CC BY 4.0) is read from the file that --letter names; Friedman's three functions (1991) are
drawn with a fixed seed. Boston (Harrison and Rubinfeld, 1978), fgl (glass; Evett and Spiehler) and Pima (Smith and others, 1988) are read from
R's package MASS at run time.
"""

import argparse
import io
import json
import shutil
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ALPHAS = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]

# nnet with eight hidden units; the decay of the lowest error in five folds, three starts each.
NNET = """
suppressMessages(library(nnet))
train <- read.csv("train.csv", stringsAsFactors = FALSE); test <- read.csv("test.csv", stringsAsFactors = FALSE)
inputs <- setdiff(names(train), "target")
center <- sapply(train[inputs], mean); spread <- sapply(train[inputs], sd); spread[spread == 0] <- 1
x <- scale(train[inputs], center, spread); new <- scale(test[inputs], center, spread)
classes <- is.character(train$target)
if (classes) { levels <- sort(unique(train$target)); y <- class.ind(factor(train$target, levels))
} else { middle <- mean(train$target); size <- sd(train$target); y <- matrix((train$target - middle) / size) }
fit <- function(x, y, decay) {
  best <- NULL
  for (start in 1:3) {
    net <- nnet(x, y, size = 8, decay = decay, maxit = 300, MaxNWts = 1e5, trace = FALSE, linout = !classes, softmax = classes)
    if (is.null(best) || net$value < best$value) best <- net
  }
  best
}
wrong <- function(net, x, y) if (classes) sum(max.col(predict(net, x)) != max.col(y)) else sum((predict(net, x) - y)^2)
set.seed(as.integer(commandArgs(TRUE)[1]))
fold <- sample(rep(1:5, length.out = nrow(x)))
errors <- sapply(c(ALPHAS), function(decay)
  sum(sapply(1:5, function(k) wrong(fit(x[fold != k, ], y[fold != k, , drop = FALSE], decay), x[fold == k, , drop = FALSE], y[fold == k, , drop = FALSE]))))
net <- fit(x, y, c(ALPHAS)[which.min(errors)])
out <- predict(net, new)
write.csv(data.frame(prediction = if (classes) levels[max.col(out)] else out[, 1] * size + middle), "nnet.csv", row.names = FALSE)
""".replace("ALPHAS", ", ".join(map(str, ALPHAS)))


def from_sklearn(load, classes):
    data = load()
    x = pd.DataFrame(data.data, columns=[f"x{i}" for i in range(data.data.shape[1])])
    y = [f"c{int(v)}" for v in data.target] if classes else data.target
    return x, pd.Series(y, name="target")


def friedman(make):
    x, y = make(n_samples=500, noise={"make_friedman1": 1.0, "make_friedman2": 125.0}.get(make.__name__, 0.1), random_state=0)
    return pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])]), pd.Series(y, name="target")


def from_r(frame, target):
    """A data frame of R as a table without rows with missing values."""
    done = subprocess.run(["Rscript", "-e", f"write.csv({frame}, row.names = FALSE)"], check=True, capture_output=True, text=True)
    table = pd.read_csv(io.StringIO(done.stdout)).dropna()
    return table.drop(columns=target), table[target].rename("target")


def letter(path):
    table = pd.read_csv(path)
    return table.drop(columns="letter"), table["letter"].rename("target")


def sets(options):
    out = {
        "iris": lambda: from_sklearn(datasets.load_iris, True),
        "wine": lambda: from_sklearn(datasets.load_wine, True),
        "breast cancer": lambda: from_sklearn(datasets.load_breast_cancer, True),
        "digits": lambda: from_sklearn(datasets.load_digits, True),
        "diabetes": lambda: from_sklearn(datasets.load_diabetes, False),
        "friedman 1": lambda: friedman(datasets.make_friedman1),
        "friedman 2": lambda: friedman(datasets.make_friedman2),
        "friedman 3": lambda: friedman(datasets.make_friedman3),
    }
    if shutil.which("Rscript"):
        out["Boston"] = lambda: from_r("MASS::Boston", "medv")
        out["fgl"] = lambda: from_r("MASS::fgl", "type")
        out["Pima"] = lambda: from_r("rbind(MASS::Pima.tr, MASS::Pima.te)", "type")
    if options.letter:
        out["letter"] = lambda: letter(options.letter)
    return out


def ours(options, train, test, classes, more):
    with tempfile.TemporaryDirectory() as folder:
        train.to_csv(f"{folder}/train.csv", index=False)
        test.drop(columns="target").to_csv(f"{folder}/test.csv", index=False)
        task = "classification" if classes else "regression"
        fit = [options.secondo, "fit", "train.csv", "--target", "target", "--task", task, "--test-fraction", "0", "-q", *more]
        begin = time.perf_counter()
        subprocess.run(fit, cwd=folder, check=True)
        seconds = time.perf_counter() - begin
        predict = [options.secondo, "predict", "train.safetensors", "test.csv", "-q", "--output", "out.csv"]
        subprocess.run(predict, cwd=folder, check=True)
        return pd.read_csv(f"{folder}/out.csv")["prediction"], seconds


def in_r(train, test, seed):
    with tempfile.TemporaryDirectory() as folder:
        train.to_csv(f"{folder}/train.csv", index=False)
        test.drop(columns="target").to_csv(f"{folder}/test.csv", index=False)
        begin = time.perf_counter()
        subprocess.run(["Rscript", "-e", NNET, str(seed)], cwd=folder, check=True, capture_output=True)
        return pd.read_csv(f"{folder}/nnet.csv")["prediction"], time.perf_counter() - begin


def theirs(train, test, classes, seed):
    network = (MLPClassifier if classes else MLPRegressor)(random_state=seed, max_iter=500)
    name = type(network).__name__.lower()
    search = GridSearchCV(make_pipeline(StandardScaler(), network), {f"{name}__alpha": ALPHAS}, cv=5)
    y = train["target"]
    # scikit-learn leaves the target as it is, and its steps suit numbers of about 1.
    mean, scale = (0.0, 1.0) if classes else (y.mean(), y.std())
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(train.drop(columns="target"), y if classes else (y - mean) / scale)
    seconds = time.perf_counter() - begin
    predicted = search.predict(test.drop(columns="target"))
    return predicted if classes else predicted * scale + mean, seconds


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--secondo", default="target/release/secondo", type=lambda p: str(Path(p).resolve()))
    parse.add_argument("--letter", type=Path, help="letter.csv")
    parse.add_argument("--splits", type=int, default=5)
    parse.add_argument("--rows", type=int, default=10**9, help="at most so many rows of a table")
    parse.add_argument("--with", dest="more", action="append", default=[], help="options of a further fit, as in '--ridge auto'")
    parse.add_argument("--peers", type=Path, help="keep the peers' scores and seconds in this file, and take them from it: they take most of the time")
    parse.add_argument("sets", nargs="*")
    options = parse.parse_args()
    kept = json.loads(options.peers.read_text()) if options.peers and options.peers.exists() else {}
    ways = ["", *options.more]
    peers = {"scikit-learn": theirs}
    if shutil.which("Rscript"):
        peers["nnet"] = lambda train, test, _, seed: in_r(train, test, seed)
    head = ["set", "rows", *peers, *(f"secondo {way}".strip() for way in ways)]
    head += [f"{f'{way}: ' if way else ''}minus {peer}" for way in ways for peer in peers] + ["seconds: " + ", ".join([*peers, "secondo"])]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head), flush=True)
    for name, load in sets(options).items():
        if options.sets and name not in options.sets:
            continue
        x, y = load()
        table = pd.concat([x, y], axis=1)
        if len(table) > options.rows:
            table = table.sample(options.rows, random_state=0).reset_index(drop=True)
        classes = table["target"].dtype == object or str(table["target"].dtype).startswith("str")
        score = accuracy_score if classes else r2_score
        scores, times = [], []
        for seed in range(options.splits):
            strata = table["target"] if classes else None
            train, test = train_test_split(table, test_size=0.2, random_state=seed, stratify=strata)
            judged = []
            for peer, run in peers.items():
                key = f"{name}, {len(table)} rows, {peer}, {seed}"
                if key not in kept:
                    predicted, seconds = run(train, test, classes, seed)
                    kept[key] = score(test["target"], predicted), seconds
                    if options.peers:
                        options.peers.write_text(json.dumps(kept, indent=1))
                judged.append(kept[key])
            for way in ways:
                predicted, seconds = ours(options, train, test, classes, way.split())
                judged.append((score(test["target"], predicted), seconds))
            scores.append([figure for figure, _ in judged])
            times.append([seconds for _, seconds in judged])
        scores = np.array(scores)
        cells = [name, str(len(table)), *(f"{v:.4f}" for v in scores.mean(axis=0))]
        for way in range(len(ways)):
            differences = scores[:, [len(peers) + way]] - scores[:, : len(peers)]
            error = differences.std(axis=0, ddof=1) / np.sqrt(options.splits)
            cells += [f"{d:+.4f} ± {e:.4f}" for d, e in zip(differences.mean(axis=0), error)]
        cells.append(", ".join(f"{t:.1f}" for t in np.mean(times, axis=0)))
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
