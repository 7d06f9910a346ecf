#!/usr/bin/env python3
"""Compares what `secondo fit` makes of nine tables with scikit-learn's MLP whose alpha is cross-validated.

    python benches/tables/compare.py --secondo target/release/secondo [--splits 5] [--rows 2000] [SET …]

Needs scikit-learn and pandas. Each table is divided several times into 80 % to train and 20 % to test, classes in proportion; both
programs see the same rows. The score is the accuracy for classes and R² for numbers, on the rows to test; the table that is printed
has its mean over the divisions and, for the difference, its mean and standard error.

The data sets, with their sources and licences: iris, wine, breast cancer and digits (UCI, CC BY 4.0) and diabetes (Efron and others,
2004) come with scikit-learn; letter (UCI, CC BY 4.0) is read from the file that --letter names; Friedman's three functions (1991) are
drawn with a fixed seed.
"""

import argparse
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


def from_sklearn(load, classes):
    data = load()
    x = pd.DataFrame(data.data, columns=[f"x{i}" for i in range(data.data.shape[1])])
    y = [f"c{int(v)}" for v in data.target] if classes else data.target
    return x, pd.Series(y, name="target")


def friedman(make):
    x, y = make(n_samples=500, noise={"make_friedman1": 1.0, "make_friedman2": 125.0}.get(make.__name__, 0.1), random_state=0)
    return pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])]), pd.Series(y, name="target")


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
    parse.add_argument("sets", nargs="*")
    options = parse.parse_args()
    ways = ["", *options.more]
    head = ["set", "rows", "scikit-learn", *(f"secondo {way}".strip() for way in ways)]
    head += [f"difference{f' {way}' if way else ''}" for way in ways]
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
        scores = []
        for seed in range(options.splits):
            strata = table["target"] if classes else None
            train, test = train_test_split(table, test_size=0.2, random_state=seed, stratify=strata)
            runs = [theirs(train, test, classes, seed)] + [ours(options, train, test, classes, way.split()) for way in ways]
            scores.append([score(test["target"], predicted) for predicted, _ in runs])
        scores = np.array(scores)
        differences = scores[:, 1:] - scores[:, :1]
        error = differences.std(axis=0, ddof=1) / np.sqrt(options.splits)
        cells = [name, str(len(table)), *(f"{v:.4f}" for v in scores.mean(axis=0))]
        cells += [f"{d:+.4f} ± {e:.4f}" for d, e in zip(differences.mean(axis=0), error)]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
