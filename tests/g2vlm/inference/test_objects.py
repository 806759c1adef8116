"""Objects from point classes, triplets from objects, boxes for queries."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm.inference.scene import (
    Graph,
    count_targets,
    gt_relations,
    likeliest,
    rank,
    triplets,
)
from g2vlm.models.detection import Detection, PointClasses, detect, member_masks, smooth
from metrics.geometry import lift_depth, to_frame
from metrics.scene_graph.predicates import FAMILIES
from tests.g2vlm.inference.synthetic import BOXES, views


def room_kinds(wrong: float = 0.1) -> PointClasses:
    """Class probabilities of the synthetic room's cells, a share of them of a wrong class."""
    true, intrinsics, pose = views()
    points = to_frame(lift_depth(true.depth, intrinsics), pose)[:, 2::4, 2::4]
    grid = points.shape[:3]
    points = points.reshape(-1, 3)
    owner = true.instance[:, 2::4, 2::4].reshape(-1).astype(int) - 10
    label = np.where(owner >= 0, owner, 3)
    random = np.random.default_rng(0)
    label = np.where(random.random(len(label)) < wrong, random.integers(4, size=len(label)), label)
    shares = np.full((len(label), 4), 0.05, np.float32)
    shares[np.arange(len(label)), label] = 0.85
    camera = np.repeat(pose[:, :3, 3], grid[1] * grid[2], axis=0)
    ranges = np.linalg.norm(points - camera, axis=1)
    return PointClasses(points.astype("f4"), shares, ranges.astype("f4"), grid)


def extents(kinds: PointClasses):
    """The boxes that masks span."""

    def boxes(masks: np.ndarray) -> np.ndarray:
        ends = [np.quantile(kinds.points[mask > 0], [0.02, 0.98], axis=0) for mask in masks]
        return np.array([[*(low + high) / 2, *(high - low)] for low, high in ends], np.float32)

    return boxes


def test_noisy_classes_give_the_three_objects() -> None:
    kinds = room_kinds()
    found = detect(kinds, extents(kinds))
    owner = room_kinds(wrong=0).probabilities.argmax(1)
    for label in range(3):
        true = np.flatnonzero(owner == label)
        item = max(found, key=lambda o: len(np.intersect1d(o.members, true)))
        assert item.label == label
        assert len(np.intersect1d(item.members, true)) > 0.5 * len(true)
        assert len(np.intersect1d(item.members, true)) > 0.8 * len(item.members)
    assert all(0 < item.score <= 1 for item in found)
    assert [item.score for item in found] == sorted((o.score for o in found), reverse=True)


def test_separate_objects_of_one_class_stay_separate() -> None:
    row = np.linspace(0, 0.4, 5)
    lumps = [np.stack(np.meshgrid(row + x, row, [0.4]), -1).reshape(-1, 3) for x in (0, 1, 2)]
    points = np.concatenate(lumps).astype("f4")
    shares = np.tile(np.array([[0.8, 0.2]], np.float32), (len(points), 1))
    kinds = PointClasses(points, shares, np.ones(len(points), "f4"), (3, 5, 5))
    found = detect(kinds, extents(kinds))
    assert sorted(round(float(o.box[0]), 1) for o in found) == [0.2, 1.2, 2.2]
    assert sorted(len(o.members) for o in found) == [25, 25, 25]


def test_structure_alone_gives_no_detection() -> None:
    kinds = room_kinds()
    shares = np.zeros_like(kinds.probabilities)
    shares[:, -1] = 1
    assert (
        detect(PointClasses(kinds.points, shares, kinds.ranges, kinds.grid), extents(kinds)) == []
    )


def test_smoothing_changes_a_lone_point_and_keeps_probabilities() -> None:
    shares = np.tile(np.array([[0.9, 0.1]], np.float32), (6, 1))
    shares[3] = [0.3, 0.7]
    pairs = np.array([[3, 3, 3, 3, 3], [0, 1, 2, 4, 5]])
    found = smooth(shares, np.concatenate([pairs, pairs], axis=1))
    assert found[3, 0] > 0.5
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(smooth(shares, np.zeros((2, 0), int)), shares)


def probabilities(count: int) -> dict[str, np.ndarray]:
    sizes = {"support": 3, "distance": 2, "side": 4, "size": 2, "facing": 2}
    out = {}
    for family, size in sizes.items():
        out[family] = np.zeros((count, count, size))
        out[family][..., -1] = 1.0
    return out


def test_triplets_have_one_predicate_a_family_and_multiply_scores() -> None:
    found = [Detection(BOXES[i], i, s, np.arange(3)) for i, s in enumerate((0.9, 0.8, 0.5))]
    given = probabilities(3)
    given["support"][2, 1] = [0.7, 0.2, 0.1]
    rows = triplets(found, given, 0.0)
    assert [row[:3] for row in rows if row[1] in FAMILIES["support"]] == [(2, "on", 1)]
    assert next(row for row in rows if row[1] == "on")[3] == pytest.approx(0.7 * 0.8 * 0.5)
    # Side has no "none": one of the four for every ordered pair.
    assert sum(row[1] == "behind" for row in rows) == 6
    assert [row[3] for row in rows] == sorted((row[3] for row in rows), reverse=True)
    pairs = gt_relations([4, 7, 9], given)
    assert len(pairs) == 6
    assert next(p[2]["support"] for p in pairs if p[:2] == [9, 7]) == "on"
    assert {p[2]["distance"] for p in pairs} == {"none"}


def test_thresholds_keep_the_objects_of_kept_triplets() -> None:
    found = [Detection(BOXES[i], i, s, np.arange(3)) for i, s in enumerate((0.9, 0.2, 0.1))]
    graph = Graph(found, [(0, "near", 2, 0.5), (0, "near", 1, 0.01)])
    kept = graph.above(0.5, 0.1)
    assert [item.label for item in kept.objects] == [0, 2]
    assert kept.triplets == [(0, "near", 1, 0.5)]


def test_grounding_ranks_by_logit_and_applies_thresholds() -> None:
    kinds = room_kinds(wrong=0)
    boxes, label = extents(kinds), kinds.probabilities.argmax(1)
    found = detect(kinds, boxes)
    ranked = rank(np.array([2.0 if item.label == 1 else -3.0 for item in found]), found)
    table = next(item for item in found if item.label == 1)
    np.testing.assert_array_equal(ranked.boxes[0], table.box)
    assert ranked.logits[0] > 1 > 0 > ranked.logits[-1]
    assert count_targets(ranked, 0.0, zero_above=1.0, multi_above=5.0) == 1
    assert count_targets(ranked, 0.0, zero_above=1.0, multi_above=-9.0) == len(found)
    assert count_targets(ranked, 1.5, zero_above=1.0, multi_above=5.0) == 0
    assert rank(np.zeros(0), []).boxes.shape == (0, 6)
    alone = likeliest(np.where(label == 1, 2.0, -3.0), boxes)
    assert alone.boxes.shape == (1, 6) and alone.logits[0] == 2
    assert member_masks(found, 9999).shape == (len(found), 9999)
