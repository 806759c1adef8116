"""Rows of a score table, and how a failed item becomes its worst value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from metrics.registry import METRICS
from metrics.submission_checks import Invalid

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
