"""Answers from the wording of a question: linear models on its sentence embedding."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from baselines.answers import Question, all_whole, answer_splits, write_number
from baselines.contract import Context

DESCRIPTION = "Sentence embedding of the question, logistic regression or ridge on the log"
PRODUCES = ("answers",)
DEFAULT_REASON = "looks at no scene"

SMALLEST = 1e-2  # numbers are clipped here before the logarithm
RIDGE_STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)


class NumberModel:
    """Ridge regression of the answer's logarithm; leave-one-out error sets its strength."""

    def __init__(self, features: np.ndarray, answers: list[str]) -> None:
        from sklearn.linear_model import RidgeCV

        values = np.array([float(answer) for answer in answers])
        self.whole = all_whole(answers)
        self.model = RidgeCV(RIDGE_STRENGTHS).fit(features, np.log(np.maximum(values, SMALLEST)))
        self.parameters = features.shape[1] + 1

    def answer(self, features: np.ndarray, choices: list[list[str]]) -> list[str]:
        """Return one number for each row of `features` [Q, D]; `choices` is not used."""
        return [write_number(value, self.whole) for value in np.exp(self.model.predict(features))]


class WordModel:
    """Multinomial logistic regression over the training answers of one question type."""

    def __init__(self, features: np.ndarray, answers: list[str]) -> None:
        from sklearn.linear_model import LogisticRegression

        self.labels = sorted(set(answers))
        self.model = None
        if len(self.labels) > 1:
            # Embeddings have unit length, so the penalty is weak. Answer score on val, mean over
            # types: 0.535 for C = 1, 0.539 for 10, 0.538 for 100.
            self.model = LogisticRegression(C=10.0, max_iter=300).fit(features, answers)
        self.parameters = (features.shape[1] + 1) * len(self.labels)

    def answer(self, features: np.ndarray, choices: list[list[str]]) -> list[str]:
        """Return the most likely answer for each row of `features` [Q, D], from its choices if any.

        A choice that was never a training answer has likelihood 0; the first one wins a tie.
        """
        if self.model is None:
            likelihoods = np.ones((len(features), 1))
        else:
            likelihoods = self.model.predict_proba(features)
        answers = []
        for row, options in zip(likelihoods, choices, strict=True):
            known = dict(zip(self.labels, row, strict=True))
            answers.append(max(options or self.labels, key=lambda option: known.get(option, 0.0)))
        return answers


class TextOnly:
    """One model for each (question type, kind of answer).

    Args:
        embedding: maps Q sentences to f32[Q, D].
        questions: training questions by type.
    """

    def __init__(
        self,
        embedding: Callable[[list[str]], np.ndarray],
        questions: dict[str, list[dict[str, Any]]],
    ) -> None:
        self.embedding, self.models = embedding, {}
        for kind, rows in questions.items():
            for answer_kind in sorted({row["answer_kind"] for row in rows}):
                used = [row for row in rows if row["answer_kind"] == answer_kind]
                features = embedding([row["text"] for row in used])
                family = NumberModel if answer_kind == "number" else WordModel
                answers = [row["answer"] for row in used]
                self.models[kind, answer_kind] = family(features, answers)
        self.parameters = sum(model.parameters for model in self.models.values())

    def answers(self, questions: Sequence[Question]) -> Iterator[tuple[int, str]]:
        """Yield (row, answer) for each question, one model after the other.

        Questions without a model get the first choice, or 1.
        """
        groups: dict[tuple[str, str], list[int]] = defaultdict(list)
        for row, question in enumerate(questions):
            groups[question[2], question[3]].append(row)
        for key, rows in groups.items():
            choices = [questions[row][4] for row in rows]
            answers = [(options or ["1"])[0] for options in choices]
            if key in self.models:
                features = self.embedding([questions[row][1] for row in rows])
                answers = self.models[key].answer(features, choices)
            yield from zip(rows, answers, strict=True)


def predict(context: Context) -> None:
    """Fit on train, answer every question of every split."""
    text = context.need("text")

    def embedding(sentences: list[str]) -> np.ndarray:
        return text.gather(sentences, length=1).pooled

    answer_splits(context, partial(TextOnly, embedding))
