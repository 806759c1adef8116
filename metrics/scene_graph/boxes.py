"""Axis-aligned boxes [cx, cy, cz, sx, sy, sz] in metres: overlap and one-to-one matching."""

import numpy as np


def box_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection over union f64 [N, M] of boxes, 0 to 1.

    Two boxes without volume overlap 0, and so do boxes whose volume overflows.

    Args:
        first: [N, 6]; second: [M, 6].

    Example:
        >>> box_iou(np.array([[0, 0, 0, 2, 2, 2.0]]), np.array([[1, 0, 0, 2, 2, 2.0]])).round(3)
        array([[0.333]])
    """
    first = np.asarray(first, np.float64).reshape(-1, 6)[:, None]  # (N, 1, 6)
    return paired_iou(first, np.asarray(second, np.float64).reshape(-1, 6)[None])


def paired_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection over union f64 [...] of each pair of boxes, as `box_iou` does.

    Args:
        first: f64 [..., 6].
        second: f64 [..., 6], of a shape that broadcasts against the first.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        shared = 1.0
        # Axis by axis, several times as fast as reductions over the last axis.
        for axis in range(3):
            (low, high), (low2, high2) = (
                (box[..., axis] - box[..., axis + 3] / 2, box[..., axis] + box[..., axis + 3] / 2)
                for box in (first, second)
            )
            shared = shared * np.maximum(np.minimum(high, high2) - np.maximum(low, low2), 0)
        total = volumes(first) + volumes(second) - shared
    valid = (total > 0) & np.isfinite(total)
    return np.divide(shared, total, out=np.zeros_like(total), where=valid)


def volumes(boxes: np.ndarray) -> np.ndarray:
    """Return the volumes [...] of boxes [..., 6 or more], m3."""
    return boxes[..., 3] * boxes[..., 4] * boxes[..., 5]


def assign(weights: np.ndarray) -> list[tuple[int, int]]:
    """Return the one-to-one pairs (row, column) of largest summed weight (Hungarian algorithm).

    Args:
        weights: [N, M]; a weight <= 0 makes no pair.
    """
    from scipy.optimize import linear_sum_assignment

    if weights.size == 0:
        return []
    # A row or column that gains nothing stays free instead of pushing a better pair apart.
    rows, columns = linear_sum_assignment(np.maximum(weights, 0), maximize=True)
    return [
        (row, column)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if weights[row, column] > 0
    ]


def match_objects(
    boxes: np.ndarray,
    classes: list[str],
    true_boxes: np.ndarray,
    true_classes: list[str],
    threshold: float,
) -> dict[int, tuple[int, float]]:
    """Match predicted to true objects of the same class by largest summed IoU.

    Of several best matchings one is chosen by the coordinates of boxes, so that the numbers of
    predictions do not matter unless two of one class have the same box.

    Args:
        boxes: [N, 6] predicted; classes: N.
        true_boxes: [M, 6]; true_classes: M.
        threshold: IoU that a pair must exceed.

    Returns:
        {predicted: (true, IoU)}, positions in both lists.
    """
    overlap = box_iou(boxes, true_boxes)  # (N, M)
    # Numbers compare much faster than names.
    number = {name: place for place, name in enumerate(dict.fromkeys(true_classes))}
    labels = np.array([number.get(name, -1) for name in classes], np.int64)  # (N,)
    true_labels = np.array([number[name] for name in true_classes], np.int64)  # (M,)
    same = labels[:, None] == true_labels
    allowed = np.where(same & (overlap > threshold), overlap, 0.0)
    order = np.lexsort(np.asarray(boxes, np.float64).reshape(-1, 6).T).tolist()  # (N,)
    pairs = sorted((order[row], true) for row, true in assign(allowed[order]))
    return {predicted: (true, float(overlap[predicted, true])) for predicted, true in pairs}
