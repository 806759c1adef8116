"""Prompts for an image-text model: the question, and the required form of its answer."""

from collections.abc import Sequence

# Units of the answers to question types, as stated in the questions.
UNITS = {
    "absolute_distance": "metres",
    "object_size": "centimetres",
    "room_size": "square metres",
}
VIEWS = "These {count} pictures show one room, first as the first camera sees it."
CAPTION = f"{VIEWS} Describe the room in two sentences: its furniture, with numbers and colours."


def question_prompt(
    text: str, kind: str, answer_kind: str, choices: Sequence[str], count: int
) -> str:
    """Return the prompt of a question of type `kind` about `count` pictures.

    >>> print(question_prompt("Is there a bed?", "existence", "choice", ["yes", "no"], 4))
    These 4 pictures show one room, first as the first camera sees it. Is there a bed? Answer with \
exactly one of these: yes, no.
    """
    if choices:
        form = f"exactly one of these: {', '.join(choices)}"
    elif answer_kind != "number":
        form = "one word and nothing else"
    elif kind in UNITS:
        form = f"one number, in {UNITS[kind]}, and nothing else"
    else:
        form = "one whole number and nothing else"
    return f"{VIEWS.format(count=count)} {text} Answer with {form}."


def caption_prompt(count: int) -> str:
    """Return the prompt for a caption of `count` pictures."""
    return CAPTION.format(count=count)
