"""The blind probes: what they find in the words, and that folds keep scenes apart."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from baselines.blind_probes import (
    BEST_CONSTANT,
    COMMON,
    PROBES,
    BestProbe,
    WordProbe,
    answers_in_folds,
    answers_of,
    candidate_scores,
    cross_validated,
)
from baselines.majority.method import Majority
from metrics.language.answers import score_answer


def asked(text: str, answer: str, choices: tuple[str, ...] = (), scene: int = 0) -> dict:
    kind = "choice" if choices else "number"
    return {
        "id": "q",
        "text": text,
        "answer": answer,
        "answer_kind": kind,
        "choices": list(choices),
        "scene": f"room-{scene}",
    }


def telling(count: int = 3 * COMMON) -> list[dict]:
    """Bees are always there and wasps never."""
    animals = [("bee", "yes"), ("wasp", "no"), ("bee", "yes")]
    return [
        asked(f"Is there a {animal} in the room?", answer, ("yes", "no"), k)
        for k in range(count)
        for animal, answer in [animals[k % 3]]
    ]


@pytest.mark.parametrize("name", PROBES)
def test_every_probe_finds_a_telling_word(name):
    questions = {"existence": telling()}
    model = WordProbe(PROBES[name], questions)
    asked_again = {"existence": [asked("Can you see a wasp?", "no", ("yes", "no"))]}
    assert answers_of(model, asked_again) == {"existence": ["no"]}
    assert (
        np.mean(cross_validated(questions, partial(WordProbe, PROBES[name]), 5)["existence"]) == 1
    )


@pytest.mark.parametrize("name", PROBES)
def test_every_probe_finds_an_option_that_is_always_right(name):
    """The choices differ from question to question; cups are always nearer, listed first or not."""
    others = ["lamp", "plant", "desk", "rug", "vase"]
    rows = []
    for k in range(80):
        pair = ("cup", others[k % 5]) if k % 2 else (others[k % 5], "cup")
        rows.append(asked(f"Which is nearer: {pair[0]} or {pair[1]}?", "cup", pair, k))
    scores = cross_validated({"nearer": rows}, partial(WordProbe, PROBES[name]), 5)["nearer"]
    assert np.mean(scores) > 0.95


@pytest.mark.parametrize("name", PROBES)
def test_every_probe_finds_the_number_that_goes_with_a_word(name):
    sizes = {"sofa": "200", "cup": "10", "chair": "90"}
    words = list(sizes)
    rows = [
        asked(f"How long is the {words[k % 3]}?", sizes[words[k % 3]], (), k) for k in range(60)
    ]
    assert (
        np.mean(cross_validated({"size": rows}, partial(WordProbe, PROBES[name]), 5)["size"]) == 1
    )


def test_the_best_constant_ignores_words_and_maximises_the_score():
    numbers = ["1", "10", "10.4", "10.8", "100"]
    rows = [asked(f"number {k}", text) for k, text in enumerate(numbers)]
    given = answers_of(WordProbe(BEST_CONSTANT, {"size": rows}), {"size": rows})["size"]

    def mean(answer: str) -> float:
        return float(np.mean([score_answer(answer, text, "number")[0] for text in numbers]))

    assert len(set(given)) == 1 and mean(given[0]) == max(map(mean, numbers))
    words = telling()
    given = answers_of(WordProbe(BEST_CONSTANT, {"existence": words}), {"existence": words})
    assert set(given["existence"]) == {"yes"}


def test_the_best_constant_of_named_choices_is_a_place():
    names = [("red", "blue"), ("tea", "milk"), ("cat", "dog"), ("sun", "rain")]
    rows = [asked(f"{a} or {b}?", b if k else a, (a, b)) for k, (a, b) in enumerate(names)]
    given = answers_of(WordProbe(BEST_CONSTANT, {"choice": rows}), {"choice": rows})["choice"]
    assert given == ["blue", "milk", "dog", "rain"]


def test_folds_never_show_a_probe_the_answers_of_the_same_scene():
    """Every scene has a word of its own, so only its own answers could tell."""
    rows = [
        asked(f"Is word{k} here?", ["yes", "no"][k % 2], ("yes", "no"), k)
        for k in range(60)
        for _ in range(2)
    ]
    scores = cross_validated({"x": rows}, partial(WordProbe, PROBES["word_forest"]), 6)["x"]
    assert np.mean(scores) < 0.7
    whole = answers_of(WordProbe(PROBES["word_ridge"], {"x": rows}), {"x": rows})["x"]
    assert whole == [row["answer"] for row in rows], "a fit on these scenes knows them"


def test_answers_in_folds_keep_the_order_of_the_questions():
    rows = [asked("?", "7", (), scene) for scene in (2, 0, 1, 2, 0)]
    rows[3]["answer"] = "9"
    answers = answers_in_folds({"count": rows}, Majority, 3)["count"]
    assert answers == ["7", "8", "8", "7", "8"] or answers[0] == answers[3] == "7"


def test_the_best_probe_is_chosen_for_each_type_on_train():
    questions = {
        "existence": telling(),
        "count": [asked(f"How many? {k % 7}", str(k % 2 + 1), (), k) for k in range(40)],
    }
    fits = {"majority": Majority, "words": partial(WordProbe, PROBES["word_ridge"])}
    model = BestProbe(fits, questions)
    assert model.chosen["existence"] == "words"
    answers = answers_of(model, {"existence": questions["existence"][:2]})
    assert answers["existence"] == ["yes", "no"]
    # A type that no training room has a question of gets the first choice, or 1.
    unseen = {"colour": [asked("Which?", "red", ("blue", "red"))], "size": [asked("How big?", "9")]}
    assert answers_of(model, unseen) == {"colour": ["blue"], "size": ["1"]}


def test_candidate_scores_are_those_of_the_metric():
    answers, candidates = ["2", "3.5", "0.8", "40"], ["1", "2.2", "3.15", "4", "38", "60"]
    table = candidate_scores(answers, candidates, number=True)
    for row, true in enumerate(answers):
        for column, given in enumerate(candidates):
            assert table[row, column] == pytest.approx(score_answer(given, true, "number")[0])
    assert candidate_scores(["a", "b"], ["b"], number=False).tolist() == [[0], [1]]
