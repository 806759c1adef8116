"""Blind probes: models that predict an answer from the words of its question alone.

What a probe can predict, a question gives away. The list is fixed: `PROBES` over word counts, then
`majority` and `text_only`, a linear model on the sentence embedding that stands for the trained
decoder without a scene, which would take a training of its own.

Every probe over words is a regression of one vector per question: the score that each candidate
answer would get. It answers with the candidate of the highest expected score, so it is fitted to
what is measured, for choices and numbers alike.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from baselines.answers import Question
from baselines.majority.method import Majority
from baselines.text_only.method import TextOnly
from metrics.language.answers import THETAS, score_answer

Questions = dict[str, list[dict[str, Any]]]
Fit = Callable[[Questions], Any]
# Choices that this many questions of a type share are candidates of their own ("yes", "no"); rarer
# ones name the objects of one question, so each of them is a candidate that is right or wrong.
COMMON = 30
# Relative errors that lie on a tolerance but for rounding count as within it.
ROUNDING = 1e-9
# Folds of the training scenes that choose the best probe of a type.
TRAIN_FOLDS = 5


@dataclass(frozen=True)
class Probe:
    """A regression over the words of a question.

    Attributes:
        regressor: returns an unfitted scikit-learn regressor for a number of training rows.
        ngrams: word sequences that are counted, (shortest, longest); (0, 0) counts no words.
        most_numbers: candidate numbers at most, evenly spaced in rank among the training answers.
    """

    regressor: Callable[[int], Any]
    ngrams: tuple[int, int]
    most_numbers: int


def _ridge(rows: int) -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=3.0, solver="cholesky")


def _forest(rows: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(
        50, min_samples_leaf=3, max_features="sqrt", bootstrap=True, random_state=0
    )


def _neighbours(rows: int) -> Any:
    from sklearn.neighbors import KNeighborsRegressor

    return KNeighborsRegressor(min(5, rows))


PROBES = {
    "word_ridge": Probe(_ridge, (1, 2), 64),
    "word_forest": Probe(_forest, (1, 1), 32),
    "nearest_question": Probe(_neighbours, (1, 1), 64),
}
BEST_CONSTANT = Probe(_ridge, (0, 0), 1000)


def blind_fits(embedding: Callable[[list[str]], np.ndarray]) -> dict[str, Fit]:
    """Return {name: fit} of every blind probe; a fit takes training questions by type.

    Args:
        embedding: maps Q sentences to f32[Q, D], for `text_only`.
    """
    fits: dict[str, Fit] = {name: partial(WordProbe, probe) for name, probe in PROBES.items()}
    return fits | {"majority": Majority, "text_only": partial(TextOnly, embedding)}


class WordProbe:
    """A probe, fitted for each question type and set of choices.

    Args:
        probe: which one.
        questions: training questions by type.
    """

    def __init__(self, probe: Probe, questions: Questions) -> None:
        counts = Counter(_choices(kind, q) for kind, rows in questions.items() for q in rows)
        self._common = {key for key, count in counts.items() if count >= COMMON}
        groups: dict[tuple[str, Any], list[dict[str, Any]]] = defaultdict(list)
        for kind, rows in questions.items():
            for row in rows:
                groups[self._group(kind, row["choices"])].append(row)
        self._models = {
            key: _CandidateModel(probe, rows, shared=key[1] is not None)
            for key, rows in groups.items()
        }
        self.parameters = sum(model.parameters for model in self._models.values())

    def _group(self, kind: str, choices: Sequence[str]) -> tuple[str, Any]:
        """Return the type and the shared choices, () for a number; None for choices of its own."""
        key = (kind, tuple(sorted(choices)))
        return key if not choices or key in self._common else (kind, None)

    def answers(self, questions: Sequence[Question]) -> Iterator[tuple[int, str]]:
        """Yield (row, answer) for each question; the first choice, or 1, without a model."""
        groups: dict[tuple[str, Any], list[int]] = defaultdict(list)
        for row, question in enumerate(questions):
            groups[self._group(question[2], question[4])].append(row)
        for key, rows in groups.items():
            asked = [questions[row] for row in rows]
            answers = [(question[4] or ["1"])[0] for question in asked]
            if key in self._models:
                answers = self._models[key].answer([q[1] for q in asked], [q[4] for q in asked])
            yield from zip(rows, answers, strict=True)


def _choices(kind: str, question: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    return kind, tuple(sorted(question["choices"]))


class _CandidateModel:
    """The expected score of every candidate answer to the questions of one group.

    Args:
        probe: which one.
        rows: training questions.
        shared: whether the candidates are answers that the questions share. If not, each choice of
            a question is a row of its own, and the one candidate is "this choice is right".
    """

    def __init__(self, probe: Probe, rows: list[dict[str, Any]], shared: bool) -> None:
        from sklearn.feature_extraction.text import CountVectorizer

        self.shared, self.candidates = shared, ["right"]
        texts, choices = [row["text"] for row in rows], [row["choices"] for row in rows]
        if shared:
            answers = [row["answer"] for row in rows]
            number = rows[0]["answer_kind"] == "number"
            self.candidates = _spread(answers, probe.most_numbers if number else len(answers))
            targets = candidate_scores(answers, self.candidates, number)
        else:
            right = [option == row["answer"] for row in rows for option in row["choices"]]
            targets = np.array(right, float)[:, None]
        self._words = probe.ngrams[1] > 0
        self._counter = CountVectorizer(
            ngram_range=probe.ngrams if self._words else (1, 1), token_pattern=r"[\w-]+"
        )
        counts = self._counter.fit_transform(self._rows(texts, choices)).toarray()
        self._model = probe.regressor(len(counts)).fit(
            counts, targets if targets.shape[1] > 1 else targets[:, 0]
        )
        self.parameters = counts.shape[1] * targets.shape[1]

    def _rows(self, texts: list[str], choices: list[list[str]]) -> list[str]:
        """Return the words to count, one text a question, or one a choice if none are shared."""
        if self.shared:
            return [text if self._words else "place0" for text in texts]
        rows = []
        for text, options in zip(texts, choices, strict=True):
            for place, option in enumerate(options):
                named = [f"option-{word}" for word in re.findall(r"\w+", option)]
                words = [text, *named] if self._words else []
                rows.append(" ".join([*words, f"place{place}"]))
        return rows

    def answer(self, texts: list[str], choices: list[list[str]]) -> list[str]:
        """Return the candidate of the highest expected score for each question."""
        counts = self._counter.transform(self._rows(texts, choices)).toarray()
        expected = np.asarray(self._model.predict(counts)).reshape(counts.shape[0], -1)
        if self.shared:
            return [self.candidates[column] for column in expected.argmax(1)]
        ends = np.cumsum([len(options) for options in choices])[:-1]
        parts = np.split(expected[:, 0], ends)
        return [o[int(part.argmax())] for o, part in zip(choices, parts, strict=True)]


def _spread(answers: list[str], most: int) -> list[str]:
    """Return at most `most` distinct answers, evenly spaced in rank; numbers by size."""
    distinct = sorted(set(answers), key=lambda text: (_value(text), text))
    if len(distinct) <= most:
        return distinct
    ordered = sorted(answers, key=_value)
    places = np.linspace(0, len(ordered) - 1, most).round().astype(int)
    return list(dict.fromkeys(ordered[place] for place in places))


def _value(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def candidate_scores(answers: list[str], candidates: list[str], number: bool) -> np.ndarray:
    """Return the score f64[Q, C] of each candidate for questions with these answers.

    Numbers get their mean relative accuracy, in floating point; words and choices an exact match.

    Example:
        >>> candidate_scores(["10", "20"], ["10", "11"], True).round(2).tolist()
        [[1.0, 0.9], [0.1, 0.1]]
    """
    if not number:
        return (np.array(answers)[:, None] == np.array(candidates)).astype(float)
    true, given = (np.array([float(text) for text in texts]) for texts in (answers, candidates))
    error = np.abs(given - true[:, None]) / np.maximum(np.abs(true[:, None]), ROUNDING)
    limits = np.array([float(1 - theta) for theta in THETAS])
    return (error[..., None] <= limits + ROUNDING).mean(-1)


class BestProbe:
    """For each question type, the probe with the highest cross-validated score.

    Args:
        fits: {name: fit} of the probes.
        questions: training questions by type, each with its `scene`.

    Attributes:
        chosen: {type: name of its probe}; of equally good probes the first.
    """

    def __init__(self, fits: dict[str, Fit], questions: Questions) -> None:
        found = {name: cross_validated(questions, fit, TRAIN_FOLDS) for name, fit in fits.items()}
        self.chosen = {
            kind: max(fits, key=lambda name: float(np.mean(found[name][kind])))
            for kind in questions
        }
        self._models = {
            name: fits[name]({k: rows for k, rows in questions.items() if self.chosen[k] == name})
            for name in dict.fromkeys(self.chosen.values())
        }
        self.parameters = sum(model.parameters for model in self._models.values())

    def answers(self, questions: Sequence[Question]) -> Iterator[tuple[int, str]]:
        """Yield (row, answer) for each question; the first choice, or 1, without a model."""
        rows_of: dict[str, list[int]] = defaultdict(list)
        for row, question in enumerate(questions):
            # Any probe answers a type that it was not fitted to in the same way.
            rows_of[self.chosen.get(question[2], next(iter(self._models)))].append(row)
        for name, rows in rows_of.items():
            for place, answer in self._models[name].answers([questions[row] for row in rows]):
                yield rows[place], answer


def answers_of(model: Any, questions: Questions) -> dict[str, list[str]]:
    """Return a fitted probe's answers by type, in the order of the questions."""
    found = {}
    for kind, rows in questions.items():
        asked = [(q["id"], q["text"], kind, q["answer_kind"], q["choices"]) for q in rows]
        answers = dict(model.answers(asked))
        found[kind] = [answers[row] for row in range(len(rows))]
    return found


