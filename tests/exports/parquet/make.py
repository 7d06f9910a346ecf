#!/usr/bin/env python3
"""Writes the Parquet files of this folder: python3 make.py, with pandas, pyarrow, polars and duckdb."""

import datetime
import decimal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

N = 40
rng = np.random.default_rng(7)
day = datetime.date(2024, 1, 30)

columns = {
    "f64": [float(v) for v in rng.normal(size=N)],
    "f32": pa.array(np.float32(rng.normal(size=N)), pa.float32()),
    "int8": pa.array([i - 20 for i in range(N)], pa.int8()),
    "uint8": pa.array([i * 6 for i in range(N)], pa.uint8()),
    "int64": pa.array([i * 10**12 for i in range(N)], pa.int64()),
    "uint64": pa.array([2**63 + i for i in range(N)], pa.uint64()),
    "flag": [i % 3 == 0 for i in range(N)],
    "text": [["red", "green", "blue"][i % 3] for i in range(N)],
    "zip": [f"0{i % 4}123" for i in range(N)],
    "gap": [None if i % 5 == 0 else float(i) for i in range(N)],
    "word": pa.array([None if i % 7 == 0 else "ab"[i % 2] for i in range(N)]).dictionary_encode(),
    "price": pa.array([decimal.Decimal(i * 7 - 100).scaleb(-2) for i in range(N)], pa.decimal128(9, 2)),
    "big": pa.array([decimal.Decimal(i * 10**25 - 1).scaleb(-3) for i in range(N)], pa.decimal128(38, 3)),
    "date": [day + datetime.timedelta(days=3 * i) for i in range(N)],
    "at": pa.array([datetime.datetime(2024, 1, 30, 12) + datetime.timedelta(minutes=7 * i) for i in range(N)], pa.timestamp("us")),
    "clock": pa.array([datetime.time(i % 24, 30) for i in range(N)], pa.time64("us")),
    "y": [float(v) for v in rng.normal(size=N)],
}
table = pa.table(columns)
lists = table.append_column("list", pa.array([[i, i + 1] for i in range(N)]))

# The defaults: snappy, dictionaries; then small groups and pages of the second version, packed by zstd; nothing packed; gzip.
pq.write_table(lists, "pyarrow.parquet")
pq.write_table(table, "pyarrow_zstd.parquet", compression="zstd", row_group_size=7, data_page_version="2.0", write_page_index=True)
pq.write_table(table.select(["f64", "text", "gap", "y"]), "pyarrow_plain.parquet", compression="none", use_dictionary=False, row_group_size=1)
pq.write_table(table, "pyarrow_gzip.parquet", compression="gzip", use_deprecated_int96_timestamps=True)
pq.write_table(table.select(["f64", "f32", "int64", "text", "y"]), "pyarrow_delta.parquet", use_dictionary=False, column_encoding={
    "f64": "BYTE_STREAM_SPLIT", "f32": "BYTE_STREAM_SPLIT", "int64": "DELTA_BINARY_PACKED", "text": "DELTA_BYTE_ARRAY", "y": "PLAIN"})

frame = table.drop(["uint64", "clock", "big"]).to_pandas()
frame["text"] = frame["text"].astype("category")
frame.index = pd.Index([f"row {i}" for i in range(N)])
frame.to_parquet("pandas.parquet")

pl.DataFrame(table.drop(["clock"])).write_parquet("polars.parquet")
few = table.select(["f64", "f32", "int8", "uint8", "int64", "flag", "text", "zip", "gap", "price", "date", "at", "y"])
duckdb.sql("copy few to 'duckdb.parquet' (format parquet)")
# The same as text, for a reader that shares nothing with that of Parquet.
few.set_column(1, "f32", few["f32"].cast(pa.float64())).to_pandas().to_csv("expected.csv", index=False)
