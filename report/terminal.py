"""The headline table in plain text, for the end of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from report import data, names
from report.claims import claims


def headline(stats_dir: str | Path) -> str:
    """Return the leaderboard of the main split and a line per claim, at most 120 columns wide."""
    stats = data.load(stats_dir)
    split = stats.split()
    rows = stats.headline(split)
    found = {(r.method, r.metric): r for r in rows.itertuples()}
    metrics = [m for m in names.HEADLINE if m in set(rows["metric"])]
    width = max([len(m) for m in stats.names()] + [6])
    width = min(width, 24)
    half = max(1, (120 - width) // 14)
    lines = [f"{split}: mean ±95% half-interval (new trainings and new scenes)"]
    for start in range(0, len(metrics), half):
        group = metrics[start : start + half]
        lines += ["", " " * width + "".join(_head(m).rjust(14) for m in group)]
        for method in stats.names():
            cells = [_cell(found.get((method, m))) for m in group]
            if any(cells):
                lines.append(_plain(method, width) + "".join(c.rjust(14) for c in cells))
    lines.append("")
    lines += [f"{c.claim}: {c.verdict}" for c in claims(stats)]
    return "\n".join(lines)


def _plain(text: str, width: int) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:width].ljust(width)


def _head(metric: str) -> str:
    short = {
        "grounding_retrieval_map": "phrase_map",
        "text_to_scene_mrr": "scene_mrr",
        "probed_text_to_scene_mrr": "probed_mrr",
        "occupancy_iou": "occ_iou",
        "chamfer_l1_m": "chamfer_m",
    }
    return short.get(metric, metric) + names.arrow(metric)


def _cell(row: object) -> str:
    if row is None:
        return ""
    half = (row.ci_high - row.ci_low) / 2
    return f"{row.mean:.3f}" + ("      " if np.isnan(half) else f" ±{half:.3f}"[:7])
