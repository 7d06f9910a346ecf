"""Objects as notebooks show them: small tables, which need no style sheet."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .blocks import Blocks
    from .fit import Fit
    from .inference import Inference
    from .models import Model
    from .network import Network
    from .operators import CurvatureOperator
    from .problem import Plan, Problem


def table(title: str, rows: list[tuple[str, Any]]) -> str:
    """Returns a table of names and values."""
    body = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(str(value))}</td></tr>"
        for name, value in rows
    )
    return f"<table><caption style='text-align:left'><b>{escape(title)}</b></caption>{body}</table>"


def grid(title: str, head: list[str], rows: list[list[Any]]) -> str:
    """Returns a table with a head."""

    def line(cells: list[Any], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    body = line(head, "th") + "".join(line(row, "td") for row in rows)
    return f"<table><caption style='text-align:left'><b>{escape(title)}</b></caption>{body}</table>"


def number(value: float | None, form: str = ".4g") -> str:
    return "–" if value is None else format(value, form)


def widths(n: Network) -> str:
    return "[" + "-".join(map(str, [n.inputs, *(view[1] for view in n._core.layers())])) + "]"


def network(n: Network) -> str:
    rows = []
    for k, (description, view) in enumerate(zip(n.spec["layers"], n._core.layers(), strict=True)):
        sources, units, bias, first, last, _ = view
        kinds = ", ".join(str(value) for key, value in description.items() if key not in ("units", "sources", "bias"))
        rows.append([k + 1, units, kinds, ", ".join(map(str, sources)), "yes" if bias else "no", f"{first} to {last - 1}"])
    title = f"network {widths(n)}, {n.parameters} parameters"
    return grid(title, ["layer", "units", "kinds", "sees layers", "bias", "parameters"], rows)


def model(m: Model) -> str:
    facts = m.facts
    rows = [
        ("network", widths(m.network)),
        ("loss", facts["loss"]["type"]),
        ("inputs", ", ".join(facts["features"])),
        ("targets", ", ".join(facts["targets"])),
        ("classes", ", ".join(facts["classes"] or [])),
    ]
    return table("model", [(name, value) for name, value in rows if value])


def plan(p: Plan) -> str:
    return table("plan", [("cost", str(p))])


def operator(o: CurvatureOperator) -> str:
    return table("linear operator", [("curvature", o.curvature), ("shape", f"{o.shape[0]} × {o.shape[1]}")])


def inference(i: Inference) -> str:
    report = i.report
    rows = [(name, number(report[key])) for name, key in (("R²", "r_squared"), ("AIC", "aic"), ("BIC", "bic"))]
    facts: list[tuple[str, Any]] = [
        ("covariance", report["covariance_kind"]),
        ("degrees of freedom", f"{report['edf']:.4g} of {report['observations']:.4g}"),
        *((name, value) for name, value in rows if value != "–"),
        *(("warning", warning["text"]) for warning in report["warnings"]),
    ]
    effects = [
        [e["name"], e["output"] + 1, number(e["slope"]), number(e["std_error"]), number(e["lower"]), number(e["upper"])]
        for e in report["effects"]
    ]
    tests = [
        [t["name"], t["df"] or "–", number(t["f"] if t["f"] is not None else t["chi2"]), number(t["p_f"] or t["p_chi2"])]
        for t in report["inputs"]
    ]
    return (
        table("inference", facts)
        + grid("average slopes", ["input", "output", "slope", "standard error", "lower", "upper"], effects)
        + grid("tests that an input has no weights", ["input", "df", "F or χ²", "p"], tests)
    )


def problem(p: Problem) -> str:
    penalty = "none" if p._penalty is None else ", ".join(f"{k} {v}" for k, v in p._penalty.items())
    return table(
        "problem",
        [
            ("samples", p.samples),
            ("network", f"{widths(p.network)}, {p.parameters} parameters"),
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
