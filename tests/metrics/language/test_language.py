"""References, retrieval and answers against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.language import answers, grounding, retrieval

BOX = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]


def test_ref_acc_takes_the_first_box_and_the_threshold_itself():
    half = [0.0, 0.0, 0.0, 1.0, 1.0, 2.0]
    assert grounding.ref_acc(np.array([half, BOX]), np.array(BOX), 0.5) == 1
    assert grounding.ref_acc(np.array([half, BOX]), np.array(BOX), 0.51) == 0
    assert grounding.ref_acc(np.zeros((0, 6)), np.array(BOX), 0.25) == 0


def test_ref_f1_of_sets():
    far = [9.0, *BOX[1:]]
    assert grounding.ref_f1(np.array([BOX, far]), np.array([BOX]), 0.5) == pytest.approx(2 / 3)
    assert grounding.ref_f1(np.array([BOX, BOX]), np.array([BOX]), 0.5) == pytest.approx(2 / 3)
    assert grounding.ref_f1(np.zeros((0, 6)), np.zeros((0, 6)), 0.5) == 1
    assert grounding.ref_f1(np.array([BOX]), np.zeros((0, 6)), 0.5) == 0
    assert grounding.ref_f1(np.zeros((0, 6)), np.array([BOX]), 0.5) == 0


def test_subsets():
    reference = {"kind": "unique", "tags": ["needs_geometry"]}
    assert grounding.subsets_of(reference) == [
        "all",
        "unique",
        "needs_geometry",
        "view_independent",
    ]
    assert "view_independent" not in grounding.subsets_of(
        {"kind": "multiple", "tags": ["view_dependent"]}
    )
    assert grounding.subsets_of({"kind": "zero", "tags": ["view_dependent"]}) == ["all", "zero"]


def test_pick():
    assert grounding.ref_pick(3, [3]) == 1
    assert grounding.ref_pick(None, [3]) == 0


def test_ties_count_against_the_method():
    scores, relevant = np.zeros(5), np.array([True, False, False, False, False])
    assert retrieval.first_rank(scores, relevant) == 5
    assert retrieval.average_precision(scores, relevant) == 0.2


def test_average_precision_agrees_with_scikit_learn_without_ties():
    learn = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    for _ in range(20):
        scores, relevant = generator.random(40), generator.random(40) < 0.2
        relevant[0] = True
        wanted = learn.average_precision_score(relevant, scores)
        assert retrieval.average_precision(scores, relevant) == pytest.approx(wanted)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=12))
def test_ranking_scores_stay_in_range_and_order_of_items_never_matters(items):
    scores = np.array([score for score, _ in items], float)
    relevant = np.array([right for _, right in items])
    relevant[0] = True
    value = retrieval.average_precision(scores, relevant)
    assert 0 < value <= 1
    assert value == pytest.approx(retrieval.average_precision(scores[::-1], relevant[::-1]))
    rank = retrieval.first_rank(scores, relevant)
    assert retrieval.reciprocal_rank(rank) <= value + 1e-12 or relevant.sum() > 1
    assert 1 <= rank <= len(items)


def test_recall_is_reported_only_over_large_galleries():
    assert retrieval.ranks_reported(9) == []
    assert retrieval.ranks_reported(100) == [1, 5, 10]
    assert retrieval.recall_at(5, 5) == 1 and retrieval.recall_at(6, 5) == 0


@pytest.mark.parametrize(
    ("answer", "truth", "value"),
    [
        ("The  Chair.", "chair", 1),
        ("dining-table", "dining table", 1),
        ("Yes!", "yes", 1),
        ("no", "yes", 0),
        ("two", "2", 1),
        ("a chair and a table", "chair", 0),
        ("", "chair", 0),
    ],
)
def test_exact_match(answer, truth, value):
    assert answers.exact_match(answer, truth) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("about 2.50 metres", 2.5),
        ("1,234 cm", 1234),
        ("1,5", 1.5),
        ("-2", -2),
        (".5", 0.5),
        ("three chairs", 3),
        ("1e2", 100),
        ("many", None),
    ],
)
def test_parse_number(text, value):
    assert answers.parse_number(text) == value


def test_mean_relative_accuracy_by_hand():
    assert answers.mean_relative_accuracy(10, 10) == 1
    assert answers.mean_relative_accuracy(9, 10) == 0.9
    assert answers.mean_relative_accuracy(15, 10) == 0.1
    assert answers.mean_relative_accuracy(15.1, 10) == 0
    assert answers.mean_relative_accuracy(0, 0) == 1
    assert answers.mean_relative_accuracy(0.1, 0) == 0
    assert answers.mean_relative_accuracy(None, 3) == 0
    assert len(answers.THETAS) == 10 and answers.THETAS[-1] == 0.95


@given(st.floats(0.01, 1e6), st.floats(0.01, 1e6), st.floats(0.01, 1e6))
def test_a_closer_number_never_scores_less(truth, first, second):
    near, far = sorted((first, second), key=lambda value: abs(value - truth))
    score = answers.mean_relative_accuracy
    assert score(near, truth) >= score(far, truth)


def test_unreadable_answers():
    assert answers.score_answer(None, "3", "number") == (0.0, False)
    assert answers.score_answer("lots", "3", "number") == (0.0, False)
    assert answers.score_answer("lots", "3", "word") == (0.0, True)
    assert answers.score_answer(" ", "no", "word") == (0.0, False)
