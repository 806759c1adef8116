"""Claims that are interactions: does a gap grow from one split to another?"""

from __future__ import annotations

from typing import Any

import numpy as np

from metrics.statistics import effects, moments
from metrics.statistics.table import Block

Kept = dict[tuple[str, str, str], dict[str, Block]]

DEFAULT = {
    "splits": ["test_asset", "test_scene"],
    "methods": ["no_geometry", "no_alignment"],
    "metrics": ["fscore@5cm", "chamfer_l1_m", "ref_acc@0.25"],
}


def generalisation(
    kept: Kept, reference: str, config: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return (reference - ablation) on the first split minus the same on the second.

    Scenes are paired over the splits by the number that ends their names; contrasts are formed
    within seed and scene, then go through the two-way moments. Rows of family "generalisation";
    combinations without scores are left out.
    """
    said = DEFAULT | (config or {})
    rows = []
    for metric in said["metrics"]:
        first, second = (kept.get((split, "all", metric), {}) for split in said["splits"])
        for name in said["methods"]:
            if all(m in split for m in (reference, name) for split in (first, second)):
                gaps = [_change(first[m], second[m]) for m in (reference, name)]
                if gaps[0] is not None and gaps[1] is not None:
                    rows.append(_row(gaps[0], gaps[1], metric, said["splits"], reference, name))
    return rows


def _change(first: Block, second: Block) -> moments.Cells | None:
    """Return cells of first minus second over paired scenes, or None where fewer than two pair."""
    if first.seeds != second.seeds:
        return None
    there = {scene.rsplit("-", 1)[-1]: k for k, scene in enumerate(second.scenes)}
    pairs = [
        (k, there[end])
        for k, scene in enumerate(first.scenes)
        if (end := scene.rsplit("-", 1)[-1]) in there
    ]
    if len(pairs) < 2:
        return None
    here, other = np.array(pairs).T
    theta = None
    if first.theta is not None and second.theta is not None:
        theta = first.theta - second.theta
    return moments.summarise(
        first.values[:, here] - second.values[:, other], theta, first.stochastic
    )


def _row(
    a: moments.Cells, b: moments.Cells, metric: str, splits: list[str], reference: str, name: str
) -> dict[str, Any]:
    result = moments.difference(a, b)
    half = (result.high - result.low) / 2
    return {
        "family": "generalisation",
        "split": f"{splits[0]} - {splits[1]}",
        "subset": "all",
        "metric": metric,
        "method_a": reference,
        "method_b": name,
        "mean_a": float(a.estimate),
        "mean_b": float(b.estimate),
        "difference": float(result.estimate),
        "ci_low": float(result.low),
        "ci_high": float(result.high),
        "df": float(result.df),
        "p": float(result.p),
        "dz": float(effects.cohens_dz(a.scene_means - b.scene_means)),
        "mde": float(effects.detectable(half, result.df)),
        "question": moments.question_of(a, b),
        "estimator": "two-way moments of the change",
        "n_seeds_a": a.seeds if a.has_trainings else 0,
        "n_seeds_b": b.seeds if b.has_trainings else 0,
        "n_scenes": a.scenes,
        "note": "",
    }
