"""The answers a reader looks for first: claims, the leaderboard and the terminal's summary."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metrics.files import atomic_path
from metrics.registry import METRICS
from metrics.statistics.claims import BETTER
from metrics.statistics.families import PRIMARY
from metrics.statistics.measures import higher_is_better
from report import text
from report.config import ReportConfig
from report.statistics import Statistics, load
from report.tables import METRIC_FAMILIES

# Width of the terminal's summary, of a column of scores and of the longest name of a method.
TERMINAL_WIDTH, SCORE_WIDTH, NAME_WIDTH = 120, 14, 24
# Verdict on a claim of a family without any scored method.
NO_SCORES = "undecided: no scores"


def claims(stats: Statistics) -> list[dict[str, str]]:
    """Return the study's claims in order, also those that could not be decided.

    Keys: `claim`, `family`, `name`, `verdict`, and the `sentence` that gives the primary tests.
    """
    found = {key: rows for key, rows in stats.claims.groupby(["family", "claim"], sort=False)}
    declared = {(claim.family, claim.name) for claim in stats.config.claims}
    ordered = [*((claim.family, claim.name) for claim in stats.config.claims)]
    ordered += [key for key in found if key not in declared]
    return [
        {
            "claim": stats.config.sentence(*key),
            "family": key[0],
            "name": key[1],
            "verdict": found[key]["verdict"].iloc[0] if key in found else NO_SCORES,
            "sentence": _evidence(found[key], stats.config) if key in found else "",
        }
        for key in ordered
    ]


def _evidence(rows: pd.DataFrame, config: ReportConfig) -> str:
    """Return the primary tests of a claim by outcome, and the number of secondary ones."""
    primary = rows[rows["role"] == PRIMARY]
    outcomes: dict[str, list[str]] = {}
    for row in primary.itertuples():
        gap = "" if pd.isna(row.difference) else f" ({row.difference:+.3f})"
        rival = config.sealed.label(row.method_b)
        label = f"{text.metric_label(row.metric, row.subset)} against {rival}{gap}"
        outcomes.setdefault(row.outcome, []).append(label)
    parts = [f"{outcome}: {', '.join(items)}" for outcome, items in outcomes.items()]
    secondary = rows[rows["role"] != PRIMARY]
    if len(secondary):
        separable = (secondary["outcome"] == BETTER).sum()
        parts.append(f"{separable} of {len(secondary)} secondary tests better")
    if not parts:
        return ""
    return f"{config.sealed.label(primary['method_a'].iloc[0])}, {'; '.join(parts)}."


def leaderboard(stats: Statistics) -> dict[str, Any]:
    """Return the leaderboard of the page: every split by every headline metric.

    Keys: `heads` and `rows` of the table, the choices to filter by (`splits`, `groups`), `caption`.
    """
    metrics = stats.headline_in(stats.estimates[stats.estimates["subset"] == "all"])
    sealed = stats.config.sealed
    printed = " ".join([*stats.splits, *map(sealed.label, stats.method_names)])
    heads = [
        {
            "label": text.metric_head(metric),
            "group": METRIC_FAMILIES[METRICS[metric].family],
            "down": "0" if higher_is_better(metric) else "1",
        }
        for metric in metrics
    ]
    return {
        "heads": heads,
        "rows": [
            {
                "method": sealed.label(method),
                "split": split,
                "cells": [_leaderboard_cell(stats, method, split, metric) for metric in metrics],
            }
            for split in stats.splits
            for method in stats.method_names
        ],
        "splits": stats.splits,
        "groups": list(dict.fromkeys(head["group"] for head in heads)),
        "caption": "Mean over the scenes of the chosen split ± half of the 95% interval for new "
        "trainings and new scenes. Methods that share a letter in a column are not separable, "
        "which does not mean equal. The pointer over a cell shows why it is empty, or the numbers "
        + " ".join(["of trainings and scenes.", *sealed.notes(printed, stats.splits)]),
    }


def _leaderboard_cell(stats: Statistics, method: str, split: str, metric: str) -> dict[str, str]:
    row = stats.estimate(method, split, "all", metric)
    if row is None:
        return {"text": "", "value": "", "hint": stats.reason(method, metric), "letters": ""}
    half = (row.ci_high - row.ci_low) / 2
    score = text.number(row.mean) + ("" if np.isnan(half) else f" ± {text.number(half)}")
    seeds = f"{row.n_seeds:.0f} trainings" if row.n_seeds else "deterministic"
    hint = "; ".join(part for part in (f"{seeds}, {row.n_scenes:.0f} scenes", row.note) if part)
    return {"text": score, "value": f"{row.mean:.9g}", "hint": hint, "letters": row.tie_group}


def terminal_summary(stats_dir: str | Path, config: ReportConfig) -> str:
    """Return the scores of the main split and a line a claim, at most 120 columns wide."""
    stats = load(stats_dir, config)
    labels = {
        name: name[:NAME_WIDTH] + config.sealed.label(name).removeprefix(name)
        for name in stats.method_names
    }
    width = max(6, *map(len, labels.values()))
    per_block = max(1, (TERMINAL_WIDTH - width) // SCORE_WIDTH)
    lines = [f"{stats.main_split}: mean ±95% half-interval (new trainings and new scenes)"]
    for start in range(0, len(stats.headline_metrics), per_block):
        metrics = stats.headline_metrics[start : start + per_block]
        heads = [config.short_names.get(name, name) + text.arrow(name) for name in metrics]
        lines += ["", " " * width + "".join(head.rjust(SCORE_WIDTH) for head in heads)]
        for name in stats.method_names:
            cells = [_terminal_cell(stats, name, metric) for metric in metrics]
            if any(cells):
                scores = "".join(cell.rjust(SCORE_WIDTH) for cell in cells)
                lines.append(labels[name].ljust(width) + scores)
    lines.append("")
    for note in config.sealed.notes("\n".join(lines), stats.splits):
        lines += [*textwrap.wrap(note, TERMINAL_WIDTH), ""]
    for claim in claims(stats):
        line = f"{claim['claim']}: {claim['verdict']}"
        lines += textwrap.wrap(line, TERMINAL_WIDTH, subsequent_indent="  ")
    # Names and reasons come from submissions: they must not control the terminal.
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)


def write_summary(stats_dir: str | Path, file: str | Path, config: ReportConfig) -> Path:
    """Write the terminal's summary to a file; return it."""
    with atomic_path(file) as path:
        path.write_text(terminal_summary(stats_dir, config) + "\n", encoding="utf-8")
    return Path(file)


def _terminal_cell(stats: Statistics, method: str, metric: str) -> str:
    row = stats.estimate(method, stats.main_split, "all", metric)
    if row is None:
        return ""
    half = (row.ci_high - row.ci_low) / 2
    return f"{row.mean:.3f}" + ("      " if np.isnan(half) else f" ±{half:.3f}"[:7])
