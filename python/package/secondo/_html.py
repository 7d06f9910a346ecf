"""What notebooks show of objects: small tables, which need no style sheet."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .blocks import Blocks
    from .fit import Fit
    from .problem import Problem


def table(title: str, rows: list[tuple[str, Any]]) -> str:
    """Returns a table of names and values."""
    body = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(str(value))}</td></tr>"
        for name, value in rows
    )
    return f"<table><caption style='text-align:left'><b>{escape(title)}</b></caption>{body}</table>"


def problem(p: Problem) -> str:
    penalty = "none" if p._penalty is None else ", ".join(f"{k} {v}" for k, v in p._penalty.items())
    widths = "-".join(str(view[1]) for view in p.network._core.layers())
    return table(
        "problem",
        [
            ("samples", p.samples),
            ("network", f"[{p.network.inputs}-{widths}], {p.parameters} parameters"),
            ("loss", p._loss["type"]),
            ("penalty", penalty),
            ("computed on", p.device),
        ],
    )


def fit(f: Fit) -> str:
    report = f.get("report", {})
    rows = [
        ("method", report.get("method", "")),
        ("chosen", report.get("choice") or ""),
        ("ended", f.message),
        ("objective", f"{f.fun:.10g} (start {report['initial_value']:.10g})" if report else f"{f.fun:.10g}"),
        ("gradient", f"{report['gradient_norm']:.3e} (goal {report['gradient_goal']:.1e})" if report else ""),
        ("steps", f"{f.nit} accepted, {report['rejected']} rejected" if report else f.nit),
        ("time", f"{report['seconds']:.3f} s" if report else ""),
    ]
    return table("fit", [(name, value) for name, value in rows if value != ""])


def blocks(b: Blocks) -> str:
    rows: list[tuple[str, Any]] = [("shape", f"{b.shape[0]} × {b.shape[1]}"), ("blocks", len(b))]
    for key in list(b)[:10]:
        place = b.range(key)
        name = f"layer {key[0]}, unit {key[1]}" if isinstance(key, tuple) else f"layer {key}"
        rows.append((name, f"parameters {place.start} to {place.stop - 1}"))
    if len(b) > 10:
        rows.append(("…", f"{len(b) - 10} more"))
    return table(b.structure, rows)
