"""Interactions of two conditions with the choice of method, and ratios between two conditions.

An interaction asks whether the gap between two methods changes from one condition to another: from
known to held-out furniture, or from all training scenes to few. It is a difference of differences
over paired cells, and goes through the same moments as any difference.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from metrics.files import InputError
from metrics.statistics import detection, effects, moments
from metrics.statistics.pairwise_differences import limits_note, stack
from metrics.statistics.table import Block

# (split, subset, metric) -> {method: its cells}
Blocks = dict[tuple[str, str, str], dict[str, Block]]

RETENTION_COLUMNS = [
    *("metric", "method", "first", "second", "mean_first", "mean_second", "ratio", "ci_low"),
    *("ci_high", "df", "n_seeds", "n_scenes", "question", "note"),
]


def splits(config: dict[str, Any]) -> list[str | None]:
    """Return the splits that the contrasts of a `statistics` section compare."""
    generalisation, less_data = (
        config.get(name, {}) for name in ("generalisation", "data_efficiency")
    )
    return [*generalisation.get("splits", ()), less_data.get("split")]


def generalisation(
    blocks: Blocks, reference: str | None, config: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """Return (reference - method) on the first split minus the same on the second.

    Scenes are paired over the splits by the number that ends their names.

    Args:
        blocks: cells by (split, subset, metric) and method.
        reference: the method that the others are compared with.
        config: `splits` (two), `methods` and `metrics`; None asks for nothing.

    Returns:
        Rows of the family "generalisation"; combinations without scores are left out.
    """
    if not config:
        return []
    first, second = config["splits"]
    rows = []
    for metric in config["metrics"]:
        at_first, at_second = (blocks.get((split, "all", metric), {}) for split in (first, second))
        for method in config["methods"]:
            if {reference, method} <= at_first.keys() & at_second.keys():
                chosen = [at[name] for name in (reference, method) for at in (at_first, at_second)]
                label = ("generalisation", f"{first} - {second}", metric, reference, method)
                rows.append(_interaction_row(label, chosen))
    return rows


def data_efficiency(
    blocks: Blocks, reference: str | None, config: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """Return (reference - method) trained with less data minus the same trained with all.

    Args:
        blocks: cells by (split, subset, metric) and method.
        reference: the method that the others are compared with.
        config: `less` ({method: its name when trained with less data}), `split` and `metrics`;
            None asks for nothing.

    Returns:
        Rows of the family "data_efficiency", for every method of `less` but the reference.

    Raises:
        InputError: `less` lacks the reference.
    """
    if not config:
        return []
    less, split = config["less"], config["split"]
    if reference not in less:
        raise InputError(
            f"config: statistics.data_efficiency.less lacks the reference {reference}; add it"
        )
    rows = []
    for metric in config["metrics"]:
        scored = blocks.get((split, "all", metric), {})
        for method in less:
            names = [less[reference], reference, less[method], method]
            if method != reference and set(names) <= scored.keys():
                label = ("data_efficiency", f"{split}, less - all data", metric, reference, method)
                rows.append(_interaction_row(label, [scored[name] for name in names]))
    return rows


def retention(blocks: Blocks, config: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return each method's mean on the first split over that on the second, with limits.

    Args:
        blocks: cells by (split, subset, metric) and method.
        config: the `generalisation` section, of which `splits` is read; None asks for nothing.

    Returns:
        A row (`RETENTION_COLUMNS`) for every method and metric that both splits have; pooled
        metrics are left out.
    """
    if not config:
        return []
    first, second = config["splits"]
    rows = []
    for metric in sorted(key[2] for key in blocks if key[:2] == (first, "all")):
        at_second = blocks.get((second, "all", metric), {})
        for method, block in blocks[first, "all", metric].items():
            if method in at_second and block.theta is None:
                cells = paired_cells([block, at_second[method]])
                if cells is not None:
                    row = {"metric": metric, "method": method, "first": first, "second": second}
                    rows.append(row | _retention_row(*cells, block.stochastic))
    return rows


