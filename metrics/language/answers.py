"""Answers to questions: exact match for words and choices, mean relative accuracy for numbers.

Numbers are compared in exact arithmetic: 2.2 is off from 2.0 by a tenth, as its decimals say, and
not by the binary fraction next to it. Units are not converted: a question names its own.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any

from metrics.chance import Annotation, ChanceValue, by_subset, hit
from metrics.language.numerals import ONES, TENS, exact, first_token, parse_number
from metrics.metric import Comparison, Metric

# Tolerances of mean relative accuracy: 0.50, 0.55, ..., 0.95.
THETAS = tuple(Fraction(step, 20) for step in range(10, 20))
VSI_BENCH = (
    "Yang et al. 2024 (VSI-Bench); differs from VSI-Bench in exact arithmetic (its paper writes <, "
    "its code loses errors of exactly 1-theta to binary fractions)"
)
_ARTICLES = frozenset({"a", "an", "the"})
_DIGITS = {word: str(number) for number, word in enumerate((*ONES, TENS[0]))}


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


def mean_relative_accuracy(answer: Fraction | float | None, truth: Fraction | float | str) -> float:
    """Return the mean over `THETAS` of 1[|p - g| / |g| <= 1 - theta], in exact arithmetic.

    Args:
        answer: p, where a float means the decimal that it is printed as; None, NaN and infinity
            are wrong.
        truth: g; where it is 0 only 0 is right.

    Raises:
        ValueError: the truth is not a number.

    Source: Yang et al. 2024 (VSI-Bench); differs from VSI-Bench, whose paper writes < and whose
        code compares binary fractions, so that an error of exactly 1 - theta may fail.

    Example:
        >>> mean_relative_accuracy(11.0, 10.0), mean_relative_accuracy(16.0, 10.0)
        (0.9, 0.0)
    """
    p, g = None if answer is None else exact(answer), exact(truth)
    if g is None:
        raise ValueError(f"{truth!r} is not a number")
    if p is None:
        return 0.0
    return sum(abs(p - g) <= (1 - theta) * abs(g) for theta in THETAS) / len(THETAS)


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
        return mean_relative_accuracy(value, truth), value is not None
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

    @property
    def first_token_accuracy(self) -> float:
        """Mean relative accuracy of the answer's first word, which must be a number in digits."""
        return mean_relative_accuracy(first_token(self.answer or ""), self.question["answer"])


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
        query_mean=True,
        optional=True,
        chance=_choices_by_chance,
    ),
    _metric(
        "answer_mra",
        lambda question: question.scored[0],
        applies=lambda question: question.is_number,
        subsets=("all", "type"),
        description="mean over ten tolerances of 1[|p-g|/|g| <= 1-theta], theta 0.50, 0.55, ..., "
        "0.95, in exact arithmetic; p is the first number of the answer, in digits or words",
        source=VSI_BENCH,
        query_mean=True,
        optional=True,
    ),
    _metric(
        "answer_mra_first_token",
        lambda question: question.first_token_accuracy,
        applies=lambda question: question.is_number,
        subsets=("all", "type"),
        description="the same where p is the answer's first word, as VSI-Bench parses it: 0 unless "
        "that is a number in digits",
        source=VSI_BENCH,
        query_mean=True,
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
