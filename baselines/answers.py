"""Helpers of the baselines that answer questions: training questions and the form of numbers."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any


def training_questions(train: Any) -> dict[str, list[dict[str, Any]]]:
    """Return the questions of a `SceneStore` by question type, in scene order."""
    by_type: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for scene in train.ids:
        for question in train.annotation(scene)["questions"]:
            by_type[question["type"]].append(question)
    return dict(by_type)


def write_number(value: float, whole: bool) -> str:
    """Return a number as an answer, as an integer if the answers of its type are `whole`.

    >>> write_number(2.6, True), write_number(1.25, False)
    ('3', '1.25')
    """
    return str(max(round(value), 0)) if whole else f"{value:.4g}"


def all_whole(answers: Sequence[str]) -> bool:
    """Return whether every answer is an integer.

    >>> all_whole(["1", "12"]), all_whole(["1", "0.5"])
    (True, False)
    """
    return all(float(answer).is_integer() for answer in answers)
