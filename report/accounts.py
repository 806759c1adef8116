"""Tables of what surrounds the scores: failures, outputs not produced, cost, controls, floors."""

from __future__ import annotations

import numpy as np
import pandas as pd

from report import data, names
from report.table import Footnotes, Table, score

# Whether a table shows the mean or the largest of what was measured, and with how many digits.
COSTS = {
    "parameters": ("Parameters", "max", 0),
    "train_seconds": ("Training (s)", "mean", 0),
    "seconds_per_scene": ("Inference (s/scene)", "mean", 3),
    "peak_memory_mb": ("Peak memory (MB)", "max", 0),
}
CONTROLS = ("chance", "text_only", "majority", "rules_gt", "rules_pred", "oracle")


def cost(stats: data.Statistics) -> Table:
    """Return parameters, training and inference seconds and peak memory of each method."""
    lines, numbers = [], []
    for method in stats.names():
        costs = pd.DataFrame(stats.methods.get(method, {}).get("costs", []))
        line, raw = {"Method": method}, {"method": method}
        for key, (label, how, digits) in COSTS.items():
            values = pd.to_numeric(costs[key], errors="coerce").dropna() if key in costs else []
            raw[key] = float(getattr(values, how)()) if len(values) else np.nan
            line[label] = "" if np.isnan(raw[key]) else f"{raw[key]:,.{digits}f}"
        lines.append(line)
        numbers.append(raw)
    caption = (
        "Training and inference seconds are means over seeds and splits, memory is the largest "
        "seen, all on the machine named under provenance. An empty cell was not measured."
    )
    return Table("cost", "Cost", pd.DataFrame(lines), pd.DataFrame(numbers), caption)


def failures(stats: data.Statistics) -> Table:
    """Return where items failed: the mean of all, that of the succeeded alone, and their share."""
    split = stats.split()
    rows = stats.headline(split)
    rows = rows[rows["succeeded"] < 1]
    place = {name: k for k, name in enumerate(stats.names())}
    metric = {name: k for k, name in enumerate(names.HEADLINE)}
    rows = rows.assign(_m=rows["method"].map(place), _k=rows["metric"].map(metric))
    rows = rows.sort_values(["_m", "_k"], kind="stable")
    text = [
        {
            "Method": row.method,
            "Metric": names.metric_head(row.metric),
            "All items": names.number(row.mean),
            "Succeeded only": names.number(row.mean_succeeded) or "none succeeded",
            "Succeeded": f"{100 * row.succeeded:.1f}%",
        }
        for row in rows.itertuples()
    ]
    columns = ["method", "split", "metric", "mean", "mean_succeeded", "succeeded"]
    caption = (
        f"Items of {split} for which a declared output was missing, invalid or empty. They count "
        "at the metric's worst value; the mean of the succeeded alone is no score to compare by."
    )
    head = ["Method", "Metric", "All items", "Succeeded only", "Succeeded"]
    shown = pd.DataFrame(text, columns=head)
    return Table("failures", "Failures", shown, rows[columns], caption, groups=True)


def not_produced(stats: data.Statistics) -> Table:
    """Return the outputs that methods do not produce and the reason each gives."""
    lines = []
    for method in stats.names():
        by_reason: dict[str, list[str]] = {}
        for task, reason in sorted(stats.methods.get(method, {}).get("reasons", {}).items()):
            by_reason.setdefault(reason, []).append(task.replace("_", " "))
        lines += [(method, ", ".join(tasks), reason) for reason, tasks in by_reason.items()]
    text = pd.DataFrame(lines, columns=["Method", "Outputs", "Why"])
    caption = "What a method does not declare to produce is an empty cell in every table."
    return Table("not_produced", "Not produced", text, text, caption, groups=True)


def controls(stats: data.Statistics) -> Table:
    """Return the ends of the scale: controls, and what a perfect but sampled answer would get."""
    split, notes = stats.split(), Footnotes()
    methods = [name for name in CONTROLS if name in set(stats.names())]
    floors: dict[str, float] = {}
    for said in stats.methods.values():
        floors |= said.get("floors", {}).get(split, {})
    rows = stats.estimates
    keep = rows["method"].isin(methods) & (rows["split"] == split) & (rows["subset"] == "all")
    known = set(rows.loc[keep & rows["metric"].isin(names.HEADLINE), "metric"]) | set(floors)
    metrics = [name for name in (*names.HEADLINE, *sorted(floors)) if name in known]
    lines, numbers = [], []
    for metric in dict.fromkeys(metrics):
        line, raw = {"Metric": names.metric_head(metric)}, {"metric": metric}
        for method in methods:
            row = stats.estimate(method, split, "all", metric)
            line[method] = notes.mark(stats.reason(method, metric)) if row is None else score(row)
            raw[method] = np.nan if row is None else row.mean
        raw["sampling_limit"] = floors.get(metric, np.nan)
        line["Sampling limit"] = names.number(raw["sampling_limit"])
        lines.append(line)
        numbers.append(raw)
    caption = (
        f"The ends of the scale on {split}: chance, answers without the scene, and the truth "
        "itself. The sampling limit is what an equally dense, independent sample of the true "
        "surface would score."
    )
    return Table(
        "controls",
        "Controls and floors",
        pd.DataFrame(lines),
        pd.DataFrame(numbers),
        caption,
        notes.lines(),
    )
