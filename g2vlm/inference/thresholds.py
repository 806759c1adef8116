"""Thresholds chosen on the validation split, the only place where prediction sees truth."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from g2vlm.inference.grounding import MOST_BOXES, Ranked
from metrics.constants import VOXEL_M
from metrics.files import InputError, read_json, write_json
from metrics.geometry import transform
from metrics.language.grounding import ref_f1

FILE = "thresholds.json"
# Ways to use the sensor's depth that are tried: (smoothing, trust in the learned correction).
FILTERS = ((0.0, 0.0), (0.0, 1.0), (0.5, 1.0), (1.0, 0.0), (1.0, 0.5), (1.0, 1.0))
NEAR_M = 0.05
BOX_IOU = 0.25
_STEPS = 25


@dataclass(frozen=True)
class Thresholds:
    """What prediction decides by.

    occupancy_logit: solid above it; smoothing: 0..1, how far pixels are drawn to the surface
    around them; trust: 0..1, how much of the learned correction the sensor's depth gets;
    least_confidence: points below are dropped; zero_logit: a query above it has no target;
    multi_logit: further boxes above it are targets too; object_score, triplet_score: detections
    and triplets below are not handed in.
    """

    occupancy_logit: float = 0.0
    smoothing: float = 0.5
    trust: float = 1.0
    least_confidence: float = 0.0
    zero_logit: float = math.inf
    multi_logit: float = math.inf
    object_score: float = 0.0
    triplet_score: float = 0.0

    def to_json(self) -> dict[str, float | None]:
        """Return plain values; an infinite threshold (never reached) becomes null."""
        return {k: v if math.isfinite(v) else None for k, v in asdict(self).items()}


def read_thresholds(path: str | Path) -> Thresholds:
    """Read what `write_thresholds` wrote; raises `InputError` for missing or unknown names."""
    values = read_json(path)
    names = {item.name for item in fields(Thresholds)}
    if set(values) != names:
        wrong = sorted(set(values) ^ names)[0]
        raise InputError(f"{path}: threshold {wrong!r} is missing or unknown; choose them again")
    return Thresholds(**{k: math.inf if v is None else float(v) for k, v in values.items()})


def write_thresholds(path: str | Path, thresholds: Thresholds) -> None:
    """Write thresholds as JSON."""
    write_json(path, thresholds.to_json())


@dataclass
class Evidence:
    """What the validation scenes say, gathered scene by scene.

    occupancy: (logits [N], solid bool [N]); errors: (error in metres [len(FILTERS), K],
    confidence [K]) of sampled pixels; queries: (ranked boxes, zero logit, target boxes [T, 6]).
    """

    occupancy: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    errors: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    queries: list[tuple[Ranked, float, np.ndarray]] = field(default_factory=list)


def best_occupancy(samples: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return the logit threshold of the best mean IoU over scenes."""
    if not samples:
        return Thresholds.occupancy_logit
    levels = np.linspace(-4.0, 3.0, 57)
    total = np.zeros(len(levels))
    for logits, solid in samples:
        order = np.sort(logits), np.sort(logits[solid])
        above, hit = (len(v) - np.searchsorted(v, levels, "right") for v in order)
        total += hit / np.maximum(above + solid.sum() - hit, 1)
    return float(levels[int(np.argmax(total))])


def best_points(samples: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float, float]:
    """Return smoothing and trust of the least mean error, and the confidence of the best F at 5 cm.

    Errors count up to 20 cm. Recall is the share of all sampled pixels that are kept and right.
    """
    if not samples:
        return Thresholds.smoothing, Thresholds.trust, Thresholds.least_confidence
    errors = np.concatenate([item[0] for item in samples], axis=1)
    confidence = np.concatenate([item[1] for item in samples])
    row = int(np.argmin(np.minimum(errors, 4 * NEAR_M).mean(1)))
    right = errors[row] < NEAR_M
    levels = np.concatenate([[0.0], np.quantile(confidence, np.linspace(0.01, 0.6, _STEPS))])
    kept = confidence[None] >= levels[:, None]
    hit = (kept & right).sum(1)
    score = 2 * hit / np.maximum(kept.sum(1) + len(right), 1)
    return *FILTERS[row], float(levels[int(np.argmax(score))])


def prefix_f1(ranked: Ranked, targets: np.ndarray) -> np.ndarray:
    """Return F1 at IoU .25, [9], of handing in the first 0, 1, .. 8 boxes for targets [T, 6]."""
    count = len(ranked.boxes)
    values = [ref_f1(ranked.boxes[:k], targets, BOX_IOU) for k in range(min(count, MOST_BOXES) + 1)]
    return np.array(values + values[-1:] * (MOST_BOXES + 1 - len(values)))


def best_grounding(queries: list[tuple[Ranked, float, np.ndarray]]) -> tuple[float, float]:
    """Return the zero and multi thresholds.

    Zero: most queries rightly said to have a target or none. It is not judged by boxes, because a
    model with poor boxes would then do best by finding nothing. Multi: best mean F1 at IoU .25.
    """
    if not queries:
        return math.inf, math.inf
    table = np.stack([prefix_f1(ranked, targets) for ranked, _, targets in queries])
    empty = np.array([len(targets) == 0 for _, _, targets in queries])
    zero = np.array([item[1] for item in queries])
    levels = np.append(np.sort(zero), math.inf)[::-1]
    right = ((zero > levels[:, None]) == empty).mean(1)
    logits = np.full((len(queries), MOST_BOXES), -np.inf)
    for row, (ranked, _, _) in enumerate(queries):
        logits[row, : len(ranked.logits)] = ranked.logits
    seconds = logits[np.isfinite(logits[:, 1]), 1]
    limits = np.quantile(seconds, np.linspace(0, 0.99, _STEPS)) if len(seconds) else []
    limits = np.append(limits, math.inf)[::-1]
    counts = np.maximum((logits > limits[:, None, None]).sum(2), 1)
    scores = table[np.arange(len(queries)), counts].mean(1)
    return float(levels[int(np.argmax(right))]), float(limits[int(np.argmax(scores))])


def occupancy_sample(
    views: Any, count: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` uniform positions [N, 3] in the room, in the frame, and whether solid.

    `views` is a SceneViews: its 4 cm grid stands in the room frame. Cells that touch the border
    of a solid are left out, since truth is void there.
    """
    where = random.random((count, 3)) * views.room
    index = np.floor(where / VOXEL_M).astype(int)
    shape = np.array(views.solids.shape)
    inside = (index < shape).all(1)
    index = np.minimum(index, shape - 1)
    solid = views.solids[tuple(index.T)] & inside
    border = np.zeros(count, bool)
    for axis in range(3):
        for step in (-1, 1):
            beside = index.copy()
            beside[:, axis] = np.clip(beside[:, axis] + step, 0, shape[axis] - 1)
            border |= (views.solids[tuple(beside.T)] & inside) != solid
    xyz = transform(where, views.frame_from_room).astype(np.float32)
    return xyz[~border], solid[~border]
