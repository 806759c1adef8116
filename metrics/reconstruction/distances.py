"""Metrics of distances, normals and colours between a predicted and the true surface.

The functions of numbers are pure. `METRICS` applies them to a `SurfaceComparison`, in which the
nearest neighbours of each direction are searched once.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from metrics.geometry import dots
from metrics.metric import Metric
from metrics.reconstruction.pointcloud import CELL, cell_normals, estimate_normals
from metrics.reconstruction.radius_counts import Link, link, within
from metrics.reconstruction.surfaces import SurfaceComparison

# Distances at which precision, recall and F-score are reported, metres.
THRESHOLDS = (0.025, 0.05, 0.1)
# Neighbours that are farther apart have no colours to compare, metres.
COLOUR_RADIUS = 0.05
DTU = (
    "Jensen et al. 2014 (DTU); differs from DTU in that no distance over 20 mm is left out, no "
    "mask applies, distances end at the scene's diagonal, and clouds are reduced to one point per "
    "1 cm cell, not to 0.2 mm"
)
CHAMFER = (
    "Mescheder et al. 2019 (Occupancy Networks); differs from it in the unit, metres, in one point "
    "per 1 cm cell, in distances that end at the scene's diagonal and in completeness of observed "
    "surface alone"
)
NORMALS = (
    "Mescheder et al. 2019 (Occupancy Networks); differs from it in normals that are averaged over "
    "1 cm cells, and fitted where there is no mesh"
)
TANKS_AND_TEMPLES = (
    "in the style of Knapitsch et al. 2017 (Tanks and Temples); differs from it in that there is "
    "no registration, no crop volume, and one point of each cell in place of the cell's mean"
)


def mean_distance(distance: np.ndarray, clip: float = np.inf) -> float:
    """Return the mean of distances, each at most `clip`: accuracy or completeness.

    Args:
        distance: [N] metres, from each point of one side to the other side; without any the mean is
            the worst value, `clip`.
        clip: metres.

    Source: Jensen et al. 2014 (DTU), whose distances are not squared either; differs from DTU,
        which leaves out distances over 20 mm and points outside its observability masks.

    Example:
        >>> mean_distance(np.array([0.5, 9.0]), clip=2.0)
        1.25
    """
    if not len(distance):
        return float(clip)
    return float(np.minimum(distance, clip).mean(dtype=np.float64))


def mean_squared_distance(distance: np.ndarray, clip: float = np.inf) -> float:
    """Return the mean of squared distances in square metres; arguments as of `mean_distance`.

    Example:
        >>> mean_squared_distance(np.array([1.0, 3.0]))
        5.0
    """
    if not len(distance):
        return float(clip) ** 2
    return float((np.minimum(distance, clip).astype(np.float64) ** 2).mean())


def chamfer_l1(forward: np.ndarray, backward: np.ndarray, clip: float = np.inf) -> float:
    """Return the mean of the two mean distances, metres.

    Args:
        forward: [N] metres, prediction to truth.
        backward: [M] metres, truth to prediction.
        clip: the most that a distance counts, metres.

    Source: Mescheder et al. 2019 (Occupancy Networks).

    Example:
        >>> chamfer_l1(np.array([5.0]), np.array([5.0]))
        5.0
    """
    return (mean_distance(forward, clip) + mean_distance(backward, clip)) / 2


def chamfer_l2sq(forward: np.ndarray, backward: np.ndarray, clip: float = np.inf) -> float:
    """Return the sum of the two mean squared distances; arguments as of `chamfer_l1`.

    Source: the default of `pytorch3d.loss.chamfer_distance` (Ravi et al. 2020).

    Example:
        >>> chamfer_l2sq(np.array([5.0]), np.array([5.0]))
        50.0
    """
    return mean_squared_distance(forward, clip) + mean_squared_distance(backward, clip)


def share_within(distance: np.ndarray, threshold: float) -> float:
    """Return the share of distances strictly below `threshold`: precision or recall.

    Args:
        distance: [N] metres; the share is 0 without any.
        threshold: metres.

    Source: in the style of Knapitsch et al. 2017 (Tanks and Temples).

    Example:
        >>> share_within(np.array([0.01, 0.05, 0.2]), 0.05).__round__(3)
        0.333
    """
    return float((distance < threshold).mean()) if len(distance) else 0.0


def fscore(precision: float, recall: float) -> float:
    """Return the harmonic mean of precision and recall, 0 when both are 0.

    Example:
        >>> fscore(0.5, 1.0)
        0.6666666666666666
    """
    total = precision + recall
    return 2 * precision * recall / total if total > 0 else 0.0


def threshold_name(threshold: float) -> str:
    """Return a threshold in metres as it is written in names of metrics.

    Example:
        >>> threshold_name(0.025)
        '2.5cm'
    """
    return f"{threshold * 100:g}cm"


def normal_agreement(normals: np.ndarray, others: np.ndarray) -> float:
    """Return the mean absolute dot product of normals with those of their neighbours.

    Args:
        normals: unit [N, 3]; the value is 0 without any.
        others: unit [N, 3]; row i is the neighbour of row i of `normals`.

    Source: Mescheder et al. 2019 (Occupancy Networks).

    Example:
        >>> normal_agreement(np.array([[0, 0, 1.0]]), np.array([[0, 0.6, -0.8]]))
        0.8
    """
    if not len(normals):
        return 0.0
    return float(np.abs(dots(normals, others)).mean(dtype=np.float64))


def normal_consistency(forward: float, backward: float) -> float:
    """Return the mean of `normal_agreement` of both directions.

    Example:
        >>> normal_consistency(0.75, 0.25)
        0.5
    """
    return (forward + backward) / 2


def colour_error(distance: np.ndarray, colours: np.ndarray, others: np.ndarray) -> float | None:
    """Return the mean absolute sRGB difference at near neighbours, 0 to 1; None without any.

    Args:
        distance: [N] metres to the neighbour.
        colours: u8 [N, 3] colours of the points.
        others: u8 [N, 3] colours of their neighbours.

    Example:
        >>> black, grey = np.zeros((1, 3), np.uint8), np.full((1, 3), 51, np.uint8)
        >>> colour_error(np.array([0.01]), black, grey)
        0.2
    """
    close = np.flatnonzero(distance < COLOUR_RADIUS)
    if not len(close):
        return None
    # Signed and wider than u8, so that a difference does not wrap around.
    first, second = (side.take(close, axis=0).astype(np.int16) for side in (colours, others))
    gap = np.abs(first - second)
    return float(gap.mean(dtype=np.float64) / 255)


def accuracy(comparison: SurfaceComparison) -> float:
    """Return the mean distance from the prediction to all true surface."""
    return mean_distance(comparison.forward.distance, comparison.clip)


def completeness(comparison: SurfaceComparison) -> float:
    """Return the mean distance from observed true surface to the prediction."""
    return mean_distance(comparison.backward.distance, comparison.clip)


def chamfer_of(comparison: SurfaceComparison, formula: Callable[..., float] = chamfer_l1) -> float:
    """Return `chamfer_l1`, or `chamfer_l2sq` as the formula, of a comparison."""
    return formula(comparison.forward.distance, comparison.backward.distance, comparison.clip)


def completion_link(comparison: SurfaceComparison) -> Link:
    """Return the nearest predicted point of each sample of the completion surface."""
    return link(comparison.clouds.completion, comparison.samples)


def completion_completeness(comparison: SurfaceComparison) -> float:
    """Return the mean distance from completion surface to the prediction."""
    return mean_distance(comparison.once(completion_link).distance, comparison.clip)


# Precision and recall take one point per cell of half the threshold, on both sides: a finer cell
# would let dense regions outvote sparse ones, a coarser one could not tell what is within it.
def precision_at(comparison: SurfaceComparison, threshold: float) -> float:
    """Return the share of predicted points closer than `threshold` metres to the true surface."""
    predicted, true = comparison.samples, comparison.clouds.all
    return within(predicted, true, threshold / 2, threshold, comparison.forward)


def recall_at(comparison: SurfaceComparison, threshold: float) -> float:
    """Return the share of observed true surface closer than `threshold` metres to a point."""
    predicted, true = comparison.samples, comparison.clouds.observed
    return within(true, predicted, threshold / 2, threshold, comparison.backward)


def fscore_at(comparison: SurfaceComparison, threshold: float) -> float:
    """Return the F-score of a comparison at `threshold` metres."""
    return fscore(comparison.once(precision_at, threshold), comparison.once(recall_at, threshold))


def completion_recall_at(comparison: SurfaceComparison, threshold: float) -> float:
    """Return the share of completion surface closer than `threshold` metres to a point."""
    predicted, true = comparison.samples, comparison.clouds.completion
    return within(true, predicted, threshold / 2, threshold, comparison.once(completion_link))


def normals_of(comparison: SurfaceComparison) -> float:
    """Return `normal_consistency` of a comparison, over 1 cm cells."""
    surface, samples = comparison.surface, comparison.samples
    if surface.normals is None:
        normals = estimate_normals(samples.cloud(CELL))  # (M, 3)
    else:
        normals = cell_normals(surface.points, surface.normals, CELL, samples.chosen(CELL))
    every = comparison.clouds.prepared.normals("all")  # (N, 3)
    observed = comparison.clouds.prepared.normals("observed")  # (K, 3)
    return normal_consistency(
        normal_agreement(normals, every.take(comparison.forward.target_row, axis=0)),
        normal_agreement(observed, normals.take(comparison.backward.target_row, axis=0)),
    )


def colours_of(comparison: SurfaceComparison) -> float | None:
    """Return `colour_error` of a comparison; None for a surface without colours."""
    colours = comparison.surface.colours
    if colours is None:
        return None
    forward = comparison.forward
    true = comparison.clouds.true.surface_colour.take(forward.target_place, axis=0)  # (M, 3)
    return colour_error(forward.distance, colours.take(forward.source_place, axis=0), true)


def _has_completion(comparison: SurfaceComparison) -> bool:
    return bool(comparison.clouds.true.subset("completion").any())


def sampled_metric(name: str, **facts: Any) -> Metric:
    """Return a metric of a sampled surface: its floor is measured and its ceiling computed."""
    return Metric(
        name=name,
        family="reconstruction",
        task="points",
        input="surface",
        floor_of=name,
        computed_ceiling=True,
        **facts,
    )


def _kept(function: Callable[..., float], threshold: float) -> Callable[..., float]:
    """Return the function at a threshold, computed once a comparison."""
    return lambda comparison: comparison.once(function, threshold)


def _at_thresholds(
    variants: list[tuple[str, Callable[..., float], str]], place: int, **facts: Any
) -> Iterator[Metric]:
    """Yield (name, function, description) variants at each threshold."""
    for order, threshold in enumerate(THRESHOLDS):
        tag = threshold_name(threshold)
        for offset, (name, function, text) in enumerate(variants):
            yield sampled_metric(
                f"{name}@{tag}",
                compute=_kept(function, threshold),
                description=f"{text}, d < {tag}, one point per {threshold * 50:g} cm cell",
                source=TANKS_AND_TEMPLES,
                place=place + 10 * order + offset,
                **facts,
            )


_distance = partial(sampled_metric, unit="m", higher_is_better=False, high=None)

METRICS = (
    _distance(
        "accuracy_m",
        compute=accuracy,
        description="mean distance, prediction to all true surface",
        source=DTU,
        place=10,
    ),
    _distance(
        "completeness_m",
        compute=completeness,
        description="mean distance, observed true surface to prediction",
        source=DTU,
        place=11,
    ),
    _distance(
        "chamfer_l1_m",
        compute=chamfer_of,
        description="(accuracy + completeness) / 2",
        source=CHAMFER,
        place=13,
    ),
    _distance(
        "chamfer_l2sq_m2",
        compute=lambda comparison: chamfer_of(comparison, chamfer_l2sq),
        description="sum of both mean squared distances",
        source="the default of pytorch3d.loss.chamfer_distance; differs from it in one point per "
        "1 cm cell, in distances that end at the scene's diagonal and in the second mean over "
        "observed surface alone",
        unit="m2",
        place=14,
    ),
    *_at_thresholds(
        [
            ("fscore", fscore_at, "harmonic mean of precision and recall"),
            ("precision", precision_at, "share of predicted points near true surface"),
            ("recall", recall_at, "share of observed true surface near a predicted point"),
        ],
        place=20,
    ),
    _distance(
        "completeness_completion_m",
        compute=completion_completeness,
        description="mean distance, true surface seen by held-out cameras alone to prediction",
        source=DTU,
        applies=_has_completion,
        place=12,
    ),
    *_at_thresholds(
        [
            (
                "recall_completion",
                completion_recall_at,
                "share of completion surface near a predicted point",
            )
        ],
        place=23,
        applies=_has_completion,
    ),
    sampled_metric(
        "normal_consistency",
        compute=normals_of,
        description="mean absolute dot of normals at nearest neighbours, both directions averaged; "
        "points without a mesh take the plane of 12 neighbours",
        source=NORMALS,
        place=51,
    ),
    sampled_metric(
        "colour_mae",
        compute=colours_of,
        description="mean absolute sRGB difference at nearest neighbours within 5 cm",
        source="this project",
        unit="sRGB/255",
        higher_is_better=False,
        place=52,
    ),
)
