"""From point scores of a query to boxes and to one of the given objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from g2vlm.models.detection import BoxFunction, Detection

MOST_BOXES = 8
LIKELIEST = 30


@dataclass(frozen=True)
class Ranked:
    """Candidate boxes of one query: boxes [K, 6] and their logits [K], best first."""

    boxes: np.ndarray
    logits: np.ndarray


def pick(logits: np.ndarray, given: list[int]) -> int | None:
    """Return the given object of the best logit [N]; None without objects."""
    return given[int(np.argmax(logits))] if given else None


def rank(logits: np.ndarray, found: list[Detection]) -> Ranked:
    """Rank detected objects by their logits [N], at most 8 of them."""
    order = np.argsort(-logits, kind="stable")[:MOST_BOXES]
    boxes = [found[i].box for i in order]
    return Ranked(np.array(boxes, np.float32).reshape(-1, 6), logits[order])


def likeliest(point_logits: np.ndarray, boxes: BoxFunction) -> Ranked:
    """Return the box of a query's likeliest points, by their logits [P]: the one candidate where
    nothing was detected; `boxes` as in `detect`."""
    top = np.argsort(-point_logits)[:LIKELIEST]
    mask = np.zeros((1, len(point_logits)), np.float32)
    mask[:, top] = 1.0
    return Ranked(boxes(mask), point_logits[top].mean()[None])


def chosen_boxes(
    ranked: Ranked, zero_logit: float, zero_above: float, multi_above: float
) -> np.ndarray:
    """Return the boxes [K, 6] that a query points to, best first.

    None when `zero_logit` exceeds `zero_above`; else the best one and all whose logit is over
    `multi_above`.
    """
    if zero_logit > zero_above:
        return np.zeros((0, 6), np.float32)
    keep = ranked.logits > multi_above
    keep[0] = True
    return ranked.boxes[keep]
