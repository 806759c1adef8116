"""Objects from the votes of points: clusters of boxes, or of points where no box is learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from g2vlm.inference.votes import Votes
from metrics.boxes import box_iou

LEAST_PROBABILITY = 0.35
LEAST_SUPPORT = 2.0
CELL_M = 0.12
LINK_IOU = 0.35
LINK_M = 0.25
SUPPRESS_IOU = 0.45
MOST_OBJECTS = 30
_MOST_CLUSTERS = 100


@dataclass(frozen=True)
class Detection:
    """One detected object: box [6] in the frame, class index, score in 0..1, its points.

    members: int [K], indices of the points that voted for it.
    """

    box: np.ndarray
    label: int
    score: float
    members: np.ndarray


def detect(votes: Votes, boxes_learned: bool = True) -> list[Detection]:
    """Return the objects that points vote for, best first, at most 30.

    With `boxes_learned` clusters are made of voted boxes and the box is their weighted median.
    Without (a model that never saw a true box) clusters are linked points of one class and the
    box spans their 3rd to 97th percentile.
    """
    found = _box_clusters(votes) if boxes_learned else _point_clusters(votes)
    found.sort(key=lambda item: -item.score)
    return _suppress(found)[:MOST_OBJECTS]


def _box_clusters(votes: Votes) -> list[Detection]:
    active = votes.probability > LEAST_PROBABILITY
    density = _density(votes, active)
    found = []
    for _ in range(_MOST_CLUSTERS):
        seed = int(np.argmax(density))
        if density[seed] < 0.75 * LEAST_SUPPORT:
            break
        same = np.flatnonzero((density > 0) & (votes.label == votes.label[seed]))
        members = np.union1d(_agreeing(votes, same, votes.boxes[seed]), seed)
        box = weighted_median(votes.boxes[members], votes.probability[members])
        members = np.union1d(_agreeing(votes, same, box), seed)
        density[members] = 0.0
        if votes.probability[members].sum() >= LEAST_SUPPORT:
            found.append(_detection(votes, members))
    return found


def _agreeing(votes: Votes, candidates: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return which candidates (indices) vote a box that overlaps `box`, or nearly its centre."""
    apart = np.abs(votes.boxes[candidates, :3] - box[:3])
    # Boxes whose centres lie further apart than this on an axis cannot overlap enough.
    candidates = candidates[(apart < np.maximum(LINK_M, 0.95 * box[3:])).all(1)]
    boxes = votes.boxes[candidates]
    apart = np.linalg.norm(boxes[:, :3] - box[:3], axis=1)
    close = apart < min(LINK_M, 0.3 * float(box[3:].max()))
    return candidates[close | (box_iou(boxes, box)[:, 0] > LINK_IOU)]


def _detection(votes: Votes, members: np.ndarray) -> Detection:
    weights = votes.probability[members]
    box = weighted_median(votes.boxes[members], weights)
    agreement = float(np.average(box_iou(votes.boxes[members], box)[:, 0], weights=weights))
    support = 1.0 - float(np.exp(-weights.sum() / 6.0))
    score = float(weights.mean()) * support * agreement**0.5
    return Detection(box, int(votes.label[members[0]]), score, members)


def _density(votes: Votes, active: np.ndarray) -> np.ndarray:
    """Return for each vote the weight of its class around its centre (27 cells of 12 cm)."""
    density = np.zeros(len(votes.label))
    index = np.flatnonzero(active)
    if not len(index):
        return density
    cells = np.floor(votes.boxes[index, :3] / CELL_M).astype(np.int64)
    cells = np.clip(cells - cells.min(0), 0, 400)
    for label in np.unique(votes.label[index]):
        chosen = votes.label[index] == label
        inside = cells[chosen] - cells[chosen].min(0) + 1
        grid = np.zeros(inside.max(0) + 2)
        np.add.at(grid, tuple(inside.T), votes.probability[index[chosen]])
        for axis in range(3):
            grid = ndimage.uniform_filter1d(grid, 3, axis=axis, mode="constant") * 3
        density[index[chosen]] = grid[tuple(inside.T)]
    return density


def _point_clusters(votes: Votes) -> list[Detection]:
    found = []
    active = votes.probability > LEAST_PROBABILITY
    for label in np.unique(votes.label[active]):
        index = np.flatnonzero(active & (votes.label == label))
        cells = np.floor(votes.points[index] / (LINK_M / 2)).astype(np.int64)
        cells = np.clip(cells - cells.min(0), 0, 200)
        grid = np.zeros(cells.max(0) + 1, bool)
        grid[tuple(cells.T)] = True
        parts = ndimage.label(grid, np.ones((3, 3, 3)))[0][tuple(cells.T)]
        for part in np.unique(parts):
            members = index[parts == part]
            weight = votes.probability[members]
            if weight.sum() < LEAST_SUPPORT:
                continue
            box = extent_box(votes.points[members])
            score = float(weight.mean()) * (1.0 - float(np.exp(-weight.sum() / 6.0)))
            found.append(Detection(box, int(label), score, members))
    return found


def extent_box(points: np.ndarray, quantile: float = 0.03) -> np.ndarray:
    """Return the box [6] between the `quantile` and 1 - `quantile` of points [M, 3]."""
    low, high = np.quantile(points, [quantile, 1 - quantile], axis=0)
    return np.concatenate([(low + high) / 2, np.maximum(high - low, 0.02)]).astype(np.float32)


def weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted median of each column of values [M, D], weights [M]; M ≥ 1."""
    order = np.argsort(values, axis=0)
    total = np.cumsum(weights[order], axis=0)
    row = np.argmax(total >= total[-1] / 2, axis=0)
    column = np.arange(values.shape[1])
    return values[order[row, column], column]


def _suppress(found: list[Detection]) -> list[Detection]:
    """Keep the better of two detections that overlap, whatever their classes."""
    kept: list[Detection] = []
    for item in found:
        overlap = box_iou(np.array([k.box for k in kept]), item.box)
        if not (overlap >= SUPPRESS_IOU).any():
            kept.append(item)
    return kept
