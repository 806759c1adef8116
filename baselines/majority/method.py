"""The most frequent training answer of each question type; for numbers the training median."""

import statistics
import time
from collections import Counter

from baselines.answers import all_whole, training_questions, write_number
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


def predict(context: Context) -> None:
    """Fit on train, answer every question of every split."""
    start = time.perf_counter()
    model = Majority(training_questions(context.need("train")))
    fit_seconds = time.perf_counter() - start
    for split, scenes in context.splits.items():
        with context.writer(split, fit_seconds) as writer:
            for scene in scenes.ids:
                for name, _, kind, answer_kind, choices in scenes.inputs(scene).questions:
                    writer.answer(scene, name, model.answer(kind, answer_kind, choices))
