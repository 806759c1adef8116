"""What an image-text model is asked, and what is read out of its replies."""

from __future__ import annotations

import doctest

import pytest

from baselines.hf_vlm import method, replies
from baselines.hf_vlm.method import CAPTION, UNITS, question_prompt
from baselines.hf_vlm.replies import parse_reply
from metrics.language.answers import score_answer

SIDES = ["left", "right", "front", "behind"]
PAIR = ["brown cabinet", "cabinet"]
NUMBERS = ("count", *UNITS)
CHOICES = {
    "relative_distance": PAIR,
    "relative_direction": SIDES,
    "existence": ["yes", "no"],
    "spatial_relation": ["yes", "no"],
}


@pytest.mark.parametrize("module", [method, replies])
def test_the_examples_hold(module) -> None:
    done = doctest.testmod(module)
    assert done.attempted and not done.failed


@pytest.mark.parametrize("kind", [*NUMBERS, *CHOICES])
def test_each_question_type_is_asked_with_its_form(kind: str) -> None:
    choices = CHOICES.get(kind, [])
    answer_kind = "choice" if choices else "number"
    prompt = question_prompt("What now?", kind, answer_kind, choices, 3)
    assert "3 pictures" in prompt and "What now?" in prompt
    assert all(choice in prompt for choice in choices)
    assert UNITS.get(kind, "") in prompt
    assert ("whole number" in prompt) == (kind == "count")
    # The reply of a model that follows the prompt is parsed as meant.
    reply = choices[0] if choices else "3"
    assert parse_reply(reply, kind, answer_kind, choices) == reply


def test_a_caption_is_asked_for_without_a_question() -> None:
    caption = CAPTION.format(count=4)
    assert "4 pictures" in caption and "{" not in caption


@pytest.mark.parametrize(
    ("reply", "kind", "answer"),
    [
        ("about three", "count", "3"),
        ("3 chairs", "count", "3"),
        ("There are 12.", "count", "12"),
        ("**3**", "count", "3"),
        ("３", "count", "3"),
        ("3\ufe0f\u20e3", "count", "3"),
        ("I cannot be sure, but 4", "count", "4"),
        ("In picture 2 I see a sofa. Answer: 5", "count", "5"),
        ("7 is my answer", "count", "7"),
        ("<think>1, 2, 3</think>\n4", "count", "4"),
        ("the cat sits on two chairs", "count", "2"),
        ("1,250", "object_size", "1250"),
        ("12,5", "room_size", "12.5"),
        ("12.5 m²", "room_size", "12.5"),
        ("about 200 square feet", "room_size", "18.5806"),
        ("250 cm", "absolute_distance", "2.5"),
        ("2 m 50 cm", "absolute_distance", "2.5"),
        ("2 m 50 cm", "object_size", "250"),
        ("twenty-five cm", "absolute_distance", "0.25"),
        ("2.5 metres", "absolute_distance", "2.5"),
        ("five feet", "absolute_distance", "1.524"),
        ("1.2 m", "object_size", "120"),
        ("60 inches", "object_size", "152.4"),
        ("2 in the room", "object_size", "2"),
        ("80 met with", "object_size", "80"),
        ("900 millimetres", "object_size", "90"),
        ("I can't tell", "count", None),
        ("I can\u2019t tell", "count", None),
        ("I don't see one", "count", None),
        ("It is not clear which one", "count", None),
        ("many", "count", None),
        ("", "count", None),
        ("   \n", "count", None),
        ("🪑🪑🪑", "count", None),
        ("-3", "count", None),
        ("1e999", "count", None),
        ("nan", "count", None),
        ("<think>so 3, or 4", "count", None),
    ],
)
def test_numbers(reply: str, kind: str, answer: str | None) -> None:
    assert parse_reply(reply, kind, "number", []) == answer


@pytest.mark.parametrize(
    ("reply", "choices", "answer"),
    [
        ("Left.", SIDES, "left"),
        ("It is on the LEFT side", SIDES, "left"),
        ("in front of it", SIDES, "front"),
        ("not left, right", SIDES, "right"),
        ("Yes, there is no lamp on the left", ["yes", "no"], "yes"),
        ("No", ["yes", "no"], "no"),
        ("The brown cabinet", PAIR, "brown cabinet"),
        ("The cabinet", PAIR, "cabinet"),
        ("The brown cabinet is nearer than the cabinet.", PAIR, "brown cabinet"),
        ("the larger of 2 beds", ["larger of the two beds", "desk"], "larger of the two beds"),
        ("left or right", SIDES, None),
        ("left/right", SIDES, None),
        ("the cabinet and the brown cabinet", PAIR, None),
        ("It isn't left", SIDES, None),
        ("neither", SIDES, None),
        ("No idea", ["yes", "no"], None),
        ("nothing", ["yes", "no"], None),
        ("I can't tell", ["yes", "no"], None),
        ("12,5", SIDES, None),
        ("", SIDES, None),
        ("🙂", SIDES, None),
        ("<think>left", SIDES, None),
    ],
)
def test_choices(reply: str, choices: list[str], answer: str | None) -> None:
    assert parse_reply(reply, "relative_direction", "choice", choices) == answer


@pytest.mark.parametrize(
    ("reply", "answer"),
    [("The dining-table.", "dining table"), ("yes", "yes"), ("", None), ("🙂", None),
     ("I believe that this is a lamp", None)],
)  # fmt: skip
def test_words(reply: str, answer: str | None) -> None:
    assert parse_reply(reply, "existence", "word", []) == answer


def test_a_reply_without_an_answer_scores_zero_as_unparsed() -> None:
    assert score_answer(parse_reply("who knows?", "count", "number", []) or "", "3", "number") == (
        0.0,
        False,
    )
    assert score_answer("", "left", "choice") == (0.0, False)
