"""Scores of answers that ignore the scene, on each split, for the data sheet.

Run with `python -m baselines.blind_baselines --data data --out FILE.csv`.

All sentences of `data/` count, also those that rendering removes later because no view shows their
objects, and those of the captured rooms if they were built.
"""

import argparse
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from baselines.blind_probes import (
    BEST_CONSTANT,
    TRAIN_FOLDS,
    Fit,
    Questions,
    WordProbe,
    answers_of,
    blind_fits,
    cross_validated,
    score_answers,
)
from g2vlm.scenes.real import REAL_ROOMS
from metrics.files import InputError, atomic_path, read_lines, run_main

COLUMNS = ("split", "baseline", "type", "score")
OVERALL = "overall"
CONSTANT = "best_constant"


def main() -> None:
    """Measure all splits and write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m baselines.blind_baselines", description=__doc__
    )
    parser.add_argument("--data", default="data", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    write_scores(args.out, measure(args.data))
    print(f"{args.out}: scores of the blind baselines on {args.data}/")


def measure(data: Path) -> list[tuple[str, str, str, float]]:
    """Return rows (split, baseline, question type or "overall", score from 0 to 1).

    The best constant answer and every blind probe are fitted on train; their scores on train itself
    are cross-validated over its scenes. The score of a type is the mean over its questions, the
    overall score the mean over types. "same class at random" picks an object of the target's class;
    its score is the mean over references with one target.

    Raises:
        InputError: the data has no split train.
    """
    scenes, lines = _read(data)
    by_split: dict[str, Questions] = defaultdict(lambda: defaultdict(list))
    picks: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        scene = scenes[line["scene"]]
        for question in line["questions"]:
            by_split[scene["split"]][question["type"]].append(question | {"scene": scene["id"]})
        # The chance of a random object of the right class to be the target.
        classes = [item["class"] for item in scene["objects"]]
        count = Counter(classes)
        targets = [r["targets"] for r in line["references"] if len(r["targets"]) == 1]
        picks[scene["split"]] += [1 / count[classes[target]] for (target,) in targets]
    if "train" not in by_split:
        raise InputError(f"{data}/scenes.jsonl: no split train to fit on; build the data again")
    states = embed([q["text"] for types in by_split.values() for q in sum(types.values(), [])])

    def embedding(sentences: list[str]) -> np.ndarray:
        return np.stack([states[sentence] for sentence in sentences])

    rows = []
    fits: dict[str, Fit] = {CONSTANT: partial(WordProbe, BEST_CONSTANT)} | blind_fits(embedding)
    for baseline, fit in fits.items():
        model = fit(by_split["train"])
        for split, types in by_split.items():
            if split == "train":
                found = cross_validated(types, fit, TRAIN_FOLDS)
            else:
                found = score_answers(types, answers_of(model, types))
            means = {name: float(np.mean(values)) for name, values in found.items()}
            rows += [(split, baseline, name, value) for name, value in means.items()]
            rows.append((split, baseline, OVERALL, float(np.mean(list(means.values())))))
    rows += [(s, "same class at random", "ref_pick", float(np.mean(v))) for s, v in picks.items()]
    return rows


def _read(data: Path) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Return {id: recipe} and the rows of language of every split that was built."""
    folders = [data, data / REAL_ROOMS] if (data / REAL_ROOMS).is_dir() else [data]
    recipes = [scene for folder in folders for scene in read_lines(folder / "scenes.jsonl")]
    lines = [line for folder in folders for line in read_lines(folder / "language.jsonl")]
    return {scene["id"]: scene for scene in recipes}, lines


def embed(texts: list[str]) -> dict[str, np.ndarray]:
    """Return the normalized mean of each sentence's token states, by the default text encoder."""
    from g2vlm.features.text_encoders import TextEncoder

    texts, embeddings = sorted(set(texts)), {}
    for row, state in TextEncoder().states_by_length(texts, batch=256):
        mean = state.float().mean(0)
        embeddings[texts[row]] = (mean / mean.norm()).numpy()
    return embeddings


def write_scores(path: Path, rows: list[tuple[str, str, str, float]]) -> None:
    """Write the rows of `measure` as CSV, scores to two digits."""
    table = pd.DataFrame(rows, columns=COLUMNS)
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.2f", lineterminator="\n")


if __name__ == "__main__":
    run_main(main)
