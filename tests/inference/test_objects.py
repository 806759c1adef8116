"""Votes become objects, objects a graph, queries boxes."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm.inference.graph import given_pairs, member_masks, triplets
from g2vlm.inference.grounding import chosen_boxes, pick, rank
from g2vlm.inference.objects import Detection, detect, extent_box, weighted_median
from g2vlm.inference.points import lift
from g2vlm.inference.scene import FoundObjects
from g2vlm.inference.votes import Votes
from metrics.boxes import box_iou
from metrics.relations import FAMILIES
from tests.inference.synthetic import BOXES, views


def room_votes(noise: float = 0.03) -> Votes:
    """Votes of the synthetic room's cells with noisy boxes."""
    true, intrinsics, pose = views()
    points = lift(true.depth, intrinsics, pose)[:, 2::4, 2::4].reshape(-1, 3)
    owner = true.instance[:, 2::4, 2::4].reshape(-1).astype(int) - 10
    random = np.random.default_rng(0)
    boxes = BOXES[np.maximum(owner, 0)] + random.normal(0, noise, (len(owner), 6))
    boxes[:, 3:] = np.maximum(boxes[:, 3:], 0.05)
    probability = np.where(owner >= 0, 0.9, 0.05)
    return Votes(points, boxes.astype("f4"), np.maximum(owner, 0), probability.astype("f4"))


def test_noisy_votes_give_the_three_boxes() -> None:
    found = detect(room_votes())
    assert len(found) == 3
    for index, box in enumerate(BOXES):
        item = next(o for o in found if o.label == index)
        assert box_iou(item.box, box)[0, 0] > 0.75
        assert 0 < item.score <= 1


def test_neighbours_of_one_class_stay_apart() -> None:
    random = np.random.default_rng(0)
    rows = [np.array([x, 0, 0.4, 0.5, 0.5, 0.8]) for x in (0.0, 0.6, 1.2)]
    boxes = np.repeat(rows, 20, axis=0) + random.normal(0, 0.03, (60, 6))
    votes = Votes(boxes[:, :3], boxes, np.zeros(60, int), np.full(60, 0.8))
    found = detect(votes)
    assert sorted(round(float(o.box[0]), 1) for o in found) == [0.0, 0.6, 1.2]


def test_point_clusters_span_the_points_when_no_box_was_learned() -> None:
    votes = room_votes(noise=3.0)
    found = detect(votes, boxes_learned=False)
    assert {item.label for item in found} == {0, 1, 2}
    chair = next(item for item in found if item.label == 0)
    assert box_iou(chair.box, BOXES[0])[0, 0] > 0.4


def test_nothing_is_detected_where_all_is_structure() -> None:
    votes = room_votes()
    silent = Votes(votes.points, votes.boxes, votes.label, votes.probability * 0)
    assert detect(silent) == [] and detect(silent, boxes_learned=False) == []


def test_weighted_median_ignores_light_outliers() -> None:
    values = np.array([[1.0], [2.0], [100.0]])
    assert weighted_median(values, np.array([1.0, 2.0, 0.5]))[0] == 2.0
    box = extent_box(np.array([[0, 0, 0], [1, 1, 1.0]]), 0.0)
    np.testing.assert_allclose(box, [0.5, 0.5, 0.5, 1, 1, 1])


def probabilities(count: int) -> dict[str, np.ndarray]:
    sizes = {"support": 3, "distance": 2, "side": 4, "size": 2, "facing": 2}
    out = {}
    for family, size in sizes.items():
        out[family] = np.zeros((count, count, size))
        out[family][..., -1] = 1.0
    return out


def test_triplets_take_one_predicate_a_family_and_multiply_scores() -> None:
    found = [Detection(BOXES[i], i, s, np.arange(3)) for i, s in enumerate((0.9, 0.8, 0.5))]
    given = probabilities(3)
    given["support"][2, 1] = [0.7, 0.2, 0.1]
    rows = triplets(found, given, 0.0)
    assert [row[:3] for row in rows if row[1] in FAMILIES["support"]] == [(2, "on", 1)]
    assert next(row for row in rows if row[1] == "on")[3] == pytest.approx(0.7 * 0.8 * 0.5)
    # Side has no "none": one of the four for every ordered pair.
    assert sum(row[1] == "behind" for row in rows) == 6
    assert [row[3] for row in rows] == sorted((row[3] for row in rows), reverse=True)
    pairs = given_pairs([4, 7, 9], given)
    assert len(pairs) == 6
    assert next(p[2]["support"] for p in pairs if p[:2] == [9, 7]) == "on"
    assert {p[2]["distance"] for p in pairs} == {"none"}


def test_cutting_keeps_the_ends_of_kept_triplets() -> None:
    found = [Detection(BOXES[i], i, s, np.arange(3)) for i, s in enumerate((0.9, 0.2, 0.1))]
    graph = FoundObjects(found, [(0, "near", 2, 0.5), (0, "near", 1, 0.01)])
    kept = graph.over(0.5, 0.1)
    assert [item.label for item in kept.objects] == [0, 2]
    assert kept.triplets == [(0, "near", 1, 0.5)]


def test_grounding_ranks_by_mean_logit_and_cuts_by_thresholds() -> None:
    votes = room_votes()
    found = detect(votes)
    logits = np.where((votes.label == 1) & (votes.probability > 0.5), 2.0, -3.0)
    ranked = rank(logits, votes, found)
    assert box_iou(ranked.boxes[0], BOXES[1])[0, 0] > 0.8
    assert len(chosen_boxes(ranked, 0.0, zero_above=1.0, multi_above=5.0)) == 1
    assert len(chosen_boxes(ranked, 0.0, zero_above=1.0, multi_above=-9.0)) == 3
    assert len(chosen_boxes(ranked, 1.5, zero_above=1.0, multi_above=5.0)) == 0
    masks = np.stack([(votes.label == k) & (votes.probability > 0.5) for k in range(3)])
    assert pick(logits, masks.astype("f4"), [3, 5, 8]) == 5
    assert pick(logits, np.zeros((0, len(logits)), "f4"), []) is None
    alone = rank(logits, votes, [])
    assert box_iou(alone.boxes[0], BOXES[1])[0, 0] > 0.6
    assert member_masks(found, 9999).shape == (3, 9999)