def log_ratio(first: np.ndarray, second: np.ndarray, stochastic: bool = True) -> moments.Interval:
    """Return the interval of log(mean(first) / mean(second)) over paired cells.

    Delta method: to first order, the cells x / mean(x) - y / mean(y) have the variance of the log
    ratio.

    Args:
        first: f64 [S, N], with a mean above 0.
        second: f64 [S, N], of the same trainings and paired scenes, with a mean above 0.
        stochastic: False for a method without randomness.

    Source: Hedges, Gurevitch and Curtis, The meta-analysis of response ratios, 1999.
    """
    centre = np.log(first.mean() / second.mean())
    scaled = first / first.mean() - second / second.mean()  # (S, N)
    spread = moments.mean_interval(moments.summarise(scaled, stochastic=stochastic))
    # `spread` is centred at 0, because both scaled tables have a mean of 1.
    return replace(spread, estimate=centre, low=centre + spread.low, high=centre + spread.high)


def paired_cells(blocks: list[Block]) -> list[np.ndarray] | None:
    """Return the cells of every block over the scenes that all have, in one order.

    Scenes are paired by the number that ends their names, since two splits name theirs differently.

    Args:
        blocks: an even number; each two in a row are of one method.

    Returns:
        One f64 [S, N] a block. None where the trainings of one method differ, where a number
        belongs to two scenes of a block, or where fewer than two scenes are paired.
    """
    columns = [{_number(s): k for k, s in enumerate(block.scenes)} for block in blocks]
    if any(len(at) < len(block.scenes) for at, block in zip(columns, blocks, strict=True)):
        return None
    if any(a.seeds != b.seeds for a, b in zip(blocks[::2], blocks[1::2], strict=True)):
        return None
    shared = sorted(set.intersection(*map(set, columns)))
    if len(shared) < 2:
        return None
    return [
        block.values[:, [at[number] for number in shared]]
        for at, block in zip(columns, blocks, strict=True)
    ]


def _number(scene: str) -> str:
    return scene.rsplit("-", 1)[-1]


def _interaction_row(
    label: tuple[str, str, str, str | None, str], blocks: list[Block]
) -> dict[str, Any]:
    """Return the row of (blocks 0 - 1) - (blocks 2 - 3); without numbers where they do not pair."""
    names = ("family", "split", "metric", "method_a", "method_b")
    row = dict(zip(names, label, strict=True)) | {"subset": "all"}
    cells = paired_cells(blocks)
    if cells is None:
        return row | {
            "question": moments.TRAININGS_AND_SCENES,
            "note": "not tested: trainings or scenes do not pair up",
        }
    # What is compared is each method's change from condition to condition, cell by cell.
    a, b = (change(*blocks[k : k + 2], *cells[k : k + 2]) for k in (0, 2))
    result = moments.difference_interval(a, b)
    (design,) = detection.designs_of(
        *(stack([one]) for one in (a, b)), by_scene=(a.scene_means - b.scene_means)[None]
    )
    return row | {
        "mean_a": float(a.estimate),
        "mean_b": float(b.estimate),
        "difference": float(result.estimate),
        "ci_low": float(result.low),
        "ci_high": float(result.high),
        "df": float(result.df),
        "p": float(result.p),
        "dz": float(effects.cohens_dz(a.scene_means - b.scene_means)),
        "mde": detection.detectable(design),
        "design": design,
        "question": moments.question_of(a, b),
        "estimator": "two-way moments of the change",
        "n_seeds_a": a.n_trainings,
        "n_seeds_b": b.n_trainings,
        "n_scenes": a.scenes,
        "note": limits_note(a.scenes, float(result.variance), a, b),
    }


def change(
    after: Block, before: Block, cells_after: np.ndarray, cells_before: np.ndarray
) -> moments.Cells:
    """Return the sums over the change of one method, training by training, in its paired cells."""
    pooled = after.theta is not None and before.theta is not None
    theta = after.theta - before.theta if pooled else None
    return moments.summarise(cells_after - cells_before, theta, after.stochastic)


def _retention_row(first: np.ndarray, second: np.ndarray, stochastic: bool) -> dict[str, Any]:
    cells = moments.summarise(first, stochastic=stochastic)
    row: dict[str, Any] = {
        "mean_first": float(first.mean()),
        "mean_second": float(second.mean()),
        "n_seeds": cells.n_trainings,
        "n_scenes": first.shape[1],
        "question": moments.question_of(cells),
        "note": "no ratio: a mean is not above zero",
    }
    if min(first.mean(), second.mean()) > 0:
        result = log_ratio(first, second, stochastic)
        row |= {
            "ratio": float(np.exp(result.estimate)),
            "ci_low": float(np.exp(result.low)),
            "ci_high": float(np.exp(result.high)),
            "df": float(result.df),
            "note": limits_note(first.shape[1], float(result.variance), cells),
        }
    return row
