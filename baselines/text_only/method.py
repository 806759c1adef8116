"""Answers from the wording of a question: linear models on its sentence embedding."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from baselines.answers import all_whole, training_questions, write_number
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


def fit(
    questions: dict[str, list[dict[str, Any]]], embedding: Callable[[list[str]], np.ndarray]
) -> dict[tuple[str, str], Any]:
    """Fit one model for each (question type, kind of answer).

    Args:
        questions: training questions by type.
        embedding: maps Q sentences to f32[Q, D].
    """
    models: dict[tuple[str, str], Any] = {}
    for kind, rows in questions.items():
        for answer_kind in sorted({row["answer_kind"] for row in rows}):
            used = [row for row in rows if row["answer_kind"] == answer_kind]
            features = embedding([row["text"] for row in used])
            family = NumberModel if answer_kind == "number" else WordModel
            models[kind, answer_kind] = family(features, [row["answer"] for row in used])
    return models


def predict(context: Context) -> None:
    """Fit on train, answer every question of every split."""
    text, train = context.need("text"), context.need("train")

    def embedding(sentences: list[str]) -> np.ndarray:
        return text.gather(sentences, length=1).pooled

    start = time.perf_counter()
    models = fit(training_questions(train), embedding)
    fit_seconds = time.perf_counter() - start
    for split, scenes in context.splits.items():
        with context.writer(split, fit_seconds) as writer:
            writer.cost["parameters"] = sum(model.parameters for model in models.values())
            groups: dict[tuple[str, str], list[tuple[str, Any]]] = {}
            for scene in scenes.ids:
                for question in scenes.inputs(scene).questions:
                    groups.setdefault((question[2], question[3]), []).append((scene, question))
            for key, items in groups.items():
                _answer_group(writer, models.get(key), embedding, items)


def _answer_group(
    writer: Any,
    model: Any,
    embedding: Callable[[list[str]], np.ndarray],
    items: list[tuple[str, Any]],
) -> None:
    """Answer the questions of one type; without a model the first choice, or 1."""
    if model is None:
        answers = [(question[4] or ["1"])[0] for _, question in items]
    else:
        features = embedding([question[1] for _, question in items])
        answers = model.answer(features, [question[4] for _, question in items])
    for (scene, question), answer in zip(items, answers, strict=True):
        writer.answer(scene, question[0], answer)
