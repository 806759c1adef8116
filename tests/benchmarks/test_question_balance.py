"""The measurement of what words give away."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks import question_balance


def scenes(telling: bool) -> list[list[dict]]:
    random = np.random.default_rng(0)
    found = []
    for number in range(150):
        row = number % 2 if telling else int(random.integers(2))
        animal = ["bee", "wasp"][number % 2]
        question = {
            "id": "q00",
            "type": "existence",
            "text": f"Is there a {animal} in here?",
            "answer": ["yes", "no"][row],
            "answer_kind": "choice",
            "choices": ["yes", "no"],
        }
        found.append([question, question | {"id": "q01", "text": f"Can you find a {animal}?"}])
    return found


@pytest.fixture(autouse=True)
def embeddings(monkeypatch):
    def embed(texts):
        return {text: np.ones(2, np.float32) for text in texts}

    monkeypatch.setattr(question_balance, "embed", embed)


def test_a_telling_word_exceeds_the_bound():
    (row,) = question_balance.measure(scenes(telling=True), folds=5)
    assert row.count == 300 and row.constant < 0.6
    assert row.score == 1.0 and row.bound > 0.4


def test_words_without_information_gain_nothing():
    (row,) = question_balance.measure(scenes(telling=False), folds=5)
    assert row.bound < 0.15


def test_the_bound_is_a_t_interval_over_groups():
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(12), 3)
    values = random.normal(size=36)
    means = values.reshape(12, 3).mean(1)
    error = means.std(ddof=1) / np.sqrt(12)
    expected = means.mean() + stats.t.ppf(0.95, 11) * error
    assert question_balance.upper_bound(values, groups.tolist()) == pytest.approx(expected)
