"""SPQ and related metrics by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from metrics.pooled import fixed_set, jackknife
from metrics.scene_graph import detection, spq, triplet_recall
from metrics.scene_graph.boxes import box_iou, match_objects
from metrics.scene_graph.predicates import FAMILIES, INVERSE, PREDICATES, SYMMETRIC

UNIT = [0.0, 0.0, 0.5, 1.0, 1.0, 1.0]


def at(x: float, size: float = 1.0) -> list[float]:
    return [x, 0.0, 0.5, size, size, size]


def line(**changes) -> dict:
    """Three eligible objects in a row and a void one."""
    objects = [
        {"index": 0, "class": "bed", "box": at(0), "state": "eligible"},
        {"index": 1, "class": "lamp", "box": at(3), "state": "eligible"},
        {"index": 5, "class": "sofa", "box": at(6), "state": "eligible"},
        {"index": 7, "class": "vase", "box": at(9), "state": "void"},
        {"index": 8, "class": "vase", "box": at(12), "state": "absent"},
    ]
    base = {
        "scene": "s",
        "objects": objects,
        "given": [0, 1, 5],
        "relations": [[1, 0, "near"], [0, 1, "larger"], [1, 0, "right"], [0, 5, "front"]],
        "void": [[0, 5, "distance"]],
    }
    return base | changes


def predict(*boxes: tuple[str, list[float]]) -> list[dict]:
    return [{"class": name, "box": box, "score": 1.0} for name, box in boxes]


def perfect() -> list[dict]:
    return predict(("bed", at(0)), ("lamp", at(3)), ("sofa", at(6)))


def total(counts: spq.GraphCounts, which: str = "all") -> tuple[float, int, int, int]:
    return tuple(sum(getattr(counts, which).values()).tolist())


def test_box_iou_by_hand():
    assert box_iou(UNIT, [0.5, 0, 0.5, 1, 1, 1])[0, 0] == pytest.approx(1 / 3)
    assert box_iou(UNIT, [2.0, 0, 0.5, 1, 1, 1])[0, 0] == 0
    assert box_iou([0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0])[0, 0] == 0
    huge = [0, 0, 0, 1e200, 1e200, 1e200]
    assert (box_iou([huge, UNIT], [huge, UNIT]) == np.diag([0, 1])).all()


def test_matching_is_the_best_sum_and_needs_class_and_overlap():
    true = [at(0), at(0.3)]
    mine = [at(0.25), at(-0.05)]
    found = match_objects(np.array(mine), ["a", "a"], np.array(true), ["a", "a"], 0.5)
    assert {key: value[0] for key, value in found.items()} == {0: 1, 1: 0}
    assert match_objects(np.array(mine), ["b", "a"], np.array(true), ["a", "a"], 0.5).keys() == {1}
    # IoU of exactly .5 is not above the threshold.
    half = np.array([[0, 0, 0.5, 2.0, 1, 1]])
    assert match_objects(half, ["a"], np.array([[0.5, 0, 0.5, 1, 1, 1]]), ["a"], 0.5) == {}


def test_equal_overlaps_are_matched_by_coordinates_and_not_by_numbers():
    left, right = [-0.125, 0.0, 0.5, 1.0, 1.0, 1.0], [0.125, 0.0, 0.5, 1.0, 1.0, 1.0]
    assert box_iou(left, UNIT)[0, 0] == box_iou(right, UNIT)[0, 0]
    matched = []
    for mine in ([left, right], [right, left]):
        found = match_objects(np.array(mine), ["a", "a"], np.array([UNIT]), ["a"], 0.5)
        matched.append([mine[k] for k in found])
    assert matched[0] == matched[1] and len(matched[0]) == 1


def test_folding_is_idempotent_and_keeps_meaning():
    for name in PREDICATES:
        folded = spq.fold((4, name, 2))
        assert spq.fold(folded) == folded
        assert folded[1] in spq.FOLDED
        if name in INVERSE:
            assert folded == spq.fold((2, INVERSE[name], 4))
        if name in SYMMETRIC:
            assert folded == spq.fold((2, name, 4))


def thetas(counts: spq.GraphCounts, truth: spq.GraphTruth) -> dict[str, float]:
    """Return every pooled metric of a split of one scene."""
    sets = spq.predicate_sets([truth])
    values = {
        "spq": spq.pooled_spq([counts], sets.independent),
        "spq_view": spq.pooled_spq([counts], sets.view),
        "spq_micro": spq.pooled_spq([counts], sets.all, micro=True),
        "predicate_f1": spq.predicate_f1([counts], sets.all),
    }
    return {name: value.theta for name, value in values.items() if value is not None}


def test_perfect_prediction_scores_one():
    truth = spq.graph_truth(line())
    predicted = [(0, "near", 1, 1.0), (0, "larger", 1), (0, "left", 1), (2, "behind", 0)]
    counts = spq.graph_counts(truth, perfect(), predicted, 0.5)
    assert total(counts) == (4.0, 4, 0, 0)
    assert thetas(counts, truth) == {
        "spq": 1.0,
        "spq_view": 1.0,
        "spq_micro": 1.0,
        "predicate_f1": 1.0,
    }
    assert spq.predicate_sets([truth]).independent == ["larger", "near"]
    assert spq.predicate_sets([truth]).fewest == 1


def test_spq_by_hand():
    # One hit of quality sqrt(.8 * 1), one false, two of "larger"/"side" missed.
    truth = spq.graph_truth(line(relations=[[1, 0, "near"], [1, 5, "near"]], void=[]))
    objects = predict(("bed", [0, 0, 0.5, 1, 1, 0.8]), ("lamp", at(3)), ("sofa", at(6)))
    predicted = [(0, "near", 1), (0, "near", 2)]
    counts = spq.graph_counts(truth, objects, predicted, 0.5)
    quality = np.sqrt(box_iou(at(0), [0, 0, 0.5, 1, 1, 0.8])[0, 0])
    assert counts.all["near"] == pytest.approx([quality, 1, 1, 1])
    scores = thetas(counts, truth)
    assert scores["spq"] == pytest.approx(quality / 2)
    assert scores["predicate_f1"] == pytest.approx(0.5)


def test_inverse_and_repeated_triplets_count_once():
    truth = spq.graph_truth(line())
    predicted = [(0, "left", 1), (1, "right", 0), (0, "left", 1), (0, "near", 1), (1, "near", 0)]
    counts = spq.graph_counts(truth, perfect(), predicted, 0.5)
    assert total(counts)[1:3] == (2, 0)
    wrong = [(0, "right", 1), (1, "left", 0)]
    assert total(spq.graph_counts(truth, perfect(), wrong, 0.5))[1:3] == (0, 1)


def test_void_pairs_do_not_count():
    truth = spq.graph_truth(line())
    for predicted in ([(0, "near", 2)], [(2, "near", 0)]):
        assert total(spq.graph_counts(truth, perfect(), predicted, 0.5))[1:3] == (0, 0)


def test_unmatched_ends_are_false_unless_over_a_void_object():
    truth = spq.graph_truth(line())
    objects = [*perfect(), *predict(("vase", at(9)), ("bed", at(20)))]
    count = lambda *predicted: total(spq.graph_counts(truth, objects, predicted, 0.5))[2]  # noqa: E731
    assert count((3, "near", 0)) == 0
    assert count((4, "near", 0)) == 1
    assert count((3, "near", 4)) == 1


def test_missing_objects_do_not_count_against_matched_triplets():
    truth = spq.graph_truth(line())
    counts = spq.graph_counts(truth, predict(("bed", at(0))), [], 0.5)
    assert total(counts)[3] == 4
    assert total(counts, "matched")[3] == 0


@settings(max_examples=40, deadline=None)
@drawn(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(PREDICATES), st.integers(0, 2)), max_size=8
    )
)
def test_repeats_never_help_and_scores_stay_in_range(predicted):
    truth = spq.graph_truth(line())
    once = spq.graph_counts(truth, perfect(), predicted, 0.5)
    twice = spq.graph_counts(truth, perfect(), predicted + predicted, 0.5)
    assert total(once) == total(twice)
    for theta in thetas(once, truth).values():
        assert 0 <= theta <= 1


def test_empty_prediction_is_worst():
    truth = spq.graph_truth(line())
    counts = spq.graph_counts(truth, [], [], 0.5)
    for theta in thetas(counts, truth).values():
        assert theta == 0


def test_fixed_set_takes_predicates_with_twenty():
    assert fixed_set({"on": 20, "near": 19, "facing": 0}) == (["on"], 20)
    assert fixed_set({"on": 3, "near": 1, "facing": 0}) == (["near", "on"], 1)


def test_pseudo_values_of_a_ratio():
    top, bottom = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 4.0])
    found = jackknife(lambda keep: float(top[keep].sum() / bottom[keep].sum()), 3)
    assert found.theta == 0.75
    assert found.pseudo == pytest.approx([3 * 0.75 - 2 * 5 / 6, 3 * 0.75 - 2 * 4 / 6, 0.75])


def test_sg_accuracy_by_hand():
    predicted = {(i, j): dict.fromkeys(FAMILIES, "none") for i in (0, 1, 5) for j in (0, 1, 5)}
    confusion = spq.relation_confusion(line(), predicted)
    # 6 ordered pairs; near is true both ways for (0, 1), void both ways for (0, 5).
    assert confusion["distance"].tolist() == [[0, 2, 0], [0, 2, 0]]
    # "none" is no answer of the side family.
    assert confusion["side"][:, 4].sum() == confusion["side"].sum() == 4
    assert confusion["size"].tolist() == [[0, 1, 0], [0, 5, 0]]
    halves = {"support": 1.0, "distance": 0.5, "side": 0.0, "size": 0.5, "facing": 1.0}
    assert spq.sg_accuracy([confusion]).theta == pytest.approx(np.mean(list(halves.values())))
    assert spq.sg_accuracy([spq.relation_confusion(line(), {})]).theta == 0


def test_balanced_accuracy_agrees_with_scikit_learn():
    learn = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    true, predicted = generator.integers(0, 4, 200), generator.integers(0, 4, 200)
    table = np.zeros((4, 4))
    np.add.at(table, (true, predicted), 1)
    theirs = learn.balanced_accuracy_score(true, predicted)
    assert spq.balanced_accuracy(table) == pytest.approx(theirs)


def test_box_pq_by_hand():
    truth = spq.graph_truth(line())
    objects = predict(("bed", [0, 0, 0.5, 1, 1, 0.8]), ("bed", at(20)), ("lamp", at(3)))
    counts = detection.box_quality_counts(truth, objects, 0.5)
    iou = box_iou(at(0), [0, 0, 0.5, 1, 1, 0.8])[0, 0]
    wanted = (iou / 1.5 + 1 + 0) / 3
    assert detection.box_pq([counts], [truth]).theta == pytest.approx(wanted)


def panoptic_quality(pairs: list[tuple[str, float]], false: list[str], missed: list[str]) -> float:
    """Return PQ as panopticapi defines it: the mean over every class with any count.

    Args:
        pairs: class and IoU of the matches.
        false, missed: classes of unmatched predictions and of unmatched true objects.
    """
    classes = {name for name, _ in pairs} | set(false) | set(missed)
    each = []
    for name in classes:
        ious = [iou for other, iou in pairs if other == name]
        each.append(sum(ious) / (len(ious) + 0.5 * (false.count(name) + missed.count(name))))
    return sum(each) / len(each)


def test_a_hallucinated_class_costs_what_it_does_in_panopticapi():
    truth = spq.graph_truth(line(objects=line()["objects"][:1], relations=[], void=[]))
    objects = predict(("bed", at(0)), ("dragon", at(20)))
    counts = detection.box_quality_counts(truth, objects, 0.5)
    wanted = panoptic_quality([("bed", 1.0)], ["dragon"], [])
    assert wanted == 0.5
    assert detection.box_pq([counts], [truth]).theta == pytest.approx(wanted, abs=1e-12)
    alone = detection.box_quality_counts(truth, objects[:1], 0.5)
    assert detection.box_pq([alone], [truth]).theta == 1


def test_box_pq_equals_panopticapi_where_every_true_class_is_frequent():
    generator = np.random.default_rng(4)
    scenes, truths, pairs, false, missed = [], [], [], [], []
    for _ in range(12):
        classes = [*("abc" * 2)]
        truth = spq.GraphTruth(
            np.array([at(3 * k) for k in range(6)]),
            classes,
            np.zeros((0, 6)),
            frozenset(),
            frozenset(),
        )
        shrunk = generator.uniform(0.3, 1, 6)
        mine = [(name, [3 * k, 0, 0.5, 1, 1, shrunk[k]]) for k, name in enumerate(classes)]
        wild = [(str(generator.choice([*"abxy"])), at(100)) for _ in range(generator.integers(3))]
        scenes.append(detection.box_quality_counts(truth, predict(*mine, *wild), 0.5))
        truths.append(truth)
        # A box that is shrunk about its centre along one side has that share as its IoU.
        pairs += [(n, s) for n, s in zip(classes, shrunk, strict=True) if s > 0.5]
        lost = [n for n, s in zip(classes, shrunk, strict=True) if s <= 0.5]
        false += [*lost, *(name for name, _ in wild)]
        missed += lost
    assert set("xy") & set(false)
    theta = detection.box_pq(scenes, truths).theta
    assert theta == pytest.approx(panoptic_quality(pairs, false, missed), abs=1e-9)


def test_a_class_with_few_true_objects_is_outside_the_fixed_set():
    many = spq.GraphTruth(
        np.array([at(3 * k) for k in range(21)]),
        ["bed"] * 20 + ["lamp"],
        np.zeros((0, 6)),
        frozenset(),
        frozenset(),
    )
    beds = [("bed", at(3 * k)) for k in range(20)]
    for extra, wanted in (([], 1), ([("lamp", at(500))], 1), ([("dragon", at(500))], 0.5)):
        counts = detection.box_quality_counts(many, predict(*beds, *extra), 0.5)
        assert detection.box_pq([counts], [many]).theta == wanted


def test_only_a_box_that_matches_a_void_object_is_excused():
    truth = spq.graph_truth(line(relations=[], void=[]))
    # The void vase is a unit cube. A box of a quarter of it lies wholly in void space, which
    # panopticapi excuses, but overlaps it by 0.25.
    for box, false in ((at(9), 0), ([9.0, 0, 0.5, 1, 1, 0.25], 1)):
        counts = detection.box_quality_counts(truth, predict(("dragon", box)), 0.5)
        assert counts["dragon"][2] == false


def test_a_hallucinated_predicate_lowers_spq_and_f1():
    truth = spq.graph_truth(line(relations=[[1, 0, "near"]], void=[]))
    comparisons = {
        name: spq.GraphComparison([line(relations=[[1, 0, "near"]], void=[])], [(perfect(), rows)])
        for name, rows in (
            ("right", [(0, "near", 1, 1.0)]),
            ("wild", [(0, "near", 1, 1.0), (0, "facing", 1, 1.0)]),
            ("side", [(0, "near", 1, 1.0), (0, "left", 1, 1.0)]),
        )
    }
    assert spq.predicate_sets([truth]).independent == ["near"]
    values = {n: spq.spq_at(c, 0.5, "independent").theta for n, c in comparisons.items()}
    # A predicate of another group leaves the mean alone.
    assert values == {"right": 1.0, "wild": 0.5, "side": 1.0}
    assert spq.f1_of(comparisons["wild"]).theta == pytest.approx(0.5)
    # Pooled, the false triplet is half an error of one hit.
    assert spq.spq_at(comparisons["wild"], 0.5, "all", micro=True).theta == pytest.approx(1 / 1.5)
    assert spq.spq_at(comparisons["wild"], 0.5, "view") is None


def recall(
    truth: spq.GraphTruth, objects: list[dict], predicted: list[tuple], k: int
) -> float | None:
    return triplet_recall.triplet_recall(
        truth, triplet_recall.ranked_triplets(truth, objects, predicted), k
    )


def test_triplet_recall_takes_the_best_of_a_pair_and_family():
    truth = spq.graph_truth(line())
    predicted = [
        (0, "right", 1, 0.9),
        (0, "left", 1, 0.8),
        (0, "near", 1, 0.7),
        (0, "near", 2, 1.0),
    ]
    # "right" wins the side of the pair and is wrong; the void pair takes no place.
    assert recall(truth, perfect(), predicted, 2) == pytest.approx(1 / 2)
    assert recall(truth, perfect(), predicted, 50) == pytest.approx(1 / 4)
    assert recall(truth, [], [], 20) == 0
    assert recall(spq.graph_truth(line(relations=[])), [], [], 20) is None


def test_larger_either_way_is_one_choice_of_the_pair():
    truth = spq.graph_truth(line())
    predicted = [(0, "larger", 1, 0.9), (1, "larger", 0, 0.8)]
    assert recall(truth, perfect(), predicted, 1) == 1


def test_mean_triplet_recall_weighs_each_predicate_alike():
    relations = [[0, 1, "near"], [1, 5, "near"], [0, 1, "larger"]]
    truth = spq.graph_truth(line(relations=relations, void=[]))
    predicted = [(0, "near", 1, 0.9), (1, "near", 2, 0.8), (1, "larger", 2, 0.7)]
    ranked = triplet_recall.ranked_triplets(truth, perfect(), predicted)
    assert triplet_recall.mean_triplet_recall([ranked], [truth], 20).theta == pytest.approx(
        (1 + 0) / 2
    )
    # One place: one of min(1, 2) "near" is found and none of min(1, 1) "larger".
    assert triplet_recall.mean_triplet_recall([ranked], [truth], 1).theta == pytest.approx(1 / 2)
    assert triplet_recall.mean_triplet_recall([[]], [truth], 20).theta == 0


def test_tied_triplets_count_against_and_never_depend_on_numbers():
    truth = spq.graph_truth(line(relations=[[0, 1, "near"], [0, 1, "larger"]], void=[]))
    tied = [(0, "near", 1, 1.0), (0, "near", 2, 1.0), (1, "near", 2, 1.0)]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        objects = [perfect()[k] for k in order]
        place = {old: new for new, old in enumerate(order)}
        rows = [(place[s], name, place[o], score) for s, name, o, score in tied]
        # Two false ones are ahead of the true one; a lower score comes after all of them.
        values = [recall(truth, objects, rows, k) for k in (1, 2, 3)]
        assert values == [0, 0, 0.5]
        assert recall(truth, objects, [*rows, (place[0], "larger", place[1], 0.5)], 4) == 1


def test_among_tied_predicates_of_a_pair_a_false_one_is_chosen():
    truth = spq.graph_truth(line(relations=[[0, 1, "left"]], void=[]))
    for rows in (["left", "right"], ["right", "left"]):
        assert recall(truth, perfect(), [(0, name, 1, 1.0) for name in rows], 20) == 0
    assert recall(truth, perfect(), [(0, "right", 1, 0.9), (0, "left", 1, 1.0)], 20) == 1


@settings(max_examples=60, deadline=None)
@drawn(st.data())
def test_recall_of_tied_triplets_is_the_worst_over_all_orders(data):
    """Without the graph constraint of two predicates a slot, ties are placed by brute force."""
    truth = spq.graph_truth(line(void=[]))
    slots = [(s, name, o) for s, o in ((0, 1), (0, 2), (1, 2)) for name in ("near", "facing")]
    chosen = data.draw(st.lists(st.sampled_from(slots), unique=True, min_size=1, max_size=6))
    scores = data.draw(st.lists(st.integers(0, 2), min_size=len(chosen), max_size=len(chosen)))
    rows = [(*slot, float(score)) for slot, score in zip(chosen, scores, strict=True)]
    for k in (1, 2, 4):
        worst = 1.0
        for order in itertools.permutations(rows):
            ranked = sorted(order, key=lambda row: -row[3])
            hits = {spq.fold(row[:3]) for row in ranked[:k]} & truth.triplets
            worst = min(worst, len(hits) / min(k, len(truth.triplets)))
        assert recall(truth, perfect(), rows, k) == pytest.approx(worst)


def given_recall(truth: spq.GraphTruth, given: list[int], scored: list[tuple], k: int):
    ranked = triplet_recall.ranked_given_triplets(truth, given, scored)
    return triplet_recall.triplet_recall(truth, ranked, k)


def test_given_recall_has_no_graph_constraint():
    truth = spq.graph_truth(line())
    predicted = [
        (0, "right", 1, 0.9),
        (0, "left", 1, 0.8),
        (0, "near", 5, 1.0),
        (1, "near", 0, 0.7),
    ]
    # Of the first two places "right" is wrong; the void pair takes none, 2 of 4 truths are found.
    recall = [given_recall(truth, [0, 1, 5], predicted, k) for k in (1, 2, 3, 50)]
    assert recall == pytest.approx([0, 1 / 2, 2 / 3, 2 / 4])
    # Both orders of a pair say one thing and take one place.
    again = [*predicted, (1, "right", 0, 0.95)]
    assert given_recall(truth, [0, 1, 5], again, 1) == 1
    assert given_recall(truth, [0, 1, 5], [(0, "near", 9, 1.0)], 50) == 0
    # "near" is true of objects 0 and 1; the equal score of a false triplet is ahead.
    tied = [(0, "near", 1, 1.0), (1, "near", 5, 1.0)]
    assert [given_recall(truth, [0, 1, 5], tied, k) for k in (1, 2)] == [0, 1 / 2]
    assert given_recall(spq.graph_truth(line(relations=[])), [0, 1, 5], predicted, 50) is None


def test_spq_given_by_hand():
    predicted = {(0, 1): {"distance": "near", "side": "left"}, (0, 5): {"size": "larger"}}
    comparison = spq.RelationComparison([line()], [predicted])
    # near is found; larger has one false and one missed; of two sides one is found.
    assert triplet_recall.spq_given(comparison, "independent").theta == pytest.approx(0.5)
    assert triplet_recall.spq_given(comparison, "view").theta == pytest.approx(0.5)
