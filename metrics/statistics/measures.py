"""What the statistics know of a metric: its direction and the margin for equivalence."""

from __future__ import annotations

from typing import Any

from metrics.registry import METRICS

MARGINS = {"": 0.02, "m": 0.005}


def higher_is_better(metric: str) -> bool:
    """Return the registry's direction; distances and errors are lower-better by their names."""
    if metric in METRICS:
        return bool(METRICS[metric].higher_is_better)
    return not metric.endswith(("_m", "_m2", "absrel", "_mae", "_rank", "unparsed"))


def margin(metric: str, declared: dict[str, Any] | None = None) -> float:
    """Return the difference under which two methods count as equal, NaN where none was declared.

    .02 for scores and 5 mm for distances of the registry, by their units; `declared` (the config's
    `margins`) adds other metrics' or replaces these.
    """
    if declared and metric in declared:
        return float(declared[metric])
    return MARGINS.get(METRICS[metric].unit, float("nan")) if metric in METRICS else float("nan")
