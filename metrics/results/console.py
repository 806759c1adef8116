"""Format a comparison of results as lines for the console, or as one value for JSON."""

from __future__ import annotations

import math
from typing import Any

from metrics.files import one_line
from metrics.results.compare import UNKNOWN_CLUSTERS, Comparison, MetricFacts
from metrics.scoreboard import aligned, json_records
from metrics.statistics.moments import SCENES

_ONE_SEED = SCENES.partition(",")[0]
_HINT = "no differences: name the method that all others are compared with by --reference"


def comparison_value(found: Comparison) -> dict[str, Any]:
    """Return estimates, differences, facts of the metrics and notes, with null for NaN."""
    return {
        "metrics": [
            vars(fact) | {"note": "" if fact.clusters else UNKNOWN_CLUSTERS}
            for fact in found.metrics
        ],
        "reference": found.reference,
        "estimates": json_records(found.estimates),
        "differences": json_records(found.differences),
        "notes": list(found.notes),
    }


def comparison_lines(found: Comparison) -> list[str]:
    """Return a block of lines for each metric: means, differences to the reference, notes."""
    lines: list[str] = []
    for fact in found.metrics:
        lines += [*_block(found, fact), ""]
    if found.reference is None:
        lines += [_HINT, ""]
    lines += [f"note: {one_line(note)}" for note in found.notes]
    return lines if lines[-1] else lines[:-1]


def _block(found: Comparison, fact: MetricFacts) -> list[str]:
    means = found.estimates[found.estimates["metric"] == fact.name]
    gaps = found.differences[found.differences["metric"] == fact.name]
    better = "higher" if fact.higher_is_better else "lower"
    of_clusters = f"scenes from the column {fact.clusters}" if fact.clusters else UNKNOWN_CLUSTERS
    head = ["method", "mean", "95% interval", "mean of items", "seeds", "scenes", "items"]
    if not fact.clusters:
        head.remove("scenes")
    rows = [head]
    for row in means.to_dict("records"):
        cells = [
            *(one_line(row["method"]), _number(row["mean"]), _interval(row)),
            *(_number(row["item_mean"]), str(row["n_seeds"]), str(row["n_scenes"])),
            str(row["n_items"]),
        ]
        if not fact.clusters:
            del cells[head.index("seeds") + 1]
        rows.append(cells)
    lines = [f"{one_line(fact.name)} ({better} is better)", f"  {one_line(of_clusters)}"]
    lines += [f"  {line}" for line in aligned(rows)]
    lines += _questions(means, "method")
    lines += _notes(means, "method")
    if len(gaps):
        lines += _difference_lines(found, gaps)
    return lines


def _difference_lines(found: Comparison, gaps: Any) -> list[str]:
    minus = f"minus {one_line(str(found.reference))}"
    rows = [[minus, "difference", "95% interval", "adjusted p", "d_z", "P(better)"]]
    for row in gaps.to_dict("records"):
        rows.append(
            [
                *(one_line(row["method_a"]), _number(row["difference"]), _interval(row)),
                *(_p(row["p_adjusted"]), _number(row["dz"]), _number(row["prob_improvement"])),
            ]
        )
    lines = ["", *(f"  {line}" for line in aligned(rows))]
    lines += _questions(gaps, "method_a")
    lines.append(
        f"  adjusted p: {gaps['adjustment'].iloc[0]}, over the differences of this metric that "
        "answer one question"
    )
    return lines + _notes(gaps, "method_a")


def _questions(rows: Any, name: str) -> list[str]:
    """Return which question the intervals of which methods answer."""
    lines = []
    for question, part in rows.groupby("question", sort=True):
        methods = ", ".join(one_line(method) for method in part[name])
        one = " (one seed: no statement about a new training)"
        suffix = one if question.startswith(_ONE_SEED) else ""
        lines.append(f"  question: {question}{suffix}: {methods}")
    return lines


def _notes(rows: Any, name: str) -> list[str]:
    noted = [(row[name], row["note"]) for row in rows.to_dict("records") if row["note"]]
    by_note: dict[str, list[str]] = {}
    for method, note in noted:
        by_note.setdefault(note, []).append(one_line(method))
    return [f"  note: {', '.join(of)}: {one_line(note)}" for note, of in by_note.items()]


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _interval(row: dict[str, Any]) -> str:
    if math.isnan(row["ci_low"]):
        return "-"
    return f"{row['ci_low']:.4g} to {row['ci_high']:.4g}"


def _p(value: float) -> str:
    if math.isnan(value):
        return "-"
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"
