"""References, retrieval and answers against scikit-learn and by hand."""

from __future__ import annotations

import statistics
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.language import answers, grounding, numerals, retrieval

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


def test_unscored_items_rank_last():
    scores = np.array([np.nan, 2.0, 1.0, np.nan])
    for relevant, rank, precision in (
        ([True, False, False, False], 4, 1 / 4),
        ([False, True, False, False], 1, 1),
        ([False, False, True, False], 2, 1 / 2),
        ([True, False, True, False], 2, (1 / 2 + 2 / 4) / 2),
        ([True, False, False, True], 3, (1 / 3 + 2 / 4) / 2),
    ):
        right = np.array(relevant)
        assert retrieval.first_rank(scores, right) == rank
        assert retrieval.average_precision(scores, right) == pytest.approx(precision)
    assert retrieval.first_rank(np.full(3, np.nan), np.array([False, True, False])) == 3


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, np.nan]), min_size=1, max_size=9), st.data())
def test_the_rank_is_scipy_s_where_ties_take_the_last_place(scores, data):
    target = data.draw(st.integers(0, len(scores) - 1))
    relevant = np.arange(len(scores)) == target
    filled = np.nan_to_num(np.array(scores), nan=-9.0)
    wanted = scipy.stats.rankdata(-filled, method="max")[target]
    assert retrieval.first_rank(np.array(scores), relevant) == wanted


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=5), min_size=2, max_size=6),
    st.sampled_from([(np.median, statistics.median), (np.mean, statistics.fmean)]),
)
def test_pooled_ranks_average_queries_not_scenes(ranks, averages):
    mine, theirs = averages
    found = retrieval.pooled_rank(ranks, mine)
    assert found.theta == pytest.approx(theirs(sum(ranks, [])), abs=1e-9)
    count = len(ranks)
    for scene in range(count):
        rest = theirs(sum(ranks[:scene] + ranks[scene + 1 :], []))
        pseudo = count * found.theta - (count - 1) * rest
        assert found.pseudo[scene] == pytest.approx(pseudo, abs=1e-9)


def test_the_median_rank_is_that_of_all_queries():
    # One query a scene: the mean of the medians of scenes would be 34.
    ranks = [[1], [1], [100]]
    assert retrieval.pooled_rank(ranks, np.median).theta == 1
    assert retrieval.pooled_rank(ranks, np.mean).theta == 34


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
        ("", None),
        ("twenty-five", 25),
        ("Twenty five chairs", 25),
        ("two hundred", 200),
        ("a hundred and five", 105),
        ("three thousand two hundred and ten", 3210),
        ("two, three or four", 2),
        ("two and a half metres", 2.5),
        ("twenty point five", 20.5),
        ("2 m 50 cm", 2.5),
        ("2m50cm", 2.5),
        ("about 2 metres and 5 centimetres", Fraction(41, 20)),
        ("2 m by 50 cm", 2),
        ("In the 3D scene there are 5", 5),
        ("the 2-D map has 4", 4),
        ("in the 3rd view: 7", 7),
        ("area in m\u00b2: 12", 12),
        ("12 m\u00b2", 12),
        ("none", 0),
        ("no chairs", 0),
        ("There is no chair.", 0),
        ("zero", 0),
        ("No.", None),
        ("I have no idea", None),
        ("no more than five", 5),
        ("2\u00bd m", 2.5),
        ("\u00bd", 0.5),
        ("1 1/2", 1.5),
        ("3/4", 0.75),
        ("1/0", 1),
        ("12/05/2024", 12),
        ("\u22123", -3),
        ("1e999", None),
        ("1e-999999999", 0),
        ("2.2", Fraction(11, 5)),
    ],
)
def test_parse_number(text, value):
    assert numerals.parse_number(text) == value


