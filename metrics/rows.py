"""Rows of a score table, and how a failed item becomes its worst value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from metrics.registry import METRICS
from metrics.scene_graph.pooled import PooledValue
from metrics.submission.parsing import Invalid

ALL = "all"
Value = TypeVar("Value")


@dataclass(frozen=True)
class Row:
    """One score: of a query, a scene ("" query) or a split ("" scene)."""

    scene: str
    query: str
    subset: str
    metric: str
    value: float
    kind: str = "item"
    succeeded: bool = True


def failed(
    scene: str, metrics: Iterable[str], diagonal: float, query: str = "", subset: str = ALL
) -> list[Row]:
    """Return rows with each metric's worst value."""
    return [
        Row(scene, query, subset, name, METRICS[name].worst_in(diagonal), "item", False)
        for name in metrics
    ]


def usable(getter: Callable[[], Value | None]) -> Value | None:
    """Return what a submission holds for an item, or None if it is missing or invalid."""
    try:
        return getter()
    except Invalid:
        return None


Cell = dict[str, float | int | None]


def summarise(rows: Iterable[Row]) -> dict[str, dict[str, Cell]]:
    """Return {metric: {subset: cell}} of score rows.

    A cell holds

    - ``mean``: the estimand: queries averaged within a scene, then scenes; a pooled metric's
      theta; failures at their worst value;
    - ``items`` and ``succeeded``: how many there are, and the share that could be used (scenes,
      for a pooled metric);
    - ``mean_succeeded``: the mean over those alone; None where none is, and for pooled metrics,
      which have no value by item (see `pooled_succeeded`);
    - ``query_mean``: the plain mean over queries that ScanRefer and others give; None for a
      metric without queries.

    >>> rows = [Row("a", "q0", "all", "ref_pick", 1.0), Row("a", "q1", "all", "ref_pick", 1.0),
    ...         Row("b", "q0", "all", "ref_pick", 0.0, "item", False)]
    >>> cell = summarise(rows)["ref_pick"]["all"]
    >>> cell["mean"], round(cell["query_mean"], 3), cell["mean_succeeded"]
    (0.5, 0.667, 1.0)
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.metric, row.subset), []).append(row)
    found: dict[str, dict[str, Cell]] = {}
    for (metric, subset), members in groups.items():
        found.setdefault(metric, {})[subset] = _cell(members)
    return found


def pooled_succeeded(values: dict[str, PooledValue], succeeded: np.ndarray) -> dict[str, float]:
    """Return each pooled statistic over the succeeded scenes alone, bool [N]; {} without any."""
    if not succeeded.any():
        return {}
    return {name: value.over(succeeded) for name, value in values.items()}


def _cell(rows: list[Row]) -> Cell:
    pooled = [row.value for row in rows if row.kind == "pooled"]
    members = [row for row in rows if row.kind != "pooled"]
    good = [row for row in members if row.succeeded and row.kind == "item"]
    queries = [row.value for row in members if row.query]
    return {
        "mean": pooled[0] if pooled else _scene_mean(members),
        "items": len(members),
        "succeeded": sum(row.succeeded for row in members) / len(members) if members else 1.0,
        "mean_succeeded": _scene_mean(good) if good else None,
        "query_mean": float(np.mean(queries)) if queries else None,
    }


def _scene_mean(rows: list[Row]) -> float:
    scenes: dict[str, list[float]] = {}
    for row in rows:
        scenes.setdefault(row.scene, []).append(row.value)
    return float(np.mean([np.mean(values) for values in scenes.values()]))
