"""Referring expressions: which object a sentence refers to."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from metrics.chance import Annotation, ChanceFunction, ChanceValue, by_subset, hit
from metrics.metric import Comparison, Metric
from metrics.scene_graph.boxes import assign, box_iou

# Kinds of references with exactly one target: the only visible object of its class, or one of
# several. Visible objects are the eligible ones.
SINGLE = ("unique", "multiple")
# Tags of references that are subsets of their own.
TAGS = ("view_dependent", "needs_geometry", "test_phrasing")


def ref_acc(boxes: np.ndarray, target: np.ndarray, threshold: float) -> float:
    """Return 1 if the axis-aligned IoU of the first box with the target is >= threshold, else 0.

    Args:
        boxes: [K, 6] metres, best first, K may be 0.
        target: [6] metres.
        threshold: IoU.

    Source: Chen et al. 2020 (ScanRefer).

    Example:
        >>> ref_acc(np.array([[0, 0, 0, 1, 1, 1.0]]), np.array([0, 0, 0, 1, 1, 2.0]), 0.5)
        1.0
    """
    if len(boxes) == 0:
        return 0.0
    return float(box_iou(boxes[:1], target)[0, 0] >= threshold)


def ref_pick(pick: int | None, targets: list[int]) -> float:
    """Return 1 if the picked object is the target, else 0.

    Args:
        pick: index of a given object, or None.
        targets: indices of the targets.

    Source: Achlioptas et al. 2020 (ReferIt3D).

    Example:
        >>> ref_pick(4, [4]), ref_pick(None, [4])
        (1.0, 0.0)
    """
    return float(pick is not None and pick in targets)


def ref_f1(boxes: np.ndarray, targets: np.ndarray, threshold: float) -> float:
    """Return the F1 of a set of boxes against the targets.

    Boxes and targets are matched one to one by largest summed IoU; pairs with IoU >= threshold
    are true positives. A query without a target scores 1 if nothing is predicted, else 0.

    Args:
        boxes: [K, 6] metres.
        targets: [N, 6] metres.
        threshold: IoU.

    Source: Zhang et al. 2023 (Multi3DRefer).

    Example:
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
    """Return the subsets that a reference belongs to.

    "all" of ref_acc and ref_pick holds references with one target, "all" of ref_f1 the others.
    """
    if reference["kind"] not in SINGLE:
        return ["all", reference["kind"]]
    tags = set(reference["tags"])
    views = [] if "view_dependent" in tags else ["view_independent"]
    return ["all", reference["kind"], *(tag for tag in TAGS if tag in tags), *views]


class ReferenceComparison(Comparison):
    """The answer to one reference next to its targets.

    Args:
        reference: its annotation.
        boxes: f64 [K, 6] predicted, best first, metres.
        pick: index of the predicted given object, or None.
        targets: f64 [N, 6] true boxes, metres.
    """

    def __init__(
        self, reference: dict[str, Any], boxes: np.ndarray, pick: int | None, targets: np.ndarray
    ) -> None:
        self.reference, self.boxes, self.pick, self.targets = reference, boxes, pick, targets


def target_boxes(line: dict[str, Any], reference: dict[str, Any]) -> np.ndarray:
    """Return f64 [N, 6]: the true boxes of a reference's targets."""
    box_of = {item["index"]: item["box"] for item in line["objects"]}
    return np.array([box_of[index] for index in reference["targets"]], float).reshape(-1, 6)


def is_single(comparison: ReferenceComparison) -> bool:
    """Return whether the kind of the reference has exactly one target."""
    return comparison.reference["kind"] in SINGLE


def _chance(
    single: bool, of_reference: Callable[[Annotation, dict[str, Any]], ChanceValue]
) -> ChanceFunction:
    """Return the expected score, by subset, of one given object chosen uniformly.

    Args:
        single: whether the metric applies to references with one target, or to the others.
        of_reference: takes a line and a reference and returns the expected score on it.
    """

    def queries(line: Annotation) -> Iterator[tuple[Sequence[str], ChanceValue]]:
        for reference in line["references"] if line["given"] else ():
            if (reference["kind"] in SINGLE) == single:
                yield subsets_of(reference), of_reference(line, reference)

    return lambda annotations: by_subset(annotations, queries)


def _gt_overlaps(line: Annotation, reference: dict[str, Any]) -> np.ndarray:
    """Return f64 [G, N]: IoU of the true boxes of given objects with the targets."""
    box_of = {item["index"]: item["box"] for item in line["objects"]}
    return box_iou([box_of[index] for index in line["given"]], target_boxes(line, reference))


def _at(threshold: float) -> tuple[Metric, Metric]:
    """Return `ref_acc` and `ref_f1` at one threshold."""

    def acc_chance(line: Annotation, reference: dict[str, Any]) -> ChanceValue:
        hits = _gt_overlaps(line, reference)[:, 0] >= threshold  # (G,)
        return hit(len(line["given"]), int(hits.sum()))

    def f1_chance(line: Annotation, reference: dict[str, Any]) -> ChanceValue:
        hits = (_gt_overlaps(line, reference) >= threshold).any(axis=1)  # (G,)
        scores = np.where(hits, 2 / (1 + len(reference["targets"])), 0.0)
        return ChanceValue(float(scores.mean()), float(scores.std()))

    return (
        Metric(
            name=f"ref_acc@{threshold:g}",
            family="grounding",
            task="grounding",
            input="reference",
            compute=lambda c: ref_acc(c.boxes, c.targets[0], threshold),
            applies=is_single,
            description=f"first box has IoU >= {threshold:g} with the target",
            source="Chen et al. 2020 (ScanRefer); differs from it in that boxes lie along the axes "
            "of the first camera and that only objects the inputs show make a target 'multiple'",
            query_mean=True,
            chance=_chance(True, acc_chance),
        ),
        Metric(
            name=f"ref_f1@{threshold:g}",
            family="grounding",
            task="grounding",
            input="reference",
            compute=lambda c: ref_f1(c.boxes, c.targets, threshold),
            applies=lambda c: not is_single(c),
            description=f"F1 of boxes on multi- and zero-target references, IoU >= {threshold:g}",
            source="Zhang et al. 2023 (Multi3DRefer); differs from it in that references with one "
            "target are left out: ref_acc scores them",
            query_mean=True,
            optional=True,
            chance=_chance(False, f1_chance),
        ),
    )


METRICS = (
    *_at(0.25),
    *_at(0.5),
    Metric(
        name="ref_pick",
        family="grounding",
        task="picks",
        input="reference",
        compute=lambda c: ref_pick(c.pick, c.reference["targets"]),
        applies=is_single,
        description="the right one among given objects",
        source="Achlioptas et al. 2020 (ReferIt3D); differs from it in that objects are given "
        "as masks in the views, not as segmented points",
        query_mean=True,
        chance=_chance(True, lambda line, ref: hit(len(line["given"]), len(ref["targets"]))),
    ),
)