def answers_in_folds(questions: Questions, fit: Fit, folds: int) -> dict[str, list[str]]:
    """Return the answers by type that fits on the other folds of the scenes give.

    Args:
        questions: by type, each with its `scene`; one scene's questions are in one fold.
        fit: of a probe.
        folds: their number; a type needs questions of two scenes.
    """
    scenes = dict.fromkeys(q["scene"] for rows in questions.values() for q in rows)
    fold_of = {scene: number % folds for number, scene in enumerate(scenes)}
    answers = {kind: [""] * len(rows) for kind, rows in questions.items()}
    for fold in sorted(set(fold_of.values())):
        held_out = {
            kind: [k for k, q in enumerate(rows) if fold_of[q["scene"]] == fold]
            for kind, rows in questions.items()
        }
        rest = {
            kind: [q for q in rows if fold_of[q["scene"]] != fold]
            for kind, rows in questions.items()
        }
        model = fit({kind: rows for kind, rows in rest.items() if rows})
        asked = {kind: [questions[kind][k] for k in places] for kind, places in held_out.items()}
        for kind, given in answers_of(model, asked).items():
            for place, answer in zip(held_out[kind], given, strict=True):
                answers[kind][place] = answer
    return answers


def score_answers(questions: Questions, answers: dict[str, list[str]]) -> dict[str, list[float]]:
    """Return the score of each answer, by type, in the order of the questions."""
    return {
        kind: [
            score_answer(answer, q["answer"], q["answer_kind"])[0]
            for answer, q in zip(answers[kind], rows, strict=True)
        ]
        for kind, rows in questions.items()
    }


def cross_validated(questions: Questions, fit: Fit, folds: int) -> dict[str, list[float]]:
    """Return the scores of `answers_in_folds`."""
    return score_answers(questions, answers_in_folds(questions, fit, folds))
