"""From point scores of a query to boxes and to one of the given objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from g2vlm.inference.objects import Boxes, Detection

MOST_BOXES = 8
LIKELIEST = 30


@dataclass(frozen=True)
class Ranked:
    """Candidate boxes of one query: boxes [K, 6] and their mean logits [K], best first."""

    boxes: np.ndarray
    logits: np.ndarray


def pick(point_logits: np.ndarray, masks: np.ndarray, given: list[int]) -> int | None:
    """Return the given object whose mask [N, P] has the best mean logit; None without objects."""
    if not given:
        return None
    weight = masks.sum(1)
    mean = masks @ point_logits / np.maximum(weight, 1e-6)
    return given[int(np.argmax(np.where(weight > 0, mean, -np.inf)))]


def rank(point_logits: np.ndarray, boxes: Boxes, found: list[Detection]) -> Ranked:
    """Rank detected objects by the mean logit [P] of their points.

    With nothing detected the one candidate is the box of the likeliest points; `boxes` as in
    `detect`.
    """
    if not found:
        top = np.argsort(-point_logits)[:LIKELIEST]
        mask = np.zeros((1, len(point_logits)), np.float32)
        mask[:, top] = 1.0
        return Ranked(boxes(mask), point_logits[top].mean()[None])
    sizes = [len(item.members) for item in found]
    starts = np.cumsum([0, *sizes[:-1]])
    members = np.concatenate([item.members for item in found])
    logits = np.add.reduceat(point_logits[members], starts) / sizes
    order = np.argsort(-logits, kind="stable")[:MOST_BOXES]
    return Ranked(np.stack([found[i].box for i in order]), logits[order])


def chosen_boxes(
    ranked: Ranked, zero_logit: float, zero_above: float, multi_above: float
) -> np.ndarray:
    """Return the boxes [K, 6] that a query points to, best first.

    None when `zero_logit` exceeds `zero_above`; else the best one and all whose mean logit is over
    `multi_above`.
    """
    if zero_logit > zero_above:
        return np.zeros((0, 6), np.float32)
    keep = ranked.logits > multi_above
    keep[0] = True
    return ranked.boxes[keep]
