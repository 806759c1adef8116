"""Upright boxes with a heading: [cx, cy, cz, sx, sy, sz, yaw], metres and radians about z.

sx and sy are the sides along the box's own axes, which yaw turns counter-clockwise from the
frame's.
"""

from typing import Any

import numpy as np

from metrics.metric import Metric
from metrics.pooled import PooledValue
from metrics.scene_graph.boxes import volumes
from metrics.scene_graph.detection import (
    VOC,
    Overlaps,
    TrueBoxes,
    match_predictions,
    object_map,
    split_overlaps,
)
from metrics.scene_graph.spq import THRESHOLDS, GraphComparison

# Pairs whose shared area is computed at once; their arrays stay in the processor's cache.
_BLOCK = 1 << 12


# shapely works pair by pair on polygons of its own; this computes all pairs at once.
def oriented_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection over union f64 [N, M] of upright boxes.

    Exact: the area that two turned rectangles share, times the height that they share. Two boxes
    without volume overlap 0, and so do boxes whose volume overflows.

    Args:
        first: [N, 7]; second: [M, 7].

    Source: `pytorch3d.ops.box3d_overlap` (Ravi et al. 2020) defines it; release 0.7.9 returns
    wrong volumes for 0.4% of random pairs of boxes, and needs torch.

    Example:
        >>> box = np.array([[0, 0, 0, 2.0, 2.0, 1.0, 0]])
        >>> oriented_iou(box, box + [0, 0, 0, 0, 0, 0, np.pi / 4]).round(4)
        array([[0.7071]])
    """
    first, second = (np.asarray(boxes, np.float64).reshape(-1, 7) for boxes in (first, second))
    shape = len(first), len(second)
    pairs = np.repeat(first, shape[1], axis=0), np.tile(second, (shape[0], 1))  # (N M, 7) each
    return paired_oriented_iou(*pairs).reshape(shape)


def paired_oriented_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection over union f64 [K] of pairs of upright boxes, as `oriented_iou` does.

    Args:
        first, second: f64 [K, 7].
    """
    height = np.minimum(first[:, 2] + first[:, 5] / 2, second[:, 2] + second[:, 5] / 2)
    height -= np.maximum(first[:, 2] - first[:, 5] / 2, second[:, 2] - second[:, 5] / 2)
    # Footprints are within circles about their centres: most pairs need no more than these.
    reach = np.hypot(first[:, 3], first[:, 4]) / 2 + np.hypot(second[:, 3], second[:, 4]) / 2
    apart = np.hypot(second[:, 0] - first[:, 0], second[:, 1] - first[:, 1])
    near = np.flatnonzero((height > 0) & (apart < reach))
    overlap = np.zeros(len(first))
    for start in range(0, len(near), _BLOCK):
        some = near[start : start + _BLOCK]
        with np.errstate(over="ignore", invalid="ignore"):
            shared = _shared_area(first[some], second[some]) * height[some]
            total = volumes(first[some]) + volumes(second[some]) - shared
        valid = (total > 0) & np.isfinite(total)
        overlap[some] = np.divide(shared, total, out=np.zeros_like(shared), where=valid)
    return np.clip(overlap, 0, 1)


def true_boxes(objects: list[dict[str, Any]]) -> np.ndarray | None:
    """Return f64 [N, 7] of annotated objects, from ``size_mm`` and ``yaw`` around ``box``'s centre.

    None where any of them lacks a size or a heading of its own.
    """
    if not all("size_mm" in item and "yaw" in item for item in objects):
        return None
    return np.array(
        [
            [*item["box"][:3], *(side / 1000 for side in item["size_mm"]), item["yaw"]]
            for item in objects
        ],
        float,
    ).reshape(-1, 7)


