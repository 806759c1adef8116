"""Objects from class probabilities of points: connected points of one class are one object."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from metrics.scene_graph.boxes import box_iou

# Points closer than this are neighbours, whichever views they come from.
LINK_M = 0.15
# Neighbouring cells of one view lie about range / columns apart on a surface that faces the camera;
# cells up to this many times as far apart are neighbours.
REACH = 2.5
# In each smoothing round a point keeps half of its own probabilities and takes half of the mean of
# its neighbours'.
ROUNDS = 3
LEAST_PROBABILITY = 0.5
LEAST_POINTS = 3
# Points at which a cluster's size reaches 63% of full confidence.
SIZE_SCALE = 6.0
SUPPRESS_IOU = 0.45
MOST_OBJECTS = 30

# Boxes float32 [N, 6] of masks float32 [N, P].
BoxFunction = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class PointClasses:
    """Class probabilities of P points on V views of h x w cells, P = V*h*w, view after view.

    Attributes:
        points: float32 [P, 3], predicted positions in the frame, metres.
        probabilities: float32 [P, C + 1], of the C object classes and, last, of structure.
        ranges: float32 [P], distance from the point's own camera, metres.
        grid: (V, h, w).
    """

    points: np.ndarray
    probabilities: np.ndarray
    ranges: np.ndarray
    grid: tuple[int, int, int]


@dataclass(frozen=True)
class Detection:
    """One detected object.

    Attributes:
        box: float32 [6], centre and size in the frame, metres.
        label: class index.
        score: confidence in 0..1.
        members: int [K], indices of the object's points.
    """

    box: np.ndarray
    label: int
    score: float
    members: np.ndarray


def detect(points: PointClasses, boxes: BoxFunction) -> list[Detection]:
    """Detect objects, best first, at most `MOST_OBJECTS`.

    Args:
        points: class probabilities of a scene's points.
        boxes: returns the boxes float32 [N, 6] of N masks float32 [N, P].
    """
    found = clusters(points)
    if not found:
        return []
    predicted = boxes(member_masks(found, len(points.points)))
    return [replace(found[row], box=predicted[row]) for row in suppress(predicted)]


def member_masks(found: list[Detection], count: int) -> np.ndarray:
    """Return the masks float32 [N, P] of detected objects over `count` points."""
    masks = np.zeros((len(found), count), np.float32)
    for row, item in enumerate(found):
        masks[row, item.members] = 1.0
    return masks


def neighbours(cloud: PointClasses) -> np.ndarray:
    """Return the pairs int [2, E] of neighbouring points: close in space, or in a view's grid.

    The distance of neighbours in space is fixed. Far from a camera the cells of one view lie
    farther apart than that, so adjacent cells may be as far apart as their range explains.
    """
    points, ranges = cloud.points, cloud.ranges
    index = np.arange(len(points)).reshape(cloud.grid)  # (V, h, w)
    pairs = [cKDTree(points).query_pairs(LINK_M, output_type="ndarray").T]  # (2, E)
    # Each cell with the one to its right, and with the one below it.
    for first, second in ((index[:, :, :-1], index[:, :, 1:]), (index[:, :-1], index[:, 1:])):
        one, other = first.ravel(), second.ravel()
        gap = np.linalg.norm(points[one] - points[other], axis=1)
        spacing = np.minimum(ranges[one], ranges[other]) / cloud.grid[2]
        # Closer ones are among the pairs in space already.
        near = (gap > LINK_M) & (gap < LINK_M / 2 + REACH * spacing)
        pairs.append(np.stack([one[near], other[near]]))
    return np.concatenate(pairs, axis=1)


def smooth(probabilities: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Average class probabilities float32 [P, C] over neighbours, `ROUNDS` times, half at a time.

    A lone misclassified point takes the class of its neighbours, so it splits no object.
    """
    count = len(probabilities)
    # Both directions of each pair, and each point with itself.
    both = np.concatenate([pairs, pairs[::-1], np.arange(count)[None].repeat(2, 0)], axis=1)
    links = csr_array(coo_array((np.ones(both.shape[1], np.float32), both), (count, count)))
    # A pair that rounding put both in space and in the grid occurs twice and was summed to 2.
    links.data[:] = 1.0
    share = 1.0 / np.asarray(links.sum(1)).ravel()  # (P,), 1 / number of neighbours
    smoothed = probabilities
    for _ in range(ROUNDS):
        smoothed = 0.5 * probabilities + 0.5 * share[:, None] * (links @ smoothed)
    return smoothed


def clusters(points: PointClasses) -> list[Detection]:
    """Return connected points of one class, best first, at most 60, their boxes still zero."""
    pairs = neighbours(points)
    probabilities = smooth(points.probabilities.astype(np.float32), pairs)  # (P, C + 1)
    label = probabilities[:, :-1].argmax(1)
    is_object = probabilities[:, -1] < 1 - LEAST_PROBABILITY
    one, other = pairs
    kept = is_object[one] & is_object[other] & (label[one] == label[other])
    links = coo_array((np.ones(kept.sum(), bool), pairs[:, kept]), (len(label), len(label)))
    part = connected_components(links, directed=False)[1]  # (P,), number of the component
    # Sorted by component, the points of component k end at the sum of the first k + 1 sizes.
    order = np.argsort(part, kind="stable")
    sizes = np.bincount(part)
    ends = sizes.cumsum()
    found = []
    for number in np.flatnonzero(sizes >= LEAST_POINTS):
        members = order[ends[number] - sizes[number] : ends[number]]
        if not is_object[members[0]]:
            continue
        mean = probabilities[members].mean(0)[:-1]  # (C,)
        # Small clusters are often noise, so the score grows with the number of points.
        score = float(mean.max() * (1.0 - np.exp(-len(members) / SIZE_SCALE)))
        found.append(Detection(np.zeros(6, np.float32), int(mean.argmax()), score, members))
    return sorted(found, key=lambda item: -item.score)[: 2 * MOST_OBJECTS]


def suppress(boxes: np.ndarray) -> list[int]:
    """Return the rows of boxes [N, 6], best first, that overlap no better one, at most 30."""
    overlaps = box_iou(boxes, boxes) >= SUPPRESS_IOU  # (N, N)
    kept: list[int] = []
    for row in range(len(boxes)):
        if not overlaps[row, kept].any():
            kept.append(row)
    return kept[:MOST_OBJECTS]
