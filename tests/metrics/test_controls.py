"""Closed forms of chance against a thousand simulated random answerers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metrics.chance import ChanceValue, hit
from metrics.controls import chance_values
from metrics.language.grounding import ref_acc, ref_f1
from metrics.language.retrieval import (
    chance_of_average_precision,
    chance_of_recall,
    chance_of_reciprocal_rank,
    first_rank_distribution,
)
from metrics.scene_graph.predicates import FAMILIES, LABELS
from metrics.scene_graph.spq import balanced_accuracy, relation_confusion

RUNS = 1000


def ranks_of_relevant(gallery: int, relevant: int) -> np.ndarray:
    """Sorted ranks [RUNS, relevant] of the relevant items in random orders."""
    order = np.random.default_rng(7).random((RUNS, gallery)).argsort(1)
    return np.sort(order[:, :relevant] + 1, axis=1)


def assert_near(value: ChanceValue, simulated: np.ndarray) -> None:
    assert value.z_score(float(simulated.mean()), len(simulated)) < 4


@pytest.mark.parametrize(("gallery", "relevant"), [(10, 1), (30, 4), (7, 7), (80, 11), (1, 1)])
def test_ranking_values_match_simulation(gallery: int, relevant: int) -> None:
    ranks = ranks_of_relevant(gallery, relevant)
    first = ranks[:, 0]
    assert_near(chance_of_reciprocal_rank(gallery, relevant), 1 / first)
    for k in (1, 5, 10):
        assert_near(chance_of_recall(gallery, relevant, k), first <= k)
    precision = (np.arange(relevant) + 1) / ranks
    assert_near(chance_of_average_precision(gallery, relevant), precision.mean(1))


def test_spread_of_the_reciprocal_rank_matches_simulation() -> None:
    simulated = 1 / ranks_of_relevant(20, 3)[:, 0]
    assert chance_of_reciprocal_rank(20, 3).sd == pytest.approx(simulated.std(), rel=0.1)


def test_first_rank_distribution_by_hand() -> None:
    # Two relevant of four: 1st 1/2, 2nd 1/2 * 2/3, 3rd the rest.
    np.testing.assert_allclose(first_rank_distribution(4, 2), [1 / 2, 1 / 3, 1 / 6])


def test_certain_hits_have_no_spread() -> None:
    value = hit(3, 3)
    assert (value.mean, value.sd) == (1.0, 0.0)
    assert value.z_score(1.0) == 0.0
    assert value.z_score(0.9) == math.inf


def annotations(scenes: int = 12) -> list[dict]:
    """Scenes with 3 + (number % 3) given objects and uneven queries."""
    names = [f"val-{number:04d}" for number in range(scenes)]
    lines = []
    for number, scene in enumerate(names):
        given = list(range(3 + number % 3))
        lines.append(
            {
                "scene": scene,
                "given": given,
                "objects": [
                    # Neighbours overlap by a third, so a wrong box may be right enough.
                    {"index": index, "state": "eligible", "box": [index / 2, 0, 0, 1, 1, 1]}
                    for index in given
                ],
                "relations": [[0, 1, "near"], [1, 2, "larger"], [0, 1, "left"], [2, 0, "behind"]],
                "void": [[0, 2, "size"], [1, 2, "side"], [2, 1, "side"]],
                "references": [
                    {"kind": kind, "targets": targets, "tags": []}
                    for kind, targets in (("unique", [0]), ("multiple", [1]), ("multi", [0, 1]))
                ][: 1 + number % 3],
                "questions": [
                    {"type": "direction", "answer": "a", "choices": list("abcd")[: 2 + k]}
                    for k in range(3)
                ]
                + [{"type": "count", "answer": "3", "choices": []}],
                "relevance": {"c00": [scene], "c01": names[: 1 + number]},
                "phrase_relevance": {"p00": [f"{scene}:0", f"{names[0]}:1"], "p01": []},
            }
        )
    return lines


def test_values_of_a_split_match_a_thousand_random_answerers() -> None:
    lines = annotations()
    values = chance_values(lines)
    generator = np.random.default_rng(3)
    picks, choices, mrr, back = [], [], [], []
    texts = [(line["scene"], set(found)) for line in lines for found in line["relevance"].values()]
    names = [line["scene"] for line in lines]
    right = np.array([[name in found for name in names] for _, found in texts])
    owner = np.array([names.index(scene) for scene, _ in texts])
    for _ in range(RUNS):
        picks.append(np.mean([
            np.mean([generator.integers(len(line["given"])) == row["targets"][0]
                     for row in line["references"] if row["kind"] != "multi"])
            for line in lines
        ]))  # fmt: skip
        choices.append(np.mean([
            np.mean([generator.integers(len(row["choices"])) == 0
                     for row in line["questions"] if row["choices"]])
            for line in lines
        ]))  # fmt: skip
        scores = generator.random(right.shape)
        rank = 1 + (scores > np.where(right, scores, -1).max(1, keepdims=True)).sum(1)
        mrr.append(np.mean([np.mean(1 / rank[owner == scene]) for scene in range(len(lines))]))
        rank = 1 + (scores > np.where(right, scores, -1).max(0, keepdims=True)).sum(0)
        back.append(np.mean(1 / rank))
    for name, simulated in (
        (("ref_pick", "all"), picks),
        (("answer_em", "direction"), choices),
        (("text_to_scene_mrr", "all"), mrr),
        (("scene_to_text_mrr", "all"), back),
    ):
        assert_near(values[name], np.array(simulated))
        assert values[name].sd == pytest.approx(np.std(simulated), rel=0.15)


def test_boxes_of_a_random_object_match_random_answerers() -> None:
    lines = annotations()
    values = chance_values(lines)
    generator = np.random.default_rng(11)
    runs: dict[str, list[float]] = {"ref_acc@0.25": [], "ref_acc@0.5": [], "ref_f1@0.25": []}
    for _ in range(RUNS):
        scenes: dict[str, list[float]] = {name: [] for name in runs}
        for line in lines:
            boxes = np.array([item["box"] for item in line["objects"]], float)
            scored: dict[str, list[float]] = {name: [] for name in runs}
            for row in line["references"]:
                box, targets = boxes[[generator.integers(len(boxes))]], boxes[row["targets"]]
                if row["kind"] == "multi":
                    scored["ref_f1@0.25"].append(ref_f1(box, targets, 0.25))
                else:
                    for threshold in (0.25, 0.5):
                        value = ref_acc(box, targets[0], threshold)
                        scored[f"ref_acc@{threshold}"].append(value)
            for name, found in scored.items():
                scenes[name] += [np.mean(found)] if found else []
        for name, found in scenes.items():
            runs[name].append(np.mean(found))
    for name, simulated in runs.items():
        assert_near(values[name, "all"], np.array(simulated))
        assert values[name, "all"].sd == pytest.approx(np.std(simulated), rel=0.15)


def test_uniform_relations_match_random_answerers() -> None:
    lines = annotations(3)
    value = chance_values(lines)["sg_accuracy", "all"]
    generator = np.random.default_rng(5)
    simulated = []
    for _ in range(RUNS // 4):
        tables = []
        for line in lines:
            drawn = {
                (i, j): {family: generator.choice(labels) for family, labels in LABELS.items()}
                for i in line["given"]
                for j in line["given"]
            }
            tables.append(relation_confusion(line, drawn))
        found = [sum(table[family] for table in tables) for family in FAMILIES]
        accuracies = [balanced_accuracy(table) for table in found]
        simulated.append(np.mean([accuracy for accuracy in accuracies if accuracy is not None]))
    assert_near(value, np.array(simulated))
    assert value.sd == pytest.approx(np.std(simulated), rel=0.15)


def test_recall_appears_only_where_the_gallery_is_large_enough() -> None:
    values = chance_values(annotations())
    assert ("text_to_scene_r@1", "all") in values
    assert ("text_to_scene_r@5", "all") not in values
    assert ("grounding_retrieval_map", "all") in values


def test_only_types_with_choices_throughout_have_an_answer_value() -> None:
    lines = annotations()
    assert ("answer_em", "count") not in chance_values(lines)
    lines[3]["questions"].append({"type": "direction", "answer": "a", "choices": []})
    assert ("answer_em", "direction") not in chance_values(lines)


def test_a_split_without_references_has_no_pick_value() -> None:
    lines = annotations()
    for line in lines:
        line["references"] = []
    assert ("ref_pick", "all") not in chance_values(lines)
