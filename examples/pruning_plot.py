#!/usr/bin/env python3
"""Draws the tables of the example pruning_study: objective and held-out loss against the part of the parameters that is left.

    python examples/pruning_plot.py examples/results/pruning.md examples/results/pruning.svg

Needs Matplotlib. A column of two panels for each set, a line for each criterion.
"""

import re
import sys
from fractions import Fraction
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["svg.hashsalt"] = "pruning"
import matplotlib.pyplot as plt  # noqa: E402

# Colours that the colour-blind can tell apart (Okabe and Ito).
COLOURS = ["#0072b2", "#56b4e9", "#d55e00", "#000000", "#009e73"]


def tables(text):
    """For each set its title, and for each criterion the rows (part left, objective, held-out loss)."""
    found = {}
    for line in text.splitlines():
        if title := re.match(r"(?:## )?(\w+ \[[\d-]+\]), ", line):
            lines = found.setdefault(title[1], {})
        elif row := re.match(r"\| (\d+/\d+) \| ([^|]+) \| ([\d.]+) \| ([\d.]+) \|", line):
            lines.setdefault(row[2], []).append((float(Fraction(row[1])), float(row[3]), float(row[4])))
    return found


def main(source, target):
    found = tables(Path(source).read_text(encoding="utf-8"))
    assert found, f"{source} has no table of pruning_study"
    figure, axes = plt.subplots(2, len(found), figsize=(3.6 * len(found), 6.4), squeeze=False, sharex=True)
    for column, (title, lines) in zip(axes.T, found.items()):
        column[0].set_title(title)
        for axis, which in zip(column, (1, 2)):
            for colour, (criterion, rows) in zip(COLOURS, lines.items()):
                axis.plot([r[0] for r in rows], [r[which] for r in rows], "o-", color=colour, label=criterion, markersize=4)
            axis.set_xscale("log")
            axis.set_xticks([r[0] for r in rows], [str(Fraction(r[0]).limit_denominator(20)) for r in rows], minor=False)
            axis.minorticks_off()
            if which == 1:
                axis.set_yscale("log")
            axis.set_xlim(0.85, 0.09)
        column[1].set_xlabel("part of the parameters left")
    axes[0, 0].set_ylabel("objective, median")
    axes[1, 0].set_ylabel("held-out loss, median")
    axes[0, 0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


main(*sys.argv[1:3])
