#!/usr/bin/env python3
"""Writes the rows of an .npy file of two dimensions as Parquet, with pyarrow's defaults, in groups of a million rows: the file of docs/scale.md.

    python benches/rows.py rows.npy rows.parquet
"""
import sys

import numpy
import pyarrow
import pyarrow.parquet

GROUP = 1_000_000

rows = numpy.load(sys.argv[1], mmap_mode="r")
names = [f"column{j + 1}" for j in range(rows.shape[1])]
schema = pyarrow.schema([(name, pyarrow.float64()) for name in names])
with pyarrow.parquet.ParquetWriter(sys.argv[2], schema) as file:
    for start in range(0, len(rows), GROUP):
        part = numpy.asarray(rows[start : start + GROUP])
        file.write_table(pyarrow.table([part[:, j].copy() for j in range(part.shape[1])], schema=schema))
