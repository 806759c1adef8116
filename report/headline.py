"""The answers a reader looks for first: claims, the leaderboard and the terminal's summary."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metrics.registry import METRICS
from metrics.statistics.measures import higher_is_better
from metrics.statistics.moments import SCENES, TRAININGS_AND_SCENES
from report import text
from report.config import DeclaredClaim, ReportConfig
from report.statistics import Statistics, load
from report.tables import METRIC_FAMILIES, verdict

# Width of the terminal's summary, of a column of scores and of the longest name of a method.
TERMINAL_WIDTH, SCORE_WIDTH, NAME_WIDTH = 120, 14, 24


def claims(stats: Statistics) -> list[dict[str, str]]:
    """Return the study's claims in order, also those that were not tested.

    Keys: `claim`, `method`, `verdict` in a few words, and the `sentence` that gives the tests.
    """
    return [_claim(stats, declared) for declared in stats.config.claims]


def _claim(stats: Statistics, declared: DeclaredClaim) -> dict[str, str]:
    rows = stats.differences
    rows = rows[(rows["family"] == declared.family) & (rows["method_b"] == declared.method)]
    outcomes: dict[str, list[str]] = {
        outcome: [] for outcome in ("better", "worse", "not separable", "not tested")
    }
    for row in rows[rows["question"] == TRAININGS_AND_SCENES].itertuples():
        gap = "" if pd.isna(row.difference) else f" ({row.difference:+.3f})"
        label = text.metric_label(row.metric, row.subset) + gap
        names = {f"{row.method_a} better": "better", f"{row.method_b} better": "worse"}
        outcome = verdict(row)
        outcomes[names.get(outcome, outcome)].append(label)
    evidence = "; ".join(
        f"{outcome} on {', '.join(items)}" for outcome, items in outcomes.items() if items
    )
    if not evidence:
        # A single training does not tell how trainings vary.
        one_seed = (rows["question"] == SCENES).any()
        evidence = "one seed gives no test" if one_seed else "no scores"
        evidence += " of this comparison"
    wins, losses, ties, _ = map(len, outcomes.values())
    return {
        "claim": declared.claim,
        "method": declared.method,
        "verdict": claim_verdict(wins, losses, ties),
        "sentence": f"{stats.config.reference} minus {declared.method}: {evidence}.",
    }


def claim_verdict(wins: int, losses: int, ties: int) -> str:
    """Return the verdict on a claim from the numbers of its tests by outcome.

    >>> claim_verdict(2, 0, 1), claim_verdict(0, 0, 0)
    ('partly supported (2 of 3)', 'not tested')
    """
    if wins and losses:
        return "mixed"
    if losses:
        return "not supported"
    if wins:
        return "supported" if not ties else f"partly supported ({wins} of {wins + ties})"
    return "not separable" if ties else "not tested"


def leaderboard(stats: Statistics) -> dict[str, Any]:
    """Return the leaderboard of the page: every split by every headline metric.

    Keys: `heads` and `rows` of the table, the choices to filter by (`splits`, `groups`), `caption`.
    """
    metrics = stats.headline_in(stats.estimates[stats.estimates["subset"] == "all"])
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
                "method": method,
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
        "of trainings and scenes.",
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
    width = min(max(6, *map(len, stats.method_names)), NAME_WIDTH)
    per_block = max(1, (TERMINAL_WIDTH - width) // SCORE_WIDTH)
    lines = [f"{stats.main_split}: mean ±95% half-interval (new trainings and new scenes)"]
    for start in range(0, len(stats.headline_metrics), per_block):
        metrics = stats.headline_metrics[start : start + per_block]
        heads = [config.short_names.get(name, name) + text.arrow(name) for name in metrics]
        lines += ["", " " * width + "".join(head.rjust(SCORE_WIDTH) for head in heads)]
        for name in stats.method_names:
            cells = [_terminal_cell(stats, name, metric) for metric in metrics]
            if any(cells):
                # A name comes from a submission: it must not control the terminal.
                plain = "".join(c if c.isprintable() else "?" for c in name)[:width].ljust(width)
                lines.append(plain + "".join(cell.rjust(SCORE_WIDTH) for cell in cells))
    lines += ["", *(f"{claim['claim']}: {claim['verdict']}" for claim in claims(stats))]
    return "\n".join(lines)


def _terminal_cell(stats: Statistics, method: str, metric: str) -> str:
    row = stats.estimate(method, stats.main_split, "all", metric)
    if row is None:
        return ""
    half = (row.ci_high - row.ci_low) / 2
    return f"{row.mean:.3f}" + ("      " if np.isnan(half) else f" ±{half:.3f}"[:7])
