"""Intervals of methods under several conditions, and the differences that a study asks about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metrics.files import InputError
from metrics.statistics import contrasts, families, moments, pairwise_differences, table
from metrics.statistics.table import Block

ESTIMATES = [
    *("condition", "method", "metric", "estimate", "ci_low", "ci_high", "n_seeds", "n_scenes"),
    "note",
]
DIFFERENCES = [
    *("condition", "metric", "method_a", "method_b", "difference", "ci_low", "ci_high", "p"),
    *("p_adjusted", "question", "n_scenes", "note"),
]

# {(metric, condition): {method: scores}}
Blocks = dict[tuple[str, str], dict[str, Block]]


@dataclass(frozen=True)
class Study:
    """The result of a study.

    p is adjusted over the whole study by Benjamini-Hochberg: nothing was declared before training.

    Attributes:
        title: name of the study.
        explanation: how to read it.
        conditions: in the order of rows.
        estimates: one row a metric, condition and method, columns ESTIMATES.
        differences: columns DIFFERENCES.
        overview: a table printed first: a column of names, then numbers or names.
    """

    title: str
    explanation: str
    conditions: list[str]
    estimates: pd.DataFrame
    differences: pd.DataFrame
    overview: pd.DataFrame | None = None


def summarise(
    title: str,
    explanation: str,
    conditions: Iterable[str],
    blocks: Blocks,
    differences: Sequence[dict[str, Any]],
    metrics: Sequence[str],
    overview: pd.DataFrame | None = None,
) -> Study:
    """Return a study with an interval for each block and the adjusted p of its differences."""
    frame = pd.DataFrame(differences).reindex(columns=DIFFERENCES)
    if len(frame):
        frame["p_adjusted"] = families.benjamini_hochberg(frame["p"].to_numpy(np.float64))
    return Study(title, explanation, list(conditions), estimates(blocks, metrics), frame, overview)


def read_scores(files: Iterable[str | Path], split: str) -> pd.DataFrame:
    """Return the rows of score tables on one split; raises InputError where there is no table."""
    files = list(files)
    if not files:
        raise InputError(f"study: no score table; score the methods on {split} first")
    return pd.concat(
        [pd.read_parquet(file, filters=[("split", "==", split)]) for file in files],
        ignore_index=True,
    )


def gather(frames: Mapping[str, pd.DataFrame], metrics: Sequence[str]) -> Blocks:
    """Return the scores over all items of each condition in `frames`, by metric and condition."""
    gathered: Blocks = {}
    for condition, frame in frames.items():
        rows = frame[frame["metric"].isin(metrics) & (frame["subset"] == "all")]
        if len(rows):
            for (_, _, metric), methods in table.blocks(table.load(rows)):
                gathered[metric, condition] = {
                    name: block for name, block in methods.items() if block.scenes
                }
    return gathered


def estimates(blocks: Blocks, metrics: Sequence[str]) -> pd.DataFrame:
    """Return a row of ESTIMATES for each metric, condition and method."""
    rows = [
        pairwise_differences.mean_row(block)
        | {"condition": condition, "method": name, "metric": metric}
        for (metric, condition), methods in blocks.items()
        for name, block in methods.items()
    ]
    places = {metric: place for place, metric in enumerate(metrics)}
    frame = pd.DataFrame(rows).rename(columns={"mean": "estimate"}).reindex(columns=ESTIMATES)
    return frame.sort_values("metric", key=lambda column: column.map(places), kind="stable")


def between_methods(blocks: Blocks, reference: str, others: Sequence[str]) -> list[dict[str, Any]]:
    """Return reference - other within each condition, for others that were scored there."""
    rows = []
    for (metric, condition), methods in blocks.items():
        pairs = [(reference, name) for name in others if {reference, name} <= methods.keys()]
        for row in pairwise_differences.differences(methods, pairs):
            rows.append(row | {"condition": condition, "metric": metric})
    return rows


def between_conditions(blocks: Blocks, nominal: str) -> list[dict[str, Any]]:
    """Return each method's condition - nominal, of the same trainings on the same scenes."""
    rows = []
    for (metric, condition), methods in blocks.items():
        if condition == nominal:
            continue
        before = blocks.get((metric, nominal), {})
        for name in methods:
            if name in before and (row := _change(methods[name], before[name])):
                labels = {"method_a": f"{name}, {condition}", "method_b": f"{name}, {nominal}"}
                rows.append(row | labels | {"condition": condition, "metric": metric})
    return rows


def _change(after: Block, before: Block) -> dict[str, Any] | None:
    """Return after - before, None without the same trainings and at least two shared scenes."""
    shared = pairwise_differences.shared_scenes(after, before)
    if after.seeds != before.seeds or len(shared) < 2:
        return None
    # The trainings are the same, so their changes are tested against a constant zero.
    cells = contrasts.change(after, before, after.over(shared), before.over(shared))
    zero = moments.summarise(np.zeros((1, len(shared))), None, stochastic=False)
    change = moments.difference_interval(cells, zero)
    return {
        "difference": float(change.estimate),
        "ci_low": float(change.low),
        "ci_high": float(change.high),
        "p": float(change.p),
        "question": moments.question_of(cells),
        "n_scenes": cells.scenes,
        "note": pairwise_differences.limits_note(cells.scenes, float(change.variance), cells),
    }