def spelled(number: int) -> str:
    """Return a whole number below a million in English."""
    if number >= 1000:
        rest = number % 1000
        return f"{spelled(number // 1000)} thousand" + (f" {spelled(rest)}" if rest else "")
    if number >= 100:
        rest = number % 100
        return f"{numerals.ONES[number // 100]} hundred" + (f" and {spelled(rest)}" if rest else "")
    if number < 20:
        return numerals.ONES[number]
    tens = numerals.TENS[number // 10 - 2]
    return tens + (f"-{numerals.ONES[number % 10]}" if number % 10 else "")


@given(st.integers(0, 999_999))
def test_number_words_mean_what_they_spell(number):
    assert numerals.parse_number(f"There are {spelled(number)} chairs.") == number


PIECES = (
    "two",
    "hundred",
    "and",
    "a half",
    "point",
    "no",
    "3D",
    "1/2",
    "\u00bd",
    "1e999",
    "m",
    "cm",
)
PIECES += ("1e-999999999", "1_0", "\u0661", ".", ",", "-", "+", "e", "inf", "nan", "12", " ", "\n")


@settings(max_examples=300)
@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)))
def test_any_text_is_a_finite_number_or_none(text):
    for parse in (numerals.parse_number, numerals.first_token):
        value = parse(text)
        assert value is None or np.isfinite(float(value))
    score, _ = answers.score_answer(text, "12.5", "number")
    assert 0 <= score <= 1


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), ("2.5 m", 2.5), ("5. There are five.", 5), ("two", None), ("about 5", None)],
)
def test_first_token(text, value):
    assert numerals.first_token(text) == value


def test_mean_relative_accuracy_by_hand():
    assert answers.mean_relative_accuracy(10, 10) == 1
    assert answers.mean_relative_accuracy(9, 10) == 0.9
    assert answers.mean_relative_accuracy(15, 10) == 0.1
    assert answers.mean_relative_accuracy(15.1, 10) == 0
    assert answers.mean_relative_accuracy(0, 0) == 1
    assert answers.mean_relative_accuracy(0.1, 0) == 0
    assert answers.mean_relative_accuracy(None, 3) == 0
    assert [float(theta) for theta in answers.THETAS] == pytest.approx(np.linspace(0.5, 0.95, 10))


@pytest.mark.parametrize(
    ("answer", "truth", "value"),
    # An error of exactly 1 - theta passes: of 0.1, nine tolerances; of 0.05, all ten.
    [("2.2", "2.0", 0.9), ("1.8", "2", 0.9), ("0.315", "0.3", 1.0), ("1.05", "1", 1.0)]
    # The smallest step beyond it fails.
    + [("2.2000001", "2.0", 0.8), ("0.3150000001", "0.3", 0.9), ("4.5", "3", 0.1), ("0", "0", 1.0)],
)
def test_relative_errors_are_compared_exactly(answer, truth, value):
    question = {"answer": truth, "answer_kind": "number"}
    comparison = answers.AnswerComparison(question, answer)
    assert comparison.scored == (value, True)
    assert comparison.first_token_accuracy == value


@given(st.integers(0, 4000), st.integers(1, 2000), st.integers(0, 3))
def test_accuracy_equals_a_count_in_whole_numbers(p, g, places):
    # 1[20 |p - g| <= (20 - k) g] over k = 10 ... 19, in integers of the last decimal.
    wanted = sum(20 * abs(p - g) <= (20 - k) * g for k in range(10, 20)) / 10
    texts = [f"{number / 10**places:.{places}f}" for number in (p, g)]
    assert answers.score_answer(texts[0], texts[1], "number") == (wanted, True)


def test_numbers_that_are_none_score_nothing():
    for value in (float("nan"), float("inf"), -float("inf")):
        assert answers.mean_relative_accuracy(value, 3) == 0
    with pytest.raises(ValueError, match="not a number"):
        answers.mean_relative_accuracy(1, "many")


def test_the_strict_parser_is_a_metric_of_its_own():
    question = {"answer": "5", "answer_kind": "number"}
    for answer, ours, strict in (("5 chairs", 1, 1), ("There are 5", 1, 0), ("five", 1, 0)):
        comparison = answers.AnswerComparison(question, answer)
        assert (comparison.scored[0], comparison.first_token_accuracy) == (ours, strict)
    assert answers.AnswerComparison(question, None).first_token_accuracy == 0


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
