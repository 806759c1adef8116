"""What the baselines that answer questions share: fit, answer and write; the form of numbers."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from baselines.contract import Context

# (id, text, question type, kind of answer, choices), as `SceneInputs.questions` holds them.
Question = tuple[str, str, str, str, list[str]]


def answer_splits(context: Context, fit: Callable[[dict[str, list[dict[str, Any]]]], Any]) -> None:
    """Fit a model on the training questions and write its answer to every question of every split.

    Args:
        context: the inputs of the run.
        fit: takes `training_questions` and returns a model with its number of `parameters` and
            `answers`, which takes a list of questions and yields (row, answer) in any order.
    """
    start = time.perf_counter()
    model = fit(training_questions(context.need("train")))
    fit_seconds = time.perf_counter() - start
    for split, scenes in context.splits.items():
        with context.writer(split, fit_seconds) as writer:
            writer.cost["parameters"] = model.parameters
            asked = [(scene, q) for scene in scenes.ids for q in scenes.inputs(scene).questions]
            for row, answer in model.answers([question for _, question in asked]):
                scene, question = asked[row]
                writer.answer(scene, question[0], answer)


def training_questions(train: Any) -> dict[str, list[dict[str, Any]]]:
    """Return the questions of a `SceneStore` with their `scene`, by type, in scene order."""
    by_type: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for scene in train.ids:
        for question in train.annotation(scene)["questions"]:
            by_type[question["type"]].append(question | {"scene": scene})
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
