#!/usr/bin/env python3
"""A table of 2,000,000 x 10 numbers, read by pandas' C reader and by this crate, in turns.

    python benches/tables/reading.py [ROUNDS]

Needs cargo and `pandas`. Numbers with 5 decimals (170 MB), and with all their digits (390 MB). pandas returns a DataFrame; this crate returns
features and target, after it has found delimiter, decimal mark, labels of rows and the task. Both round correctly, as pandas
3.1.1 does. pandas takes one thread; this crate takes all.
"""
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas

ROWS, COLUMNS = 2_000_000, 10


def write(path, form):
    numbers = np.random.default_rng(1).standard_normal((ROWS, COLUMNS))
    with open(path, "w") as file:
        file.write(",".join(f"x{c}" for c in range(COLUMNS)) + "\n")
        for start in range(0, ROWS, 20_000):
            rows = numbers[start : start + 20_000].tolist()
            file.write("\n".join(",".join(map(form, row)) for row in rows) + "\n")


def by_pandas(path):
    begin = time.perf_counter()
    pandas.read_csv(path, engine="c")
    return time.perf_counter() - begin


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    with tempfile.TemporaryDirectory() as folder:
        files = {"5 decimals": Path(folder, "short.csv"), "all digits": Path(folder, "long.csv")}
        write(files["5 decimals"], "{:.5f}".format)
        write(files["all digits"], repr)
        print(f"pandas {pandas.__version__}")
        for _ in range(rounds):
            for name, path in files.items():
                times = " ".join(f"{by_pandas(path):.3f}" for _ in range(5))
                print(f"{name}: pandas {times}", flush=True)
                run = ["cargo", "bench", "-q", "--bench", "reading", "--features", "io", "--", str(path)]
                ours = subprocess.run(run, check=True, capture_output=True, text=True).stdout
                print(f"{name}: secondo{ours.strip().rpartition(':')[2]}", flush=True)


if __name__ == "__main__":
    main()
