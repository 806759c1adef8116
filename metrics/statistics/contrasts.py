"""Claims that are interactions, and ratios between two conditions of one method."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from metrics.files import InputError
from metrics.statistics import effects, moments
from metrics.statistics.pairwise_differences import limits_note
from metrics.statistics.table import Block

Kept = dict[tuple[str, str, str], dict[str, Block]]

GENERALISATION: dict[str, Any] = {
    "splits": ["test_asset", "test_scene"],
    "methods": ["no_geometry", "no_alignment"],
    "metrics": ["fscore@5cm", "chamfer_l1_m", "ref_acc@0.25"],
}
RETENTION_COLUMNS = [
    *("metric", "method", "first", "second", "mean_first", "mean_second", "ratio", "ci_low"),
    *("ci_high", "df", "n_seeds", "n_scenes", "question", "note"),
]


def splits(config: dict[str, Any]) -> set[str]:
    """Return the splits that the contrasts of a `statistics` section are about."""
    said = GENERALISATION | (config.get("generalisation") or {})
    less = config.get("data_efficiency") or {}
    return {*said["splits"], less.get("split", "test_scene")}


def generalisation(
    kept: Kept, reference: str, config: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return (reference - ablation) on the first split minus the same on the second.

    Scenes are paired over the splits by the number that ends their names. `config` may name other
    `splits`, `methods` and `metrics`. Rows of family "generalisation"; combinations without scores
    are left out.
    """
    said = GENERALISATION | (config or {})
    first, second = said["splits"]
    rows = []
    for metric in said["metrics"]:
        here, there = (kept.get((split, "all", metric), {}) for split in (first, second))
        for name in said["methods"]:
            if all(m in blocks for m in (reference, name) for blocks in (here, there)):
                chosen = [here[reference], there[reference], here[name], there[name]]
                label = ("generalisation", f"{first} - {second}", metric, reference, name)
                rows.append(_row(label, chosen))
    return rows


def data_efficiency(
    kept: Kept, reference: str, config: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return (reference - ablation) trained with less data minus the same trained with all.

    `config`: `less` maps a method to the name under which it was trained with less data, `metrics`
    lists metrics, `split` is test_scene unless said. Rows of family "data_efficiency", a row for
    every method in `less` but the reference. Raises InputError where `less` lacks the reference.
    """
    if not config:
        return []
    less, split = config.get("less") or {}, config.get("split", "test_scene")
    if reference not in less:
        raise InputError(f"config: statistics.data_efficiency.less lacks the reference {reference}")
    rows = []
    for metric in config.get("metrics", GENERALISATION["metrics"]):
        blocks = kept.get((split, "all", metric), {})
        for name in less:
            names = (reference, name, less[reference], less[name])
            if name != reference and all(n in blocks for n in names):
                chosen = [blocks[n] for m in (reference, name) for n in (less[m], m)]
                label = ("data_efficiency", f"{split}, less - all data", metric, reference, name)
                rows.append(_row(label, chosen))
    return rows


def retention(kept: Kept, config: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return a row (`RETENTION_COLUMNS`) a method and metric: its mean on the first split over that
    on the second, with limits on the log scale.

    For every metric that both of the generalisation's splits have, pooled ones left out.
    """
    first, second = (GENERALISATION | (config or {}))["splits"]
    rows = []
    for split, subset, metric in sorted(kept):
        if (split, subset) != (first, "all"):
            continue
        there = kept.get((second, "all", metric), {})
        for name, block in kept[split, subset, metric].items():
            if name not in there or block.theta is not None:
                continue
            pair = paired([block, there[name]])
            if pair is not None:
                said = {"metric": metric, "method": name, "first": first, "second": second}
                rows.append(said | _retention_row(pair[0], pair[1], block.stochastic))
    return rows


def log_ratio(first: np.ndarray, second: np.ndarray, stochastic: bool = True) -> moments.Interval:
    """Return the interval of log(mean(first) / mean(second)) of paired cells [S, N], means above 0.

    Delta method: the cells x / mean(x) - y / mean(y) have the ratio's variance on the log scale to
    first order (Fieller's problem on the log scale; Hedges, Gurevitch and Curtis 1999).
    """
    centre = np.log(first.mean() / second.mean())
    scaled = first / first.mean() - second / second.mean()
    found = moments.one(moments.summarise(scaled, stochastic=stochastic))
    return replace(found, estimate=centre, low=centre + found.low, high=centre + found.high)


def paired(blocks: list[Block]) -> list[np.ndarray] | None:
    """Return the cells [S, N] of every block over the scenes that all have, in one order.

    Blocks come two by two, each two of one method. Scenes pair by the number that ends their names.
    None where a method's trainings differ, a number stands for two scenes, or fewer than two pair.
    """
    places = [{_number(s): k for k, s in enumerate(b.scenes)} for b in blocks]
    if any(len(place) < len(b.scenes) for place, b in zip(places, blocks, strict=True)):
        return None
    if any(a.seeds != b.seeds for a, b in zip(blocks[::2], blocks[1::2], strict=True)):
        return None
    shared = sorted(set.intersection(*map(set, places)))
    if len(shared) < 2:
        return None
    return [
        b.values[:, [place[scene] for scene in shared]]
        for place, b in zip(places, blocks, strict=True)
    ]


def _number(scene: str) -> str:
    return scene.rsplit("-", 1)[-1]


def _row(label: tuple[str, str, str, str, str], blocks: list[Block]) -> dict[str, Any]:
    """Return the row of (blocks 0 - 1) - (blocks 2 - 3); without numbers where they do not pair."""
    names = ("family", "split", "metric", "method_a", "method_b")
    row = dict(zip(names, label, strict=True)) | {"subset": "all"}
    cells = paired(blocks)
    if cells is None:
        note = "not tested: trainings or scenes do not pair up"
        return row | {"question": moments.TRAININGS_AND_SCENES, "note": note}
    a, b = (_change(blocks[k : k + 2], cells[k : k + 2]) for k in (0, 2))
    result = moments.difference(a, b)
    half = (result.high - result.low) / 2
    return row | {
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
        "note": limits_note(a.scenes, float(result.variance), a, b),
    }


def _change(blocks: list[Block], cells: list[np.ndarray]) -> moments.Cells:
    theta = None
    if blocks[0].theta is not None and blocks[1].theta is not None:
        theta = blocks[0].theta - blocks[1].theta
    return moments.summarise(cells[0] - cells[1], theta, blocks[0].stochastic)


def _retention_row(first: np.ndarray, second: np.ndarray, stochastic: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "mean_first": float(first.mean()),
        "mean_second": float(second.mean()),
        "n_seeds": len(first) if stochastic else 0,
        "n_scenes": first.shape[1],
        "note": "no ratio: a mean is not above zero",
    }
    cells = moments.summarise(first, stochastic=stochastic)
    row["question"] = moments.question_of(cells)
    if min(first.mean(), second.mean()) > 0:
        found = log_ratio(first, second, stochastic)
        limits = {"ratio": found.estimate, "ci_low": found.low, "ci_high": found.high}
        row |= {name: float(np.exp(value)) for name, value in limits.items()}
        row["df"] = float(found.df)
        row["note"] = limits_note(first.shape[1], float(found.variance), cells)
    return row
