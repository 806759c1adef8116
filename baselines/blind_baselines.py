"""Score answers given without seeing the scene, on each split.

Run with `python -m baselines.blind_baselines --data data --out FILE.csv`.

Measured on every sentence of `data/`, the captured rooms' included where they were built, before
rendering drops what is not seen. The figures stand in the data sheet, so that a score can be read.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from baselines.majority.method import Majority
from baselines.text_only.method import fit
from g2vlm.scenes.layout.recipes import REAL_ROOMS
from metrics.files import InputError, atomic_path, read_lines, run_main
from metrics.language.answers import score_answer

COLUMNS = ("split", "guess", "type", "score")
OVERALL = "overall"
# What train's own questions are answered by: fits on the other scenes, each left out once.
FOLDS = 5
Questions = dict[str, list[dict[str, Any]]]
Answer = Callable[[str, list[dict[str, Any]]], list[str]]


def main() -> int:
    """Measure and write; `InputError` ends it with one line and status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m baselines.blind_baselines", description=__doc__
    )
    parser.add_argument("--data", default="data", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    write_guesses(args.out, measure(args.data))
    print(f"{args.out}: what guessing reaches on {args.data}/")
    return 0


def measure(data: Path) -> list[tuple[str, str, str, float]]:
    """Return (split, guess, question type or `overall`, score 0..1) rows.

    text_only and majority are fitted on train, and what they reach on train itself is found by
    leaving out a fifth of its scenes at a time; a type's score is the mean over its questions, the
    overall one the mean over types. `same class at random` picks among a scene's objects of the
    target's class: its mean over references with one target.
    """
    scenes, lines = _read(data)
    by_split: dict[str, Questions] = defaultdict(lambda: defaultdict(list))
    picks: dict[str, list[float]] = defaultdict(list)
    for number, line in enumerate(lines):
        scene = scenes[line["scene"]]
        for question in line["questions"]:
            asked = question | {"fold": number % FOLDS}
            by_split[scene["split"]][question["type"]].append(asked)
        picks[scene["split"]] += _picks(scene, line)
    if "train" not in by_split:
        raise InputError(f"{data}/scenes.jsonl: no split train to fit on; build the data again")
    states = _embed([q["text"] for types in by_split.values() for q in sum(types.values(), [])])
    rows = []
    for guess, fitted in (
        ("text_only", lambda train: _text_only(train, states)),
        ("majority", _majority),
    ):
        answer = fitted(by_split["train"])
        for split, types in by_split.items():
            scores = _held_out(types, fitted) if split == "train" else _scores(answer, types)
            means = {name: float(np.mean(found)) for name, found in scores.items()}
            rows += [(split, guess, name, value) for name, value in means.items()]
            rows.append((split, guess, OVERALL, float(np.mean(list(means.values())))))
    rows += [(s, "same class at random", "ref_pick", float(np.mean(v))) for s, v in picks.items()]
    return rows


def _read(data: Path) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Return {id: recipe} and the lines of language of every split that was built."""
    folders = [data, data / REAL_ROOMS] if (data / REAL_ROOMS).is_dir() else [data]
    recipes = [scene for folder in folders for scene in read_lines(folder / "scenes.jsonl")]
    lines = [line for folder in folders for line in read_lines(folder / "language.jsonl")]
    return {scene["id"]: scene for scene in recipes}, lines


def _picks(scene: dict[str, Any], line: dict[str, Any]) -> list[float]:
    classes = [item["class"] for item in scene["objects"]]
    count = Counter(classes)
    targets = [r["targets"] for r in line["references"] if len(r["targets"]) == 1]
    return [1 / count[classes[target]] for (target,) in targets]


def _scores(answer: Answer, questions: Questions) -> dict[str, list[float]]:
    """Scores 0..1 of a guesser's answers, by type."""
    found = {}
    for name, rows in questions.items():
        pairs = zip(answer(name, rows), rows, strict=True)
        found[name] = [score_answer(a, q["answer"], q["answer_kind"])[0] for a, q in pairs]
    return found


def _held_out(train: Questions, fitted: Callable[[Questions], Answer]) -> dict[str, list[float]]:
    """Scores by type of training questions, each answered by a fit without its fold of scenes."""
    found: dict[str, list[float]] = defaultdict(list)
    for fold in range(FOLDS):
        rest = {name: [q for q in rows if q["fold"] != fold] for name, rows in train.items()}
        left_out = {name: [q for q in rows if q["fold"] == fold] for name, rows in train.items()}
        for name, scores in _scores(fitted(rest), left_out).items():
            found[name] += scores
    return found


def _majority(train: Questions) -> Answer:
    model = Majority(train)
    return lambda name, rows: [model.answer(name, q["answer_kind"], q["choices"]) for q in rows]


def _text_only(train: Questions, states: dict[str, np.ndarray]) -> Answer:
    def embedding(sentences: list[str]) -> np.ndarray:
        return np.stack([states[sentence] for sentence in sentences])

    models = fit(train, embedding)

    def answer(name: str, rows: list[dict[str, Any]]) -> list[str]:
        out = [""] * len(rows)
        for kind in {row["answer_kind"] for row in rows}:
            places = [place for place, row in enumerate(rows) if row["answer_kind"] == kind]
            features = embedding([rows[place]["text"] for place in places])
            choices = [rows[place]["choices"] for place in places]
            found = models[name, kind].answer(features, choices)
            for place, word in zip(places, found, strict=True):
                out[place] = word
        return out

    return answer


def _embed(texts: list[str], batch: int = 256) -> dict[str, np.ndarray]:
    """Return the unit mean of each sentence's token states, by the default text encoder."""
    from g2vlm.features.text_encoders import TextEncoder

    encoder, found = TextEncoder(), {}
    texts = sorted(set(texts))
    numbers = encoder.tokens(texts)
    order = sorted(range(len(texts)), key=lambda row: len(numbers[row]))
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        for row, state in zip(rows, encoder.states([numbers[r] for r in rows]), strict=True):
            mean = state.float().mean(0)
            found[texts[row]] = (mean / mean.norm()).numpy()
    return found


def write_guesses(path: Path, rows: list[tuple[str, str, str, float]]) -> None:
    """Write the rows of `measure` as CSV, scores to two digits."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([*row[:3], f"{row[3]:.2f}"] for row in rows)


if __name__ == "__main__":
    run_main(main)
