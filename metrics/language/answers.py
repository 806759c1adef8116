"""Answers to questions: exact match for words and choices, mean relative accuracy for numbers."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from metrics.chance import Annotation, ChanceValue, by_subset, hit
from metrics.metric import Comparison, Metric

# Tolerances of mean relative accuracy: 0.50, 0.55, ..., 0.95.
THETAS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
_ARTICLES = frozenset({"a", "an", "the"})
_DIGITS = {
    "zero": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
    "eleven": "11",
    "twelve": "12",
    "thirteen": "13",
    "fourteen": "14",
    "fifteen": "15",
    "sixteen": "16",
    "seventeen": "17",
    "eighteen": "18",
    "nineteen": "19",
    "twenty": "20",
}
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?")


def normalise(text: str) -> str:
    """Return an answer in the form in which answers are compared.

    Unicode NFKC, lower case, punctuation to spaces (a point between digits stays), no articles,
    number words up to twenty as digits, single spaces.

    Example:
        >>> normalise("  The Dining-table. "), normalise("Three"), normalise("2.50")
        ('dining table', '3', '2.50')
    """
    text = unicodedata.normalize("NFKC", text).lower()
    text = re.sub(r"(?<!\d)\.|\.(?!\d)|[^\w\s.]", " ", text)
    return " ".join(_DIGITS.get(word, word) for word in text.split() if word not in _ARTICLES)


def exact_match(answer: str, truth: str) -> float:
    """Return 1 if both answers are the same after `normalise`, else 0.

    Example:
        >>> exact_match("The chair.", "chair"), exact_match("a table", "chair")
        (1.0, 0.0)
    """
    return float(normalise(answer) == normalise(truth))


def parse_number(text: str) -> float | None:
    """Return the first number in an answer, digits or a word up to twenty; None without one.

    A comma between a digit and exactly three digits separates thousands; other commas are points.

    Example:
        >>> parse_number("about 2.5 m"), parse_number("three chairs"), parse_number("many")
        (2.5, 3.0, None)
    """
    text = unicodedata.normalize("NFKC", text).lower()
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text).replace(",", ".")
    number = _NUMBER.search(text)
    if number:
        return float(number.group())
    for word in re.findall(r"[a-z]+", text):
        if word in _DIGITS:
            return float(_DIGITS[word])
    return None


def mean_relative_accuracy(answer: float | None, truth: float) -> float:
    """Return the mean over `THETAS` of 1[|p - g| / |g| <= 1 - theta].

    Args:
        answer: p; None is wrong.
        truth: g; where it is 0 only 0 is right.

    Source: Yang et al. 2024 (VSI-Bench).

    Example:
        >>> mean_relative_accuracy(11.0, 10.0), mean_relative_accuracy(16.0, 10.0)
        (0.9, 0.0)
    """
    if answer is None:
        return 0.0
    if truth == 0:
        return float(answer == 0)
    error = abs(answer - truth) / abs(truth)
    # The slack lets an error of exactly 1 - theta pass in spite of binary fractions.
    return sum(error <= 1 - theta + 1e-9 for theta in THETAS) / len(THETAS)


def score_answer(answer: str | None, truth: str, kind: str) -> tuple[float, bool]:
    """Return an answer's score and whether it could be parsed.

    A missing or empty answer, or one without a number where a number is asked, cannot be parsed
    and scores 0.

    Args:
        answer: the prediction.
        truth: the true answer.
        kind: "number" is scored by MRA, "word" and "choice" by exact match.

    Example:
        >>> score_answer("two", "2", "number"), score_answer("many", "2", "number")
        ((1.0, True), (0.0, False))
    """
    if answer is None or not answer.strip():
        return 0.0, False
    if kind == "number":
        value = parse_number(answer)
        return mean_relative_accuracy(value, float(truth)), value is not None
    return exact_match(answer, truth), True


class AnswerComparison(Comparison):
    """The answer to one question next to the true one.

    Args:
        question: its annotation.
        answer: a string, or None without a usable one.
    """

    def __init__(self, question: dict[str, Any], answer: str | None) -> None:
        self.question, self.answer = question, answer

    @property
    def is_number(self) -> bool:
        """Whether the question asks for a number."""
        return bool(self.question["answer_kind"] == "number")

    @cached_property
    def scored(self) -> tuple[float, bool]:
        """What `score_answer` returns."""
        return score_answer(self.answer, self.question["answer"], self.question["answer_kind"])


def _choices_by_chance(annotations: Sequence[Annotation]) -> dict[str, ChanceValue]:
    """Return the score of a random choice, by the question types that always offer choices."""
    open_types = {
        question["type"]
        for line in annotations
        for question in line["questions"]
        if not question["choices"]
    }

    def queries(line: Annotation) -> Iterator[tuple[Sequence[str], ChanceValue]]:
        for question in line["questions"]:
            if question["type"] not in open_types:
                yield [question["type"]], hit(len(question["choices"]))

    return by_subset(annotations, queries)


def _metric(name: str, compute: Callable[[AnswerComparison], float], **more: Any) -> Metric:
    facts = {"family": "answers", "task": "answers", "input": "question"}
    return Metric(name=name, compute=compute, **(facts | more))


METRICS = (
    _metric(
        "answer_score",
        lambda question: question.scored[0],
        subsets=("type",),
        description="exact match for words and choices, MRA for numbers; mean over question types",
        source="this project",
    ),
    _metric(
        "answer_em",
        lambda question: question.scored[0],
        applies=lambda question: not question.is_number,
        subsets=("all", "type"),
        description="exact match of words and choices",
        source="this project",
        optional=True,
        chance=_choices_by_chance,
    ),
    _metric(
        "answer_mra",
        lambda question: question.scored[0],
        applies=lambda question: question.is_number,
        subsets=("all", "type"),
        description=f"mean over {len(THETAS)} tolerances of 1[|p-g|/|g| <= 1-theta], theta .50 to "
        ".95",
        source="Yang et al. 2024 (VSI-Bench)",
        optional=True,
    ),
    _metric(
        "answer_unparsed",
        lambda question: float(not question.scored[1]),
        higher_is_better=False,
        description="share of answers that are missing, empty, or hold no number where one is "
        "asked",
        source="this project",
    ),
)
