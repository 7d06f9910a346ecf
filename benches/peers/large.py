#!/usr/bin/env python3
"""A classifier [10-16-2] from the rows of a Parquet file: the time of secondo, Spark ML and scikit-learn's partial_fit to the same log-loss.

    python benches/peers/large.py rows.npy [--rows 300000] [--secondo target/release/secondo] [--memory 128M] > table.md

rows.npy is made by examples/larger_than_memory.rs (ten inputs in [-1, 1], a target); the class is the sign of the target. Needs numpy, pyarrow and
scikit-learn, and Spark ML (pyspark and Java) where it is at hand. Logistic units and two softmax outputs, which Spark's multilayer perceptron has; no
penalty, mean loss. Spark reads the file, caches it and fits once with L-BFGS (100 steps); its log-loss is the goal. secondo reads the file in parts; the first step of a fit with default options that is below the goal is looked up, of 60, and the
whole program, with as many steps, is timed. scikit-learn reads the file in batches of 4,096 rows for each epoch of Adam (its defaults) until an epoch ends below the
goal, 100 at the most; the log-loss after each is not timed. Each runs alone, with as many threads as it takes.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile
import time

import numpy as np
import pyarrow
import pyarrow.parquet

parser = argparse.ArgumentParser()
parser.add_argument("file")
parser.add_argument("--rows", type=int, default=300_000)
parser.add_argument("--secondo", default="target/release/secondo")
parser.add_argument("--memory", default="128M")
parser.add_argument("--goal", type=float, default=0.05, help="the goal where there is no Spark")
options = parser.parse_args()
INPUTS, HIDDEN, BATCH = 10, 16, 4096
STEPS, EPOCHS = 60, 100  # at the most
NAMES = [f"x{j + 1}" for j in range(INPUTS)]


def log_loss(probability, classes):
    """The mean of −log of the probability of class 1, or of 0."""
    right = np.where(classes == 1, probability, 1 - probability)
    return float(-np.log(np.clip(right, 1e-15, 1)).mean())


def spark(file):
    try:
        from pyspark.ml.classification import MultilayerPerceptronClassifier
        from pyspark.ml.feature import VectorAssembler
        from pyspark.ml.functions import vector_to_array
        from pyspark.sql import SparkSession
    except ImportError:
        return None
    session = SparkSession.builder.master("local[*]").config("spark.driver.memory", "8g").config("spark.ui.enabled", "false").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    begin = time.perf_counter()
    rows = VectorAssembler(inputCols=NAMES, outputCol="features").transform(session.read.parquet(str(file)))
    rows = rows.withColumnRenamed("class", "label").select("features", "label").cache()
    model = MultilayerPerceptronClassifier(layers=[INPUTS, HIDDEN, 2], maxIter=100, tol=1e-9, seed=1, blockSize=BATCH).fit(rows)
    seconds = time.perf_counter() - begin
    found = model.transform(rows).select(vector_to_array("probability")[1].alias("p"), "label").toPandas()
    return seconds, log_loss(found["p"].to_numpy(), found["label"].to_numpy()), f"L-BFGS, {len(model.summary().objectiveHistory) - 1} steps"


def batches(file):
    for batch in pyarrow.parquet.ParquetFile(file).iter_batches(BATCH):
        columns = [batch.column(j).to_numpy() for j in range(INPUTS + 1)]
        yield np.stack(columns[:-1], axis=1), columns[-1]


def scikit(file, goal):
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((HIDDEN,), activation="logistic", alpha=0.0, batch_size=256, random_state=1)
    seconds, loss = 0.0, np.inf
    for epoch in range(1, EPOCHS + 1):
        begin = time.perf_counter()
        for x, y in batches(file):
            model.partial_fit(x, y, classes=[0, 1])
        seconds += time.perf_counter() - begin
        parts = [(log_loss(model.predict_proba(x)[:, 1], y), len(y)) for x, y in batches(file)]
        loss = sum(loss * rows for loss, rows in parts) / sum(rows for _, rows in parts)
        if loss <= goal:
            break
    return seconds, loss, f"Adam, {epoch} epochs" + ("" if loss <= goal else ", goal not reached")


def ours(file, goal, folder):
    def fit(*more):
        report = folder / "report.json"
        command = [options.secondo, "fit", str(file), "--target", "class", "--task", "classification", "--loss", "softmax_ce", "--hidden", str(HIDDEN)]
        command += ["--activation", "logistic", "--stream", "--memory", options.memory, "--test-fraction", "0", "--ridge", "0", "--mean", "--starts", "1"]
        command += ["--device", "cpu", "--quiet", "--report", str(report), *more]
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begin, json.loads(report.read_text())

    _, found = fit("--max-iter", str(STEPS))
    history = found["shown"]["history"][0]
    steps = next((tried for tried, value in zip(history["tried"], history["value"]) if value <= goal), STEPS)
    seconds, found = fit("--max-iter", str(steps))
    reached = "" if found["value"] <= goal else ", goal not reached"
    return seconds, found["value"], f"{found['method']}, {found['iterations']} steps{reached}"


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    file = folder / "rows.parquet"
    data = np.load(options.file, mmap_mode="r")[: options.rows]
    columns = [np.ascontiguousarray(data[:, j]) for j in range(INPUTS)] + [(data[:, INPUTS] > 0).astype(np.int64)]
    pyarrow.parquet.write_table(pyarrow.table(columns, names=[*NAMES, "class"]), file, row_group_size=1_000_000)
    print(f"{options.rows} rows\n\n| program | s | log-loss | |\n|:--|--:|--:|:--|")

    def line(name, found):
        print(f"| {name} | {found[0]:.1f} | {found[1]:.5f} | {found[2]} |", flush=True)

    by_spark = spark(file)
    goal = options.goal
    if by_spark:
        line("Spark ML", by_spark)
        goal = by_spark[1]
    line("secondo", ours(file, goal, folder))
    line("scikit-learn", scikit(file, goal))
