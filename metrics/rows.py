"""Rows of a score table, and their summary."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from metrics.metric import Metric
from metrics.submission.parsing import Invalid

# The subset of all queries.
ALL = "all"
Value = TypeVar("Value")


@dataclass(frozen=True)
class Row:
    """One score.

    Attributes:
        scene: "" for a score of the whole split; query: "" for a score of the whole scene.
        subset: of queries, "all" for all of them.
        metric: name.
        value: the score; the worst value of a failed item.
        kind: "item", or "pooled" for a score of the split and "pseudo" for its pseudo-values.
        succeeded: whether the answer could be used.
    """

    scene: str
    query: str
    subset: str
    metric: str
    value: float
    kind: str = "item"
    succeeded: bool = True


@dataclass(frozen=True)
class ScoredRows:
    """Rows of one domain over a split.

    Attributes:
        rows: of the score table.
        reasons: why a metric of a declared task has no rows.
        mean_succeeded: each pooled metric over the scenes with a usable answer alone.
        notes: which names macro means run over.
    """

    rows: list[Row] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    mean_succeeded: dict[str, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


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


def usable(getter: Callable[..., Value | None], *item: str) -> Value | None:
    """Return what a submission's getter gives for an item; None if it is missing or invalid."""
    try:
        return getter(*item)
    except Invalid:
        return None


# The summary of one metric and subset.
Cell = dict[str, float | int | None]


def summarise(rows: Iterable[Row]) -> dict[str, dict[str, Cell]]:
    """Return {metric: {subset: cell}} of score rows.

    A cell holds

    - ``mean``: the estimand: queries averaged within a scene, then scenes, failures at their worst
      value; theta of a pooled metric;
    - ``items`` and ``succeeded``: how many items there are, and the share that could be used
      (scenes, for a pooled metric);
    - ``mean_succeeded``: the mean over those alone; None where none could be used, and for pooled
      metrics, which have no value by item (`metrics.score` fills it in);
    - ``query_mean``: the plain mean over queries that ScanRefer and others report (tables print
      it for metrics with `Metric.query_mean`); None for a
      metric without queries.

    Example:
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
    """Return the summary of the rows of one metric and subset."""
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
    """Return the mean over scenes of the mean within a scene."""
    scenes: dict[str, list[float]] = {}
    for row in rows:
        scenes.setdefault(row.scene, []).append(row.value)
    return float(np.mean([np.mean(values) for values in scenes.values()]))
