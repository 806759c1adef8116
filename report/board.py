"""The report's leaderboard: every split by every headline metric, with what a cell rests on."""

from __future__ import annotations

from typing import Any

import numpy as np

from metrics.statistics.measures import higher_is_better
from report import data, names

CAPTION = (
    "Mean over the scenes of the chosen split ± half of the 95% interval for new trainings and new "
    "scenes. Methods that share a letter in a column are not separable (not: equal). The reason of "
    "an empty cell, or what a score rests on, is shown under the pointer."
)


def board(stats: data.Statistics) -> dict[str, Any]:
    """Return the leaderboard's heads, rows of cells with values, and the choices to filter by."""
    rows = stats.estimates
    rows = rows[(rows["subset"] == "all") & rows["metric"].isin(names.HEADLINE)]
    metrics = [m for m in names.HEADLINE if m in set(rows["metric"])]
    lines = [
        {
            "method": method,
            "split": split,
            "cells": [_cell(stats, method, split, metric) for metric in metrics],
        }
        for split in stats.splits()
        for method in stats.names()
    ]
    heads = [
        {
            "label": names.metric_head(metric),
            "group": names.HEADLINE[metric].group,
            "down": "0" if higher_is_better(metric) else "1",
        }
        for metric in metrics
    ]
    groups = list(dict.fromkeys(head["group"] for head in heads))
    choices = {"splits": stats.splits(), "groups": groups}
    return {"heads": heads, "rows": lines, "caption": CAPTION} | choices


def _cell(stats: data.Statistics, method: str, split: str, metric: str) -> dict[str, str]:
    row = stats.estimate(method, split, "all", metric)
    if row is None:
        return {"text": "", "value": "", "why": stats.reason(method, metric), "letters": ""}
    half = (row.ci_high - row.ci_low) / 2
    text = names.number(row.mean) + ("" if np.isnan(half) else f" ± {names.number(half)}")
    seeds = f"{row.n_seeds:.0f} trainings" if row.n_seeds else "deterministic"
    why = "; ".join(p for p in (f"{seeds}, {row.n_scenes:.0f} scenes", row.note) if p)
    return {"text": text, "value": f"{row.mean:.9g}", "why": why, "letters": row.tie_group}
