"""Questions even their answers out over what their words show."""

from __future__ import annotations

from collections import Counter, defaultdict

from g2vlm.scenes.language.answer_balancing import Draft, Ledger
from g2vlm.scenes.language.question_templates import MAKERS


def draft(answer: str, *keys: str, outcomes: int = 2) -> Draft:
    clues = tuple(((key,), answer, outcomes) for key in keys)
    return Draft("existence", {}, answer, "choice", ["yes", "no"], [], clues)


def test_what_was_asked_less_comes_first():
    ledger = Ledger()
    yes, no = draft("yes", "chair"), draft("no", "chair")
    assert ledger.evenest([yes, no]) == [yes, no], "equals keep their order"
    ledger.enter(yes)
    assert ledger.evenest([yes, no]) == [no, yes]
    ledger.enter(no)
    ledger.enter(no)
    assert ledger.evenest([no, yes]) == [yes, no]


def test_excess_is_the_lead_over_an_even_share_summed_over_clues():
    ledger = Ledger()
    for answer in ("left", "left", "front"):
        ledger.enter(draft(answer, "bed", "bed and lamp", outcomes=4))
    # 4 * 2 - 3 for each of two clues; an unseen clue adds nothing.
    assert ledger.excess(draft("left", "bed", "bed and lamp", outcomes=4)) == 10
    assert ledger.excess(draft("behind", "bed", "sofa", outcomes=4)) == -3


def test_the_first_scenes_of_a_split_do_not_depend_on_the_rest(drawn):
    from g2vlm.scenes.language.generate import describe

    ledger = Ledger()
    train = [place for place, r in enumerate(drawn.recipes) if r["split"] == "train"]
    lines = [
        describe(drawn.recipes[k], drawn.models, drawn.pixels[k], ledger=ledger) for k in train
    ]
    again = Ledger()
    for k, line in zip(train[:3], lines[:3], strict=True):
        found = describe(drawn.recipes[k], drawn.models, drawn.pixels[k], ledger=again)
        assert found["questions"] == line["questions"]


def test_answers_are_even_within_a_type_and_within_a_class(drawn):
    ledger = Ledger()
    from g2vlm.scenes.language.generate import describe

    answers: dict[str, Counter] = defaultdict(Counter)
    for recipe, pixels in zip(drawn.recipes, drawn.pixels, strict=True):
        for row in describe(recipe, drawn.models, pixels, ledger=ledger)["questions"]:
            answers[row["type"]][row["answer"]] += 1
    assert set(answers) == set(MAKERS)
    yes_no = answers["existence"]
    assert abs(yes_no["yes"] - yes_no["no"]) <= 2
    counts = answers["count"]
    assert max(counts.values()) <= 0.55 * sum(counts.values())
