#!/usr/bin/env python3
"""The time of requests that several processes compute: a model from measured constants, beside what was measured, and where it leads.

    for r in 1 2 4; do mpirun -n $r target/release/examples/ranks > ranks-$r.csv; done
    python benches/scale.py ranks-1.csv ranks-2.csv ranks-4.csv [--cores 2] [--rows 100000] > table.md

The files are those of examples/ranks.rs, 1 process first; processes are powers of two. docs/scale.md has the model and a table.
"""
import argparse
import collections
import math
import random
import re
import statistics

LANES = 64  # shares of the rows, at the most
UNIT = 4096  # rows between which they end
DRAWS = 2000
SIMULATED = 1_000_000  # rows

parser = argparse.ArgumentParser()
parser.add_argument("files", nargs="+")
parser.add_argument("--cores", type=int, default=2, help="cores of the machine that the files are from")
parser.add_argument("--rows", type=int, default=100_000, help="rows that examples/ranks.rs computed")
options = parser.parse_args()


def read(path):
    messages, requests = collections.defaultdict(list), collections.defaultdict(list)
    for line in open(path):
        kind, *rest = line.strip().split(", ")
        if kind == "message":
            messages[int(rest[0])].append(float(rest[1]))
        elif kind == "request":
            widths, name, *numbers = rest
            requests[widths, name].append([float(v) for v in numbers])
    return messages, requests


def processes(path):
    return int(re.search(r"(\d+)\.csv$", path)[1])


def sums(widths, name, p):
    """Numbers that go down and up with one request of a network with one hidden layer, by the formulas of docs/scale.md; None: not in them."""
    inputs, hidden, outputs = map(int, widths.strip("[]").split("-"))
    assert p == hidden * (inputs + 1) + outputs * (hidden + 1)
    down = 8 + p
    triangles = hidden * (inputs + 1) * (inputs + 2) // 2 + outputs * (hidden + 1) * (hidden + 2) // 2
    up = {"value": 1, "gradient": 1 + p, "row blocks": 1 + p + triangles, "product": p + hidden * outputs}.get(name)
    if name == "product":
        down += p
    if name == "triangle":  # with the value before it
        return 16 + 2 * p, 2 * 4 + 1 + (p + 1) * (p + 2) // 2 + 1
    return down, None if up is None else 4 + up


def rounds(r):
    return math.ceil(math.log2(r))


def shares(rows, r):
    """The rows of each of r processes, as docs/scale.md has them."""
    lanes = min(LANES, 1 << (max(rows // UNIT, 1).bit_length() - 1))
    border = lambda lane: rows if lane >= lanes else lane * (rows // UNIT) // lanes * UNIT
    borders = [border(-(-rank * lanes // r)) for rank in range(r + 1)]
    return [b - a for a, b in zip(borders, borders[1:])]


def messages(name, volume):
    """Seconds of the messages down and up of a request; Levenberg–Marquardt has two of each."""
    count = 2 if name == "triangle" else 1
    return [count * latency + 8 * numbers / bandwidth for numbers in volume]


files = {processes(path): read(path) for path in options.files}
alone = files[1][1]
first = next(messages for messages, _ in files.values() if messages)
latency = statistics.median(first[1])
large = max(first)
bandwidth = 8 * large / (statistics.median(first[large]) - latency)
print(f"A message: {1e6 * latency:.1f} µs and {bandwidth / 1e9:.2f} GB/s ({large} numbers).\n")
print("| network, request | flop | GFLOP/s of one thread | numbers down, up | " + " | ".join(f"{r}: s | model | ratio" for r in sorted(files)) + " |")
print("|:--|--:|--:|--:|" + "--:|--:|--:|" * len(files))
measured = {}
for (widths, name), rows in alone.items():
    p, flop = int(rows[0][0]), rows[0][1]
    one = statistics.median(row[-1] for row in rows)
    cells, volume = [], (0, 0)
    for r in sorted(files):
        found = files[r][1][widths, name]
        time = statistics.median(row[-1] for row in found)
        if r > 1:
            volume = tuple(int(v) for v in found[0][2:4])
            for seen, right in zip(volume, sums(widths, name, p)):
                assert right is None or seen == right, (widths, name, r, volume, sums(widths, name, p))
        share = max(shares(options.rows, r)) / options.rows
        model = one * max(share, 1 / options.cores) + rounds(r) * sum(messages(name, volume))
        cells.append(f"{time:.4f} | {model:.4f} | {time / model:.2f}")
    measured[widths, name] = (p, flop, one, volume, [row[-1] / one for row in rows])
    print(f"| {widths}, {name} | {flop:.2e} | {flop / one / 1e9:.2f} | {volume[0]}, {volume[1]} | " + " | ".join(cells) + " |")

# A process begins when w reaches it and sends what it has once its children have sent theirs: drawn from the recorded times.
print(f"\nSimulated, {SIMULATED} rows, one thread and a core for each process, {DRAWS} draws of the recorded times: time over that of one process times processes.\n")
counts = [1, 2, 4, 8, 16, 32, 64]
print("| network, request | " + " | ".join(map(str, counts)) + " |\n|:--|" + "--:|" * len(counts))
random.seed(1)


def simulated(r, row, name, volume, jitter):
    down, up = messages(name, volume)
    begin = [0.0] * r
    for b in reversed(range(rounds(r))):  # the one that has most to hand on comes first
        for rank in range(0, r, 2 << b):
            begin[rank] += down
            begin[rank + (1 << b)] = begin[rank]
    end = [start + rows * row * random.choice(jitter) for start, rows in zip(begin, shares(SIMULATED, r))]
    for b in range(rounds(r)):
        for rank in range(0, r, 2 << b):
            end[rank] = max(end[rank], end[rank + (1 << b)]) + up
    return end[0]


for (widths, name), (_, _, one, volume, jitter) in measured.items():
    row = one / options.rows
    cells = [statistics.fmean(simulated(r, row, name, volume, jitter) for _ in range(DRAWS)) * r / (row * SIMULATED) for r in counts]
    print(f"| {widths}, {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")

# What the network limits: the messages of 64 processes, as rows that one process computes in that time.
print(f"\nMessages among {LANES} processes, and the rows that one thread computes in that time.\n")
print("| network, request | messages, ms | rows |\n|:--|--:|--:|")
for (widths, name), (_, _, one, volume, _) in measured.items():
    time = rounds(LANES) * sum(messages(name, volume))
    print(f"| {widths}, {name} | {1e3 * time:.2f} | {time / one * options.rows:,.0f} |")

# Larger tables and networks: flop of a row by the parameters, at the rate of the larger network.
print(f"\nModelled, {LANES} processes of one thread: seconds of one request, and MB of the sums of one process with those that wait in its tree.\n")
print("| rows | parameters | gradient | product | triangle | whole Hessian |\n|--:|--:|--:|--:|--:|--:|")
widths = max(alone, key=lambda key: alone[key][0][0])[0]
for rows in (1e9, 1e12):
    for p in (1e3, 1e4, 1e6):
        line = []
        for name, power in (("gradient", 1), ("product", 1), ("triangle", 2), ("full exact", 2)):
            own, _, one, _, _ = measured[widths, name]
            numbers = p if power == 1 else p * p / 2
            row = one / options.rows * (p / own) ** power
            time = rows * row / LANES + rounds(LANES) * sum(messages(name, (p, numbers)))
            line.append(f"{time:.2g} s, {8 * numbers * (1 + math.log2(LANES)) / 1e6:.2g} MB")
        print(f"| {rows:.0e} | {p:.0e} | " + " | ".join(line) + " |")
