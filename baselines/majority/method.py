"""The most frequent training answer of each question type; for numbers the training median."""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator

from baselines.answers import Question, all_whole, answer_splits, write_number
from baselines.contract import Context

DESCRIPTION = "Commonest training answer by question type, training median for numbers"
PRODUCES = ("answers",)
DEFAULT_REASON = "looks at no scene"


class Majority:
    """Constant answers by question type.

    Attributes:
        counts: how often each word or choice was right in training, by type; ties go to the first
            in alphabetical order.
        median: the training median of the numbers of each type, as text.
    """

    parameters = 0

    def __init__(self, questions: dict[str, list[dict]]) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.median: dict[str, str] = {}
        for kind, rows in questions.items():
            numbers = [row["answer"] for row in rows if row["answer_kind"] == "number"]
            words = sorted(row["answer"] for row in rows if row["answer_kind"] != "number")
            self.counts[kind] = Counter(words)
            if numbers:
                middle = statistics.median(float(number) for number in numbers)
                self.median[kind] = write_number(middle, all_whole(numbers))

    def answer(self, kind: str, answer_kind: str, choices: list[str]) -> str:
        """Return the constant answer of a type, among the choices if there are any."""
        if answer_kind == "number":
            return self.median.get(kind, "1")
        counts = self.counts.get(kind, Counter())
        return max(choices or list(counts) or ["yes"], key=lambda option: counts[option])

    def answers(self, questions: Iterable[Question]) -> Iterator[tuple[int, str]]:
        """Yield (row, answer) for each question."""
        for row, (_, _, kind, answer_kind, choices) in enumerate(questions):
            yield row, self.answer(kind, answer_kind, choices)


def predict(context: Context) -> None:
    """Fit on train, answer every question of every split."""
    answer_splits(context, Majority)
