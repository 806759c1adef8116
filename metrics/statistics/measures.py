"""Facts about metrics that the statistics use: better direction, margin, whether tests exist."""

from typing import Any

from metrics.registry import METRICS

# By the metric's unit: 0.02 for scores (no unit), 5 mm for distances.
MARGINS = {"": 0.02, "m": 0.005}


def higher_is_better(metric: str) -> bool:
    """Return a metric's direction: the registry's, or that its name suggests for any other."""
    if metric in METRICS:
        return bool(METRICS[metric].higher_is_better)
    lower = ("_m", "_m2", "absrel", "_mae", "_rank", "_medr", "_meanr", "unparsed")
    return not metric.endswith(lower)


def is_smooth(metric: str) -> bool:
    """Return whether pseudo-values of a metric give intervals and tests; see `Metric.smooth`."""
    return metric not in METRICS or METRICS[metric].smooth


def equivalence_margin(metric: str, declared: dict[str, Any] | None = None) -> float:
    """Return the difference below which two methods count as equal, NaN where none is declared.

    `declared` (the config's `margins`) adds other metrics or replaces the margin of their unit.
    """
    if declared and metric in declared:
        return float(declared[metric])
    return MARGINS.get(METRICS[metric].unit, float("nan")) if metric in METRICS else float("nan")
