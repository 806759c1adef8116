"""Facts about metrics that the statistics use: direction, facet, whether tests exist."""

from collections.abc import Mapping
from typing import Any

from metrics.registry import METRICS


def higher_is_better(metric: str) -> bool:
    """Return a metric's direction: the registry's, or that its name suggests for any other."""
    if metric in METRICS:
        return bool(METRICS[metric].higher_is_better)
    lower = ("_m", "_m2", "absrel", "_mae", "_rank", "_medr", "_meanr", "unparsed")
    return not metric.endswith(lower)


def is_smooth(metric: str) -> bool:
    """Return whether pseudo-values of a metric give intervals and tests; see `Metric.smooth`."""
    return metric not in METRICS or METRICS[metric].smooth


def bounds(metric: str) -> tuple[float, float | None] | None:
    """Return the smallest and largest value of a metric of the registry, None for any other."""
    if metric not in METRICS:
        return None
    return METRICS[metric].low, METRICS[metric].high


def has_gallery(metric: str) -> bool:
    """Return whether a metric's queries search one gallery; see `Metric.gallery`."""
    return metric in METRICS and METRICS[metric].gallery


def metric_group(metric: str) -> str:
    """Return the group of metrics whose exploratory tests are corrected together.

    The registry's family of the metric; any other metric is a group of its own.
    """
    return METRICS[metric].family if metric in METRICS else metric


def is_task(name: str) -> bool:
    """Return whether a name is a metric, a task or a family of metrics in the registry."""
    return any(name in (m.name, m.task, m.family) for m in METRICS.values())


def reason_for_metric(reasons: Mapping[str, str], metric: str) -> str:
    """Return the reason that concerns a metric, "" for none.

    Args:
        reasons: by metric, by the task that a method must produce to be scored on it, or by the
            registry's family of metrics; the narrowest counts.
        metric: name.

    Example:
        >>> reason_for_metric({"mesh": "no mesh", "mesh_iou": "not closed"}, "mesh_iou")
        'not closed'
    """
    known: tuple[Any, ...] = (metric,)
    if metric in METRICS:
        known = (metric, METRICS[metric].task, METRICS[metric].family)
    return next((reasons[name] for name in known if name in reasons), "")
