"""Objects from the classes of points: neighbours of one class are one object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from g2vlm.inference.class_probabilities import PointKinds
from metrics.scene_graph.boxes import box_iou

# Points this close are neighbours, whichever views they come from.
LINK_M = 0.15
# Neighbouring cells of one view lie about range / columns apart on a surface that faces the camera;
# up to this many times as much they are neighbours.
REACH = 2.5
# Each round a point keeps half of its own opinion and takes half of its neighbours'.
ROUNDS = 3
LEAST_PROBABILITY = 0.5
LEAST_POINTS = 3
SUPPRESS_IOU = 0.45
MOST_OBJECTS = 30

Boxes = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Detection:
    """One detected object: box [6] in the frame, class index, score in 0..1, its points.

    members: int [K], indices of the points that make it up.
    """

    box: np.ndarray
    label: int
    score: float
    members: np.ndarray


def detect(kinds: PointKinds, boxes: Boxes) -> list[Detection]:
    """Return the objects that the points make up, best first, at most 30.

    Class probabilities are smoothed over neighbours in space; connected points of one class are
    one object. `boxes` gives the box [N, 6] of each of N masks float32 [N, P].
    """
    found = clusters(kinds)
    if not found:
        return []
    drawn = boxes(member_masks(found, len(kinds.points)))
    return [replace(found[row], box=drawn[row]) for row in kept_rows(drawn)]


def member_masks(found: list[Detection], count: int) -> np.ndarray:
    """Return the masks float32 [N, P] of detected objects over `count` points."""
    masks = np.zeros((len(found), count), np.float32)
    for row, item in enumerate(found):
        masks[row, item.members] = 1.0
    return masks


def neighbours(kinds: PointKinds) -> np.ndarray:
    """Return the pairs int [2, E] of neighbouring points: close in space, or in a view's grid."""
    points, ranges = kinds.points, kinds.ranges
    index = np.arange(len(points)).reshape(kinds.grid)
    sides = ((index[:, :, :-1], index[:, :, 1:]), (index[:, :-1], index[:, 1:]))
    pairs = [cKDTree(points).query_pairs(LINK_M, output_type="ndarray").T]
    for first, second in sides:
        one, other = first.ravel(), second.ravel()
        gap = np.linalg.norm(points[one] - points[other], axis=1)
        spacing = np.minimum(ranges[one], ranges[other]) / kinds.grid[2]
        near = gap < LINK_M / 2 + REACH * spacing
        pairs.append(np.stack([one[near], other[near]]))
    return np.concatenate(pairs, axis=1)


def smooth(shares: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Average class probabilities [P, C] over neighbours, `ROUNDS` times, half at a time."""
    count = len(shares)
    both = np.concatenate([pairs, pairs[::-1], np.arange(count)[None].repeat(2, 0)], axis=1)
    links = csr_array(coo_array((np.ones(both.shape[1], np.float32), both), (count, count)))
    links.data[:] = 1.0
    share = 1.0 / np.asarray(links.sum(1)).ravel()
    found = shares
    for _ in range(ROUNDS):
        found = 0.5 * shares + 0.5 * share[:, None] * (links @ found)
    return found


def clusters(kinds: PointKinds) -> list[Detection]:
    """Return connected points of one class, best first, at most 60, their boxes still zero."""
    pairs = neighbours(kinds)
    shares = smooth(kinds.shares.astype(np.float32), pairs)
    label = shares[:, :-1].argmax(1)
    solid = shares[:, -1] < 1 - LEAST_PROBABILITY
    one, other = pairs
    kept = solid[one] & solid[other] & (label[one] == label[other])
    links = coo_array((np.ones(kept.sum(), bool), pairs[:, kept]), (len(label), len(label)))
    part = connected_components(links, directed=False)[1]
    order = np.argsort(part, kind="stable")
    sizes = np.bincount(part)
    ends = sizes.cumsum()
    found = []
    for number in np.flatnonzero(sizes >= LEAST_POINTS):
        members = order[ends[number] - sizes[number] : ends[number]]
        if not solid[members[0]]:
            continue
        mean = shares[members].mean(0)[:-1]
        score = float(mean.max() * (1.0 - np.exp(-len(members) / 6.0)))
        found.append(Detection(np.zeros(6, np.float32), int(mean.argmax()), score, members))
    return sorted(found, key=lambda item: -item.score)[: 2 * MOST_OBJECTS]


def kept_rows(boxes: np.ndarray) -> list[int]:
    """Return the rows of boxes [N, 6], best first, that overlap no better one, at most 30."""
    kept: list[int] = []
    for row, box in enumerate(boxes):
        if not (box_iou(boxes[kept], box) >= SUPPRESS_IOU).any():
            kept.append(row)
    return kept[:MOST_OBJECTS]
