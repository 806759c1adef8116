"""Average precision of detected boxes: by hand, against VOC's rule and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.pooled import jackknife
from metrics.scene_graph import detection, spq
from metrics.scene_graph.boxes import box_iou, paired_iou
from metrics.scene_graph.oriented import oriented_iou, paired_oriented_iou
from tests.metrics.scene_graph.test_spq import at, line, predict

Scene = tuple[list[dict], detection.TrueBoxes]


def voc_reference(scores: np.ndarray, hits: np.ndarray, total_true: int) -> float:
    """The VOC devkit's all-point rule, written out with sentinels as there."""
    order = np.argsort(-scores)
    tp, fp = np.cumsum(hits[order]), np.cumsum(~hits[order])
    recall = np.concatenate([[0], tp / total_true, [1]])
    precision = np.concatenate([[0], tp / (tp + fp), [0]])
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    changes = np.where(recall[1:] != recall[:-1])[0]
    return float(((recall[changes + 1] - recall[changes]) * precision[changes + 1]).sum())


def test_average_precision_agrees_with_the_voc_devkit():
    generator = np.random.default_rng(1)
    for _ in range(20):
        scores, hits = generator.random(30), generator.random(30) < 0.4
        wanted = voc_reference(scores, hits, hits.sum() + 3)
        mine = detection.average_precision(scores, hits, int(hits.sum()) + 3)
        assert mine == pytest.approx(wanted)


def test_tied_scores_count_against():
    assert detection.average_precision(np.array([1.0, 1.0]), np.array([True, False]), 1) == 0.5


def overlaps_of(scenes: list[Scene], iou=paired_iou) -> detection.Overlaps:
    """Overlaps of (objects, truth) of each scene."""
    boxes = np.array([item["box"] for objects, _ in scenes for item in objects], float)
    width = scenes[0][1].boxes.shape[1]
    return detection.split_overlaps(
        boxes.reshape(-1, width), [s[0] for s in scenes], [s[1] for s in scenes], iou
    )


def true_boxes(truth: spq.GraphTruth) -> detection.TrueBoxes:
    return detection.TrueBoxes(truth.boxes, truth.classes, truth.void_boxes)


def test_detections_take_each_object_once_and_skip_void():
    truth = true_boxes(spq.graph_truth(line()))
    objects = predict(("bed", at(0.1)), ("bed", at(0)), ("vase", at(9)), ("vase", at(12)))
    objects[1]["score"] = 0.5
    matched = detection.match_predictions(overlaps_of([(objects, truth)]), 0.5)
    assert matched["bed"].hits.tolist() == [True, False]
    assert matched["vase"].hits.tolist() == [False]
    assert detection.object_map(matched).theta == pytest.approx(1 / 3)


def test_equal_scores_over_void_objects_count_against_in_any_order():
    # Both overlap one true bed; only the first also overlaps a void object.
    truth = detection.TrueBoxes(np.array([at(0)]), ["bed"], np.array([at(-0.5)]))
    objects = predict(("bed", at(0)), ("bed", at(0.1)))

    def hits(*order: int) -> list[bool]:
        chosen = [objects[k] for k in order]
        return detection.match_predictions(overlaps_of([(chosen, truth)]), 0.3)["bed"].hits.tolist()

    objects[0]["box"] = at(-0.2)
    assert hits(0, 1) == hits(1, 0) == [False, True]
    objects[1]["score"] = 2.0
    assert hits(0, 1) == hits(1, 0) == [True]