def _shared_area(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the area f64 [K] that the footprints of each pair of boxes [K, 7] share.

    Seen along the axes of one rectangle, about its centre, the area is the integral over x of the
    height of the other one, both clipped to the first. Along the sides of the other one, run
    counter-clockwise, that is the sum of the integrals of -y, and each is one of a clipped line.
    """
    # In the axes of the smaller one every term, and so its rounding, is at most of its area.
    swap = (first[:, 3] * first[:, 4] > second[:, 3] * second[:, 4])[:, None]
    a, b = np.where(swap, second, first), np.where(swap, first, second)
    c, s = np.cos(a[:, 6]), np.sin(a[:, 6])
    dx, dy = b[:, 0] - a[:, 0], b[:, 1] - a[:, 1]
    centre = dx * c + dy * s, dy * c - dx * s
    c, s = np.cos(b[:, 6] - a[:, 6]), np.sin(b[:, 6] - a[:, 6])
    half_x, half_y = a[:, 3] / 2, a[:, 4] / 2
    area = np.zeros(len(a))
    corners = [
        (centre[0] + along * c - across * s, centre[1] + along * s + across * c)
        for along, across in (
            (sign_x * b[:, 3] / 2, sign_y * b[:, 4] / 2)
            for sign_x, sign_y in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        )
    ]
    for k in range(4):
        area -= _clipped_integral(corners[k], corners[(k + 1) % 4], half_x, half_y)
    return np.maximum(area, 0)


def _clipped_integral(
    start: tuple[np.ndarray, np.ndarray],
    end: tuple[np.ndarray, np.ndarray],
    half_x: np.ndarray,
    half_y: np.ndarray,
) -> np.ndarray:
    """Return the integrals f64 [K] of y dx along segments, x and y clipped to [-half, half].

    Args:
        start, end: x and y f64 [K] of the ends.
        half_x, half_y: f64 [K].
    """
    (x, y), dx, dy = start, end[0] - start[0], end[1] - start[1]
    # A side without extent along an axis adds nothing (x), or has one height (y), whatever it is
    # divided by.
    along, across = np.where(dx == 0, 1.0, dx), np.where(dy == 0, 1.0, dy)
    enter, leave = (-half_x - x) / along, (half_x - x) / along
    low, high = (
        np.clip(limit, 0, 1) for limit in (np.minimum(enter, leave), np.maximum(enter, leave))
    )
    # Between these the height is not clipped.
    enter, leave = (-half_y - y) / across, (half_y - y) / across
    first, last = (
        np.clip(limit, low, high) for limit in (np.minimum(enter, leave), np.maximum(enter, leave))
    )
    places = low, first, last, high
    heights = [np.clip(y + place * dy, -half_y, half_y) for place in places]
    doubled = sum((places[k + 1] - places[k]) * (heights[k] + heights[k + 1]) for k in range(3))
    return doubled * dx / 2


def oriented_overlaps(comparison: GraphComparison) -> Overlaps | None:
    """Return the overlaps of a split; None where the truth or every prediction lacks headings.

    A predicted object without a heading counts with its axis-aligned box.
    """
    objects = [predicted for predicted, _ in comparison.answers]
    flat = [item for scene in objects for item in scene]
    if not any(item.get("oriented") for item in flat):
        return None
    truths = []
    for line in comparison.annotations:
        eligible = [item for item in line["objects"] if item["state"] == "eligible"]
        boxes = true_boxes(eligible)
        void = true_boxes([item for item in line["objects"] if item["state"] == "void"])
        if boxes is None or void is None:
            return None
        truths.append(TrueBoxes(boxes, [item["class"] for item in eligible], void))
    predicted = np.array([item.get("oriented") or [*item["box"], 0.0] for item in flat], np.float64)
    return split_overlaps(predicted, objects, truths, paired_oriented_iou)


def oriented_map_at(comparison: GraphComparison, threshold: float) -> PooledValue | None:
    """Return `object_map` of boxes with a heading at IoU > `threshold`."""
    return object_map(match_predictions(comparison.once(oriented_overlaps), threshold))


METRICS = tuple(
    Metric(
        name=f"oriented_map@{threshold:g}",
        family="graph",
        task="objects",
        input="graphs",
        compute=lambda comparison, threshold=threshold: oriented_map_at(comparison, threshold),
        description=f"object_map of upright boxes with a heading, IoU > {threshold:g}",
        source=f"{VOC}; Ravi et al. 2020 (box3d_overlap), for upright boxes alone",
        pooled=True,
        applies=lambda comparison: comparison.once(oriented_overlaps) is not None,
        reason="objects carry no oriented boxes",
        optional=True,
        place=20,
    )
    for threshold in THRESHOLDS
)
