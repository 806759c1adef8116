"""Measure what the words of the questions give away: `python -m benchmarks.question_balance`.

Scenes are drawn with another seed than the data's and are not rendered. Every blind probe answers
each question, fitted on the other folds of the scenes. The table holds, for each type, the score of
the best constant answer, the best probe with its score, and the upper 95% bound of the difference:
a one-sided t bound over scenes. The bound must be at most `LARGEST_GAIN`.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from baselines.blind_baselines import embed
from baselines.blind_probes import (
    BEST_CONSTANT,
    Questions,
    WordProbe,
    answers_of,
    blind_fits,
    cross_validated,
    score_answers,
)
from metrics.files import run_main
from report.table import markdown_grid

FOLDS = 10
LARGEST_GAIN = 0.05


@dataclass(frozen=True)
class TypeBalance:
    """What the words of one type's questions give away.

    Attributes:
        kind: the question type.
        count: number of questions.
        constant: score of the best constant answer.
        probe: name of the probe with the largest upper bound.
        score: its score.
        bound: upper 95% bound of the probe's score minus the constant's.
    """

    kind: str
    count: int
    constant: float
    probe: str
    score: float
    bound: float


def main() -> int:
    """Print the table; return 1 if a type gives away too much."""
    from g2vlm.scenes.assets.catalog import read_models

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.question_balance", description=__doc__
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder (default: data)")
    parser.add_argument("--scenes", type=int, default=2600, help="to draw (default: 2600)")
    parser.add_argument("--seed", type=int, default=777, help="of the scenes (default: 777)")
    arguments = parser.parse_args()
    models = read_models(arguments.data / "models.csv")
    scenes = list(fresh_questions(models, arguments.scenes, arguments.seed))
    table = measure(scenes)
    print(
        markdown_grid(
            ["type", "questions", "best constant", "best probe", "its score", "upper bound", ""],
            [
                [
                    row.kind,
                    str(row.count),
                    f"{row.constant:.3f}",
                    row.probe,
                    f"{row.score:.3f}",
                    f"{row.bound:+.3f}",
                    "met" if row.bound <= LARGEST_GAIN else "NOT MET",
                ]
                for row in table
            ],
        )
    )
    return int(any(row.bound > LARGEST_GAIN for row in table))


def fresh_questions(
    models: dict[str, Any], count: int, seed: int
) -> Iterator[list[dict[str, Any]]]:
    """Yield the questions of scenes that are drawn with another seed than the data's.

    Args:
        models: the reviewed table.
        count: of scenes.
        seed: of the scenes.
    """
    from g2vlm.run.progress import Progress
    from g2vlm.scenes.build import draw_scenes
    from g2vlm.scenes.language.answer_balancing import AnswerBalance
    from g2vlm.scenes.language.generate import generate_language

    balance, progress = AnswerBalance(), Progress("scenes")
    for done, (recipe, pixels) in enumerate(draw_scenes(models, {"train": count}, seed), 1):
        yield generate_language(recipe, models, pixels, seed, balance)["questions"]
        progress(done, count)


def measure(scenes: list[list[dict[str, Any]]], folds: int = FOLDS) -> list[TypeBalance]:
    """Return what each question type gives away, from the questions of each scene."""
    questions: Questions = {}
    for number, rows in enumerate(scenes):
        for row in rows:
            questions.setdefault(row["type"], []).append(row | {"scene": number})
    states = embed([q["text"] for rows in questions.values() for q in rows])
    fits = blind_fits(lambda texts: np.stack([states[text] for text in texts]))
    # A constant has too little to overfit with. In folds, balanced answers would turn against it:
    # the commonest answer of nine folds is the rarest of the tenth.
    fitted = WordProbe(BEST_CONSTANT, questions)
    constant = score_answers(questions, answers_of(fitted, questions))
    probes = {name: cross_validated(questions, fit, folds) for name, fit in fits.items()}
    table = []
    for kind, rows in questions.items():
        groups = [q["scene"] for q in rows]
        gains = {name: np.subtract(found[kind], constant[kind]) for name, found in probes.items()}
        bounds = {name: upper_bound(gain, groups) for name, gain in gains.items()}
        name = max(bounds, key=lambda name: bounds[name])
        score, best = float(np.mean(probes[name][kind])), float(np.mean(constant[kind]))
        table.append(TypeBalance(kind, len(rows), best, name, score, bounds[name]))
    return table


def upper_bound(values: np.ndarray, groups: list[int], level: float = 0.95) -> float:
    """Return the one-sided upper bound of the mean of values, by a t interval over groups.

    The variance is that of a ratio of sums over groups, so groups may differ in size.

    Source: Cochran 1977, Sampling Techniques, section 6.4 (ratio estimate).
    """
    _, place = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(place, values), np.bincount(place)
    mean, count = float(sums.sum() / sizes.sum()), len(sizes)
    residuals = sums - mean * sizes
    error = np.sqrt(count / (count - 1) * (residuals**2).sum()) / sizes.sum()
    return mean + float(stats.t.ppf(level, count - 1) * error)


if __name__ == "__main__":
    run_main(main)
