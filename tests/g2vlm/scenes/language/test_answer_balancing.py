"""Questions are chosen so that their words do not give the answers away."""

from __future__ import annotations

from collections import Counter, defaultdict

from g2vlm.scenes.language.answer_balancing import AnswerBalance, Clue, QuestionCandidate
from g2vlm.scenes.language.generate import generate_language
from g2vlm.scenes.language.question_templates import QUESTION_TYPES
from g2vlm.scenes.language.templates import QUESTIONS


def candidate(
    answer: str, *keys: str, outcomes: int = 2, strict: bool = False
) -> QuestionCandidate:
    clues = tuple(Clue((key,), answer, outcomes, strict) for key in keys)
    return QuestionCandidate("existence", {}, answer, ["yes", "no"], [], clues)


def test_the_rarer_answer_comes_first():
    balance = AnswerBalance()
    yes, no = candidate("yes", "chair"), candidate("no", "chair")
    assert balance.ranked([yes, no]) == [yes, no], "ties keep their order"
    balance.record(yes)
    assert balance.ranked([yes, no]) == [no, yes]
    balance.record(no)
    balance.record(no)
    assert balance.ranked([no, yes]) == [yes, no]


def test_excess_is_the_lead_over_an_even_share_summed_over_clues():
    balance = AnswerBalance()
    for answer in ("left", "left", "front"):
        balance.record(candidate(answer, "bed", "bed and lamp", outcomes=4))
    # 4 * 2 - 3 for each of two clues; an unseen clue adds nothing.
    assert balance.excess(candidate("left", "bed", "bed and lamp", outcomes=4)) == 10
    assert balance.excess(candidate("behind", "bed", "sofa", outcomes=4)) == -3


def test_a_strict_clue_is_asked_of_nothing_until_every_outcome_was_offered():
    balance = AnswerBalance()
    one = candidate("1", "bed", strict=True)
    assert balance.ranked([one]) == balance.ranked([one]) == []
    two = candidate("2", "bed", strict=True)
    assert balance.ranked([two]) == [two], "the outcome that scenes offer least often"
    assert balance.ranked([one]) == [], "the other one only follows it"
    balance.record(two)
    assert balance.ranked([one]) == [one]


def test_outcomes_of_a_strict_clue_stay_even_whatever_scenes_offer():
    balance, asked = AnswerBalance(), Counter()
    for scene in range(300):
        outcomes = "1112"[scene % 4] + ("3" if scene % 9 == 0 else "")
        pool = [candidate(outcome, "chair", outcomes=3, strict=True) for outcome in outcomes]
        for row in balance.ranked(pool)[:1]:
            balance.record(row)
            asked[row.answer] += 1
    assert asked["3"] > 20
    assert max(asked.values()) - min(asked.values()) <= 1


def test_the_first_scenes_of_a_split_do_not_depend_on_the_rest(drawn):
    balance = AnswerBalance()
    train = [place for place, r in enumerate(drawn.recipes) if r["split"] == "train"]
    lines = [
        generate_language(drawn.recipes[k], drawn.models, drawn.pixels[k], balance=balance)
        for k in train
    ]
    again = AnswerBalance()
    for k, line in zip(train[:3], lines[:3], strict=True):
        found = generate_language(drawn.recipes[k], drawn.models, drawn.pixels[k], balance=again)
        assert found["questions"] == line["questions"]


def test_answers_are_even_within_a_type_and_within_a_class(drawn):
    balance = AnswerBalance()
    answers: dict[str, Counter] = defaultdict(Counter)
    for recipe, pixels in zip(drawn.recipes, drawn.pixels, strict=True):
        for row in generate_language(recipe, drawn.models, pixels, balance=balance)["questions"]:
            answers[row["type"]][row["answer"]] += 1
    assert set(answers) == set(QUESTION_TYPES)
    yes_no = answers["existence"]
    assert abs(yes_no["yes"] - yes_no["no"]) <= 2
    counts = answers["count"]
    assert max(counts.values()) <= 0.55 * sum(counts.values())


def test_no_question_names_the_room():
    """A kitchen has a cooker and is small: the room's name would give answers away."""
    assert not any("{room}" in text for texts in QUESTIONS.values() for text in texts)
