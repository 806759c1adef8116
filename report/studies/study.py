"""Intervals of methods under several conditions, and the differences that a study asks about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metrics.files import InputError
from metrics.statistics import families, moments, pairwise_differences, table
from metrics.statistics.table import Block

ESTIMATES = [
    *("condition", "method", "metric", "estimate", "ci_low", "ci_high", "n_seeds", "n_scenes"),
    "note",
]
DIFFERENCES = [
    *("condition", "metric", "method_a", "method_b", "difference", "ci_low", "ci_high", "p"),
    *("p_adjusted", "question", "n_scenes", "note"),
]

Blocks = dict[tuple[str, str], dict[str, Block]]


@dataclass(frozen=True)
class Study:
    """What a study found: `title`, `said` (how to read it), rows of ESTIMATES and DIFFERENCES.

    `overview`, if any, is printed before them: a column of names, then numbers or names.
    `conditions` in the order they are shown. p is adjusted over the whole study by
    Benjamini-Hochberg: nothing here was declared before training.
    """

    title: str
    said: str
    conditions: list[str]
    estimates: pd.DataFrame
    differences: pd.DataFrame
    overview: pd.DataFrame | None = None


def read_scores(files: Iterable[str | Path], split: str) -> pd.DataFrame:
    """Return the rows of score tables that are about one split; raises `InputError` for none."""
    files = list(files)
    frames = [pd.read_parquet(file, filters=[("split", "==", split)]) for file in files]
    if not frames:
        raise InputError(f"study: no score table; score the methods on {split} first")
    return pd.concat(frames, ignore_index=True)


def gather(
    frames: Mapping[str, pd.DataFrame], metrics: Sequence[str]
) -> tuple[Blocks, dict[str, list[str]]]:
    """Fold each condition's scores: {(metric, condition): {method: Block}}, subset "all" alone.

    Also returns {condition: methods scored}.
    """
    found: Blocks = {}
    for condition, frame in frames.items():
        wanted = frame[frame["metric"].isin(metrics) & (frame["subset"] == "all")]
        if not len(wanted):
            continue
        for (_, _, metric), blocks in table.blocks(table.load(wanted)):
            found[metric, condition] = {n: b for n, b in blocks.items() if b.scenes}
    return found, {name: sorted(frame["method"].unique()) for name, frame in frames.items()}


def estimates(blocks: Blocks, metrics: Sequence[str]) -> pd.DataFrame:
    """Return a row of ESTIMATES for each metric, condition and method."""
    rows = []
    for (metric, condition), methods in blocks.items():
        for name, block in methods.items():
            cells = block.summary()
            found = moments.mean_interval(cells)
            rows.append(
                {
                    "condition": condition,
                    "method": name,
                    "metric": metric,
                    "estimate": float(found.estimate),
                    "ci_low": float(found.low),
                    "ci_high": float(found.high),
                    "n_seeds": cells.n_trainings,
                    "n_scenes": cells.scenes,
                    "note": pairwise_differences.limits_note(
                        cells.scenes, float(found.variance), cells
                    ),
                }
            )
    frame = pd.DataFrame(rows, columns=ESTIMATES)
    return frame.sort_values("metric", key=lambda one: one.map(list(metrics).index), kind="stable")


def between_methods(blocks: Blocks, reference: str, others: Sequence[str]) -> list[dict[str, Any]]:
    """Return reference - other within each condition, for others that were scored there."""
    rows = []
    for (metric, condition), methods in blocks.items():
        chosen = [(reference, name) for name in others if {reference, name} <= methods.keys()]
        for row in pairwise_differences.differences(methods, chosen):
            rows.append(row | {"condition": condition, "metric": metric})
    return rows


def between_conditions(blocks: Blocks, nominal: str) -> list[dict[str, Any]]:
    """Return each method's condition - nominal, of the same trainings on the same scenes."""
    rows = []
    for (metric, condition), methods in blocks.items():
        before = blocks.get((metric, nominal), {})
        for name in methods if condition != nominal else ():
            if name in before and (row := _change(methods[name], before[name])):
                labels = {"method_a": f"{name}, {condition}", "method_b": f"{name}, {nominal}"}
                rows.append(row | labels | {"condition": condition, "metric": metric})
    return rows


def _change(after: Block, before: Block) -> dict[str, Any] | None:
    shared = pairwise_differences.shared_scenes(after, before)
    if after.seeds != before.seeds or len(shared) < 2:
        return None
    theta = None
    if after.theta is not None and before.theta is not None:
        theta = after.theta - before.theta
    cells = moments.summarise(after.over(shared) - before.over(shared), theta, after.stochastic)
    none = moments.summarise(np.zeros((1, len(shared))), None, stochastic=False)
    found = moments.difference_interval(cells, none)
    return {
        "difference": float(found.estimate),
        "ci_low": float(found.low),
        "ci_high": float(found.high),
        "p": float(found.p),
        "question": moments.question_of(cells),
        "n_scenes": cells.scenes,
        "note": pairwise_differences.limits_note(cells.scenes, float(found.variance), cells),
    }


def adjusted(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return rows of DIFFERENCES with Benjamini-Hochberg over all of them."""
    frame = pd.DataFrame(rows).reindex(columns=DIFFERENCES)
    if len(frame):
        frame["p_adjusted"] = families.benjamini_hochberg(frame["p"].to_numpy(np.float64))
    return frame