def slow_map(scenes: list[Scene], threshold: float, keep: np.ndarray, iou) -> float:
    """The mean average precision of some scenes, prediction by prediction."""
    values = []
    for name in sorted({name for _, truth in scenes for name in truth.classes}):
        scores, hits, total = [], [], 0
        for (objects, truth), kept in zip(scenes, keep, strict=True):
            if not kept:
                continue
            true = truth.boxes[[other == name for other in truth.classes]]
            rows = [item for item in objects if item["class"] == name]
            boxes = np.array([item["box"] for item in rows], float).reshape(-1, true.shape[1])
            excused = (iou(boxes, truth.void) > threshold).any(axis=1)
            overlap, taken = iou(boxes, true), set()
            total += len(true)
            for k in sorted(range(len(rows)), key=lambda k: (-rows[k]["score"], not excused[k])):
                best = int(overlap[k].argmax()) if len(true) else -1
                hit = best >= 0 and overlap[k, best] > threshold and best not in taken
                taken |= {best} if hit else set()
                if hit or not excused[k]:
                    scores.append(rows[k]["score"])
                    hits.append(hit)
        if total:
            order = np.lexsort((hits, -np.array(scores)))
            precision = np.cumsum(np.array(hits, bool)[order]) / np.arange(1, len(hits) + 1)
            best = [precision[k:].max() for k in range(len(hits)) if np.array(hits)[order][k]]
            values.append(sum(best) / total)
    return float(np.mean(values)) if values else 0.0


def random_scenes(seed: int, turned: bool) -> list[Scene]:
    """Scenes with few places, sizes and scores, so that there are many ties."""
    generator = np.random.default_rng(seed)
    names = ["bed", "lamp", "sofa"]

    def some(count: int) -> np.ndarray:
        centre = generator.integers(0, 4, (count, 3)) / 4
        boxes = np.concatenate([centre, generator.integers(2, 6, (count, 3)) / 4], axis=1)
        yaw = generator.integers(0, 8, (count, 1)) / 4
        return np.concatenate([boxes, yaw], axis=1) if turned else boxes

    scenes = []
    for _ in range(generator.integers(1, 6)):
        true, void, count = (generator.integers(0, most) for most in (5, 3, 12))
        objects = [
            {
                "box": box.tolist(),
                "class": names[generator.integers(3)],
                "score": generator.integers(4) / 4,
            }
            for box in some(count)
        ]
        classes = [names[k] for k in generator.integers(0, 2, true)]
        scenes.append((objects, detection.TrueBoxes(some(true), classes, some(void))))
    return scenes


@pytest.mark.parametrize("turned", [False, True])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), threshold=st.sampled_from([0.1, 0.25, 0.5]))
def test_map_and_its_jackknife_agree_with_plain_loops(turned, seed, threshold):
    scenes = random_scenes(seed, turned)
    paired, table = (paired_oriented_iou, oriented_iou) if turned else (paired_iou, box_iou)
    found = detection.object_map(
        detection.match_predictions(overlaps_of(scenes, paired), threshold)
    )
    if not any(truth.classes for _, truth in scenes):
        assert found is None
        return
    wanted = jackknife(lambda keep: slow_map(scenes, threshold, keep, table), len(scenes))
    assert found.theta == pytest.approx(wanted.theta, abs=1e-12)
    np.testing.assert_allclose(found.pseudo, wanted.pseudo, atol=1e-12)
    keep = np.arange(len(scenes)) % 2 == 0
    assert found.over(keep) == pytest.approx(slow_map(scenes, threshold, keep, table), abs=1e-12)


def test_blocks_of_pairs_do_not_change_overlaps(monkeypatch):
    scenes = [scene for seed in range(20) for scene in random_scenes(seed, False)]
    whole = overlaps_of(scenes)
    monkeypatch.setattr(detection, "_PAIRS", 5)
    parts = overlaps_of(scenes)
    for name in ("iou", "true", "void", "totals"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))
    assert (whole.iou > 0).any() and (whole.void > 0).any()


def test_a_split_without_predictions_scores_zero():
    truth = true_boxes(spq.graph_truth(line()))
    matched = detection.match_predictions(overlaps_of([([], truth), ([], truth)]), 0.5)
    value = detection.object_map(matched)
    assert value.theta == 0 and value.pseudo.tolist() == [0, 0]
