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
    second = np.asarray(second, np.float64).reshape(-1, 6)[None]  # (1, M, 6)
    low = np.maximum(first[..., :3] - first[..., 3:] / 2, second[..., :3] - second[..., 3:] / 2)
    high = np.minimum(first[..., :3] + first[..., 3:] / 2, second[..., :3] + second[..., 3:] / 2)
    with np.errstate(over="ignore", invalid="ignore"):
        shared = np.clip(high - low, 0, None).prod(axis=-1)
        total = first[..., 3:].prod(axis=-1) + second[..., 3:].prod(axis=-1) - shared
    valid = (total > 0) & np.isfinite(total)
    return np.divide(shared, total, out=np.zeros_like(shared), where=valid)


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
    same = np.array(classes, object)[:, None] == np.array(true_classes, object)[None]
    allowed = np.where(same.reshape(overlap.shape) & (overlap > threshold), overlap, 0.0)
    order = np.lexsort(np.asarray(boxes, np.float64).reshape(-1, 6).T).tolist()  # (N,)
    pairs = sorted((order[row], true) for row, true in assign(allowed[order]))
    return {predicted: (true, float(overlap[predicted, true])) for predicted, true in pairs}
