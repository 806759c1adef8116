"""Rows of a score table, and how a failed item becomes its worst value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from metrics.metric import Metric
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


def item_row(
    metric: Metric,
    scene: str,
    value: float | None,
    size: float = 0.0,
    query: str = "",
    subset: str = ALL,
    succeeded: bool = True,
) -> Row:
    """Return the row of one item; its worst value where there is none.

    Args:
        value: None or not finite for an item that failed.
        size: see `Metric.worst_in`.
        succeeded: False where an unusable answer has a value of its own.
    """
    if value is None or not np.isfinite(value):
        return Row(scene, query, subset, metric.name, metric.worst_in(size), "item", False)
    return Row(scene, query, subset, metric.name, value, "item", succeeded)


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
      which have no value by item (`metrics.score` fills it in);
    - ``query_mean``: the plain mean over queries that ScanRefer and others report; None for a
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
    cells: dict[str, dict[str, Cell]] = {}
    for (metric, subset), members in groups.items():
        cells.setdefault(metric, {})[subset] = _cell(members)
    return cells


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
