"""Metrics of distances, normals and colours between a predicted and the true surface.

The functions of numbers are pure. `METRICS` applies them to a `SurfaceComparison`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from metrics.metric import Metric
from metrics.reconstruction.pointcloud import CELL, cell_normals, estimate_normals
from metrics.reconstruction.radius_counts import Link, link, within
from metrics.reconstruction.surfaces import SurfaceComparison

# Distances at which precision, recall and F-score are reported, metres.
THRESHOLDS = (0.025, 0.05, 0.1)
COLOUR_RADIUS = 0.05
DTU = "Jensen et al. 2014 (DTU)"
OCCUPANCY_NETWORKS = "Mescheder et al. 2019 (Occupancy Networks)"
TANKS_AND_TEMPLES = "in the style of Knapitsch et al. 2017 (Tanks and Temples), no registration"


def mean_distance(distance: np.ndarray, clip: float = np.inf) -> float:
    """Mean of distances [N] in metres, each at most `clip`. Lower is better; worst `clip`.

    This is accuracy (prediction to truth) and completeness (truth to prediction) of the DTU
    protocol (Jensen et al. 2014), unsquared. A perfect answer, sampled anew, has the floor that
    is measured on each split.

    >>> mean_distance(np.array([0.5, 9.0]), clip=2.0)
    1.25
    """
    return float(np.minimum(distance, clip).mean(dtype=np.float64))


def mean_squared_distance(distance: np.ndarray, clip: float = np.inf) -> float:
    """Mean of squared distances [N] in square metres, each distance at most `clip`.

    Half of `chamfer_l2sq`. Lower is better; worst `clip` squared; floor as of `mean_distance`.

    >>> mean_squared_distance(np.array([1.0, 3.0]))
    5.0
    """
    return float((np.minimum(distance, clip).astype(np.float64) ** 2).mean())


def chamfer_l1(forward: np.ndarray, backward: np.ndarray, clip: float = np.inf) -> float:
    """Mean of the two mean distances (Occupancy Networks, Mescheder et al. 2019), metres.

    Args:
        forward: [N] metres, prediction to truth; backward: [M] metres, truth to prediction.
        clip: the largest a distance counts, and the worst value.

    Lower is better; the floor is measured on each split.

    >>> chamfer_l1(np.array([5.0]), np.array([5.0]))
    5.0
    """
    return (mean_distance(forward, clip) + mean_distance(backward, clip)) / 2


def chamfer_l2sq(forward: np.ndarray, backward: np.ndarray, clip: float = np.inf) -> float:
    """Sum of the two mean squared distances, square metres.

    The default of `pytorch3d.loss.chamfer_distance` (Ravi et al. 2020). Arguments as of
    `chamfer_l1`. Lower is better; worst 2 `clip`^2; the floor is measured on each split.

    >>> chamfer_l2sq(np.array([5.0]), np.array([5.0]))
    50.0
    """
    return mean_squared_distance(forward, clip) + mean_squared_distance(backward, clip)


def share_within(distance: np.ndarray, threshold: float) -> float:
    """Share of distances [N] strictly below `threshold`, both metres: precision or recall.

    Higher is better, in [0, 1], worst 0; the floor is measured on each split. In the style of
    Tanks and Temples (Knapitsch et al. 2017). NaN without distances.

    >>> share_within(np.array([0.01, 0.05, 0.2]), 0.05).__round__(3)
    0.333
    """
    return float((distance < threshold).mean())


def fscore(precision: float, recall: float) -> float:
    """Harmonic mean of precision and recall, 0 when both are 0.

    In the style of Tanks and Temples (Knapitsch et al. 2017), without its registration step.
    Higher is better, in [0, 1], worst 0; the floor is measured on each split.

    >>> fscore(0.5, 1.0)
    0.6666666666666666
    """
    total = precision + recall
    return 2 * precision * recall / total if total > 0 else 0.0


def threshold_name(threshold: float) -> str:
    """Return how names of metrics say a threshold in metres.

    >>> threshold_name(0.025)
    '2.5cm'
    """
    return f"{threshold * 100:g}cm"


def normal_agreement(normals: np.ndarray, others: np.ndarray) -> float:
    """Mean absolute dot product of unit normals [N, 3] with those of their neighbours [N, 3].

    Higher is better, in [0, 1], worst 0 (Occupancy Networks, Mescheder et al. 2019).

    >>> normal_agreement(np.array([[0, 0, 1.0]]), np.array([[0, 0.6, -0.8]]))
    0.8
    """
    return float(np.abs(np.einsum("ij,ij->i", normals, others)).mean(dtype=np.float64))


def normal_consistency(forward: float, backward: float) -> float:
    """Mean of `normal_agreement` of both directions (Occupancy Networks, Mescheder et al. 2019).

    Higher is better, in [0, 1], worst 0; the floor is measured on each split.

    >>> normal_consistency(0.75, 0.25)
    0.5
    """
    return (forward + backward) / 2


def colour_error(distance: np.ndarray, mine: np.ndarray, other: np.ndarray) -> float | None:
    """Mean absolute sRGB difference, in [0, 1], at neighbours within 5 cm; None without any.

    Args:
        distance: [N] metres to the neighbour.
        mine: uint8 [N, 3] colours of the points.
        other: uint8 [N, 3] colours of their neighbours.

    Lower is better, worst 1; the floor is measured on each split. This project's own.

    >>> colour_error(np.array([0.01]), np.zeros((1, 3), np.uint8), np.full((1, 3), 51, np.uint8))
    0.2
    """
    close = distance < COLOUR_RADIUS
    if not close.any():
        return None
    gap = np.abs(mine[close].astype(np.int16) - other[close].astype(np.int16))
    return float(gap.mean(dtype=np.float64) / 255)


def completion_link(comparison: SurfaceComparison) -> Link:
    """Return the nearest predicted point of each sample of the completion surface."""
    return link(comparison.clouds.completion, comparison.samples)


def precision_at(comparison: SurfaceComparison, threshold: float) -> float:
    """Return the share of predicted points closer than `threshold` metres to the true surface."""
    cell = threshold / 2
    mine, true = comparison.samples, comparison.clouds.all
    return within(mine, true, cell, threshold, comparison.forward)


def recall_at(comparison: SurfaceComparison, threshold: float) -> float:
    """Return the share of observed true surface closer than `threshold` metres to a point."""
    cell = threshold / 2
    mine, true = comparison.samples, comparison.clouds.observed
    return within(true, mine, cell, threshold, comparison.backward)


def fscore_at(comparison: SurfaceComparison, threshold: float) -> float:
    """Return the F-score of a comparison at `threshold` metres."""
    precision = comparison.once(precision_at, threshold)
    return fscore(precision, comparison.once(recall_at, threshold))


def completion_recall_at(comparison: SurfaceComparison, threshold: float) -> float:
    """Return the share of completion surface closer than `threshold` metres to a point."""
    found = comparison.once(completion_link)
    true = comparison.clouds.completion
    return within(true, comparison.samples, threshold / 2, threshold, found)


def chamfer_of(comparison: SurfaceComparison) -> float:
    """Return `chamfer_l1` of a comparison."""
    forward, backward = comparison.forward.distance, comparison.backward.distance
    return chamfer_l1(forward, backward, comparison.clip)


def squared_chamfer_of(comparison: SurfaceComparison) -> float:
    """Return `chamfer_l2sq` of a comparison."""
    forward, backward = comparison.forward.distance, comparison.backward.distance
    return chamfer_l2sq(forward, backward, comparison.clip)


def normals_of(comparison: SurfaceComparison) -> float:
    """Return `normal_consistency` of a comparison; normals are those of 1 cm cells."""
    surface, samples = comparison.surface, comparison.samples
    if surface.normals is None:
        normals = estimate_normals(samples.cloud(CELL))  # (M, 3)
    else:
        normals = cell_normals(surface.points, surface.normals, CELL, samples.chosen(CELL))
    every = comparison.clouds.prepared.normals("all")  # (N, 3)
    observed = comparison.clouds.prepared.normals("observed")  # (K, 3)
    return normal_consistency(
        normal_agreement(normals, every.take(comparison.forward.row, axis=0)),
        normal_agreement(observed, normals.take(comparison.backward.row, axis=0)),
    )


def colours_of(comparison: SurfaceComparison) -> float | None:
    """Return `colour_error` of a comparison; None for a surface without colours."""
    colours = comparison.surface.colours
    if colours is None:
        return None
    forward = comparison.forward
    true = comparison.clouds.true.surface_colour[forward.found]  # (M, 3)
    return colour_error(forward.distance, colours[forward.place], true)


def _has_completion(comparison: SurfaceComparison) -> bool:
    return bool(comparison.clouds.true.subset("completion").any())


def _metric(name: str, compute: Callable[[Any], Any], place: int, **more: Any) -> Metric:
    """Return a metric of a surface whose floor is measured by sampling the truth twice."""
    return Metric(
        name=name,
        family="reconstruction",
        task="points",
        input="surface",
        compute=compute,
        place=place,
        floor_of=name,
        computed_ceiling=True,
        **more,
    )


def _distance(
    name: str, compute: Callable[[Any], Any], place: int, description: str, source: str, **more: Any
) -> Metric:
    facts = {"unit": "m", "higher_is_better": False, "high": None} | more
    return _metric(name, compute, place, description=description, source=source, **facts)


def _shares() -> tuple[list[Metric], list[Metric]]:
    """Return F-score, precision and recall, and recall of completion, at each threshold."""
    observed, completion = [], []
    for order, threshold in enumerate(THRESHOLDS):
        tag = threshold_name(threshold)
        place = 20 + 10 * order
        for offset, (name, function, what) in enumerate(
            (
                ("fscore", fscore_at, "harmonic mean of precision and recall"),
                ("precision", precision_at, "share of predicted points near true surface"),
                ("recall", recall_at, "share of observed true surface near a predicted point"),
                (
                    "recall_completion",
                    completion_recall_at,
                    "share of completion surface near a predicted point",
                ),
            )
        ):
            is_completion = name == "recall_completion"
            metric = _metric(
                f"{name}@{tag}",
                lambda c, function=function, threshold=threshold: c.once(function, threshold),
                place + offset,
                description=f"{what}, d < {tag}, one point per {threshold * 50:g} cm cell",
                source=TANKS_AND_TEMPLES,
                **({"applies": _has_completion} if is_completion else {}),
            )
            (completion if is_completion else observed).append(metric)
    return observed, completion


_OBSERVED_SHARES, _COMPLETION_SHARES = _shares()
METRICS = (
    _distance(
        "accuracy_m",
        lambda c: mean_distance(c.forward.distance, c.clip),
        10,
        "mean distance, prediction to all true surface",
        DTU,
    ),
    _distance(
        "completeness_m",
        lambda c: mean_distance(c.backward.distance, c.clip),
        11,
        "mean distance, observed true surface to prediction",
        DTU,
    ),
    _distance("chamfer_l1_m", chamfer_of, 13, "(accuracy + completeness) / 2", OCCUPANCY_NETWORKS),
    _distance(
        "chamfer_l2sq_m2",
        squared_chamfer_of,
        14,
        "sum of both mean squared distances",
        "pytorch3d.loss.chamfer_distance",
        unit="m2",
    ),
    *_OBSERVED_SHARES,
    _distance(
        "completeness_completion_m",
        lambda c: mean_distance(c.once(completion_link).distance, c.clip),
        12,
        "mean distance, true surface seen by held-out cameras alone to prediction",
        DTU,
        applies=_has_completion,
    ),
    *_COMPLETION_SHARES,
    _metric(
        "normal_consistency",
        normals_of,
        51,
        description="mean absolute dot of normals at nearest neighbours, both directions averaged; "
        "points without a mesh take the plane of 12 neighbours",
        source=OCCUPANCY_NETWORKS,
    ),
    _metric(
        "colour_mae",
        colours_of,
        52,
        unit="sRGB/255",
        higher_is_better=False,
        description="mean absolute sRGB difference at nearest neighbours within 5 cm",
        source="this project",
    ),
)
