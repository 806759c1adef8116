"""Upright boxes with a heading: [cx, cy, cz, sx, sy, sz, yaw], metres and radians about z.

sx and sy are the sides along the box's own axes, which yaw turns counter-clockwise from the
frame's.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from metrics.metric import Metric
from metrics.pooled import PooledValue
from metrics.scene_graph.detection import VOC, Detections, match_by_overlap, object_map
from metrics.scene_graph.spq import THRESHOLDS, GraphComparison

# A corner this close to a side, in metres, counts as inside: else shared corners would be lost.
_TOUCH = 1e-9


# shapely works pair by pair on polygons of its own; this computes all pairs at once.
def oriented_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection over union f64 [N, M] of upright boxes.

    Exact: the area that two turned rectangles share, times the height that they share. Boxes
    without volume overlap 0.

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
    a = np.repeat(first, len(second), axis=0)  # (N M, 7): every pair is one row
    b = np.tile(second, (len(first), 1))  # (N M, 7)
    low = np.maximum(a[:, 2] - a[:, 5] / 2, b[:, 2] - b[:, 5] / 2)
    high = np.minimum(a[:, 2] + a[:, 5] / 2, b[:, 2] + b[:, 5] / 2)
    shared = _shared_area(a, b) * np.clip(high - low, 0, None)
    total = a[:, 3:6].prod(axis=1) + b[:, 3:6].prod(axis=1) - shared
    valid = (total > 0) & np.isfinite(total)
    overlap = np.divide(shared, total, out=np.zeros_like(shared), where=valid)
    return np.clip(overlap, 0, 1).reshape(len(first), len(second))


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


def _corners(boxes: np.ndarray) -> np.ndarray:
    """Return the corners f64 [K, 4, 2] of footprints, counter-clockwise."""
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
    local = signs * boxes[:, None, 3:5]  # (K, 4, 2) along the box's own axes
    c, s = np.cos(boxes[:, 6, None]), np.sin(boxes[:, 6, None])
    x = local[..., 0] * c - local[..., 1] * s
    y = local[..., 0] * s + local[..., 1] * c
    return np.stack([x, y], axis=-1) + boxes[:, None, :2]


def _shared_area(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the area f64 [K] that the footprints of each pair of boxes [K, 7] share.

    The corners of the shared polygon are corners of one inside the other and crossings of sides.
    """
    corners, corners2 = _corners(first), _corners(second)
    crossings, crossed = _crossings(corners, corners2)
    points = np.concatenate([corners, corners2, crossings], axis=1)  # (K, 24, 2) candidates
    used = np.concatenate([_inside(corners, second), _inside(corners2, first), crossed], axis=1)
    count = used.sum(axis=1)  # (K,) corners of the shared polygon
    # The polygon is convex, so the angle about its middle orders the corners; unused candidates
    # go to the end.
    middle = (points * used[..., None]).sum(axis=1) / np.maximum(count, 1)[:, None]
    points = np.where(used[..., None], points - middle[:, None], 0.0)
    angle = np.where(used, np.arctan2(points[..., 1], points[..., 0]), np.inf)
    points = np.take_along_axis(points, angle.argsort(axis=1)[..., None], axis=1)
    # Places behind the last corner repeat the first one, which adds no area to the shoelace sum.
    place = np.arange(points.shape[1])
    points = np.where((place < count[:, None])[..., None], points, points[:, :1])
    following = np.roll(points, -1, axis=1)
    doubled = points[..., 0] * following[..., 1] - points[..., 1] * following[..., 0]
    return np.abs(doubled.sum(axis=1)) / 2


def _inside(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return bool [K, P]: whether points [K, P, 2] lie in the footprints of boxes [K, 7]."""
    offset = points - boxes[:, None, :2]
    c, s = np.cos(boxes[:, 6, None]), np.sin(boxes[:, 6, None])
    along = np.abs(offset[..., 0] * c + offset[..., 1] * s)
    across = np.abs(offset[..., 1] * c - offset[..., 0] * s)
    half = boxes[:, None, 3:5] / 2 + _TOUCH
    return (along <= half[..., 0]) & (across <= half[..., 1])


def _crossings(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the sides of two footprints [K, 4, 2] cross.

    Returns:
        Points f64 [K, 16, 2] of every pair of sides, and bool [K, 16]: whether they do cross.
    """
    # Solve start + along * side = start2 + across * side2 by the cross product of both sides.
    start, start2 = first[:, :, None], second[:, None]  # (K, 4, 1, 2), (K, 1, 4, 2)
    side = np.roll(first, -1, axis=1)[:, :, None] - start
    side2 = np.roll(second, -1, axis=1)[:, None] - start2
    gap = start2 - start  # (K, 4, 4, 2)
    cross = side[..., 0] * side2[..., 1] - side[..., 1] * side2[..., 0]
    # Parallel sides have no single crossing.
    valid = np.abs(cross) > 1e-12
    safe = np.where(valid, cross, 1.0)
    along = (gap[..., 0] * side2[..., 1] - gap[..., 1] * side2[..., 0]) / safe
    across = (gap[..., 0] * side[..., 1] - gap[..., 1] * side[..., 0]) / safe
    crossed = valid & (along >= 0) & (along <= 1) & (across >= 0) & (across <= 1)
    points = start + along[..., None] * side
    return points.reshape(-1, 16, 2), crossed.reshape(-1, 16)


@dataclass(frozen=True)
class SceneOverlaps:
    """Overlaps of a scene's predicted boxes with true ones, all of them with a heading.

    Attributes:
        eligible: f64 [N, M] with the true objects.
        void: f64 [N, K] with objects of which too little is visible to evaluate them.
        classes: of the true objects, M.
    """

    eligible: np.ndarray
    void: np.ndarray
    classes: list[str]


def oriented_overlaps(comparison: GraphComparison) -> list[SceneOverlaps] | None:
    """Return the overlaps of each scene; None where the truth or every prediction lacks headings.

    A predicted object without a heading counts with its axis-aligned box.
    """
    if not any(item.get("oriented") for objects, _ in comparison.answers for item in objects):
        return None
    scenes = []
    for line, (objects, _) in zip(comparison.annotations, comparison.answers, strict=True):
        eligible = [item for item in line["objects"] if item["state"] == "eligible"]
        void = [item for item in line["objects"] if item["state"] == "void"]
        true, excused = true_boxes(eligible), true_boxes(void)
        if true is None or excused is None:
            return None
        boxes = np.array([item.get("oriented") or [*item["box"], 0.0] for item in objects])
        classes = [item["class"] for item in eligible]
        overlaps = oriented_iou(boxes, true), oriented_iou(boxes, excused)
        scenes.append(SceneOverlaps(*overlaps, classes))
    return scenes


def oriented_map_at(comparison: GraphComparison, threshold: float) -> PooledValue | None:
    """Return `object_map` of boxes with a heading at IoU > `threshold`."""
    matched: list[dict[str, Detections]] = []
    overlaps = comparison.once(oriented_overlaps)
    for scene, (objects, _) in zip(overlaps, comparison.answers, strict=True):
        excused = (scene.void > threshold).any(axis=1)  # (N,)
        matched.append(match_by_overlap(scene.eligible, excused, scene.classes, objects, threshold))
    return object_map(matched)


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
