"""Referential localisation: where a sentence points."""

from __future__ import annotations

from typing import Any

import numpy as np

from metrics.scene_graph.boxes import assign, box_iou

THRESHOLDS = (0.25, 0.5)
SINGLE = ("unique", "multiple")
TAGS = ("view_dependent", "needs_geometry", "test_phrasing")


def ref_acc(boxes: np.ndarray, target: np.ndarray, threshold: float) -> float:
    """1 if the first box's axis-aligned IoU with the target is >= threshold (ScanRefer), else 0.

    Args:
        boxes: [K, 6] metres, best first, K may be 0; target: [6]; threshold: IoU.

    Higher is better, worst 0; a perfect answer scores 1. Source: Chen et al. 2020, whose mean over
    queries stands beside the mean over scenes.

    >>> ref_acc(np.array([[0, 0, 0, 1, 1, 1.0]]), np.array([0, 0, 0, 1, 1, 2.0]), 0.5)
    1.0
    """
    if len(boxes) == 0:
        return 0.0
    return float(box_iou(boxes[:1], target)[0, 0] >= threshold)


def ref_pick(pick: int | None, targets: list[int]) -> float:
    """1 if the picked given object is the target, else 0 (ReferIt3D, Achlioptas et al. 2020).

    Higher is better, worst 0 (also for no pick); a perfect answer scores 1.

    >>> ref_pick(4, [4]), ref_pick(None, [4])
    (1.0, 0.0)
    """
    return float(pick is not None and pick in targets)


def ref_f1(boxes: np.ndarray, targets: np.ndarray, threshold: float) -> float:
    """F1 of a set of boxes [K, 6] against targets [N, 6], metres (Multi3DRefer, Zhang et al. 2023).

    Boxes and targets are matched one to one by largest summed IoU; pairs with IoU >= threshold
    are true positives. A query without a target scores 1 if nothing is predicted, else 0. Higher
    is better, in [0, 1], worst 0; a perfect answer scores 1.

    >>> box = [0, 0, 0, 1, 1, 1.0]
    >>> ref_f1(np.array([box, [9, *box[1:]]]), np.array([box]), 0.5).__round__(4)
    0.6667
    """
    if len(targets) == 0:
        return float(len(boxes) == 0)
    if len(boxes) == 0:
        return 0.0
    overlap = box_iou(boxes, targets)
    hits = sum(overlap[pair] >= threshold for pair in assign(overlap))
    return float(2 * hits / (len(boxes) + len(targets)))


def subsets_of(reference: dict[str, Any]) -> list[str]:
    """Return the subsets a reference belongs to.

    "all" of ref_acc and ref_pick holds single-target references, "all" of ref_f1 the others.
    """
    if reference["kind"] not in SINGLE:
        return ["all", reference["kind"]]
    tags = set(reference["tags"])
    found = ["all", reference["kind"], *(tag for tag in TAGS if tag in tags)]
    if "view_dependent" not in tags:
        found.append("view_independent")
    return found
