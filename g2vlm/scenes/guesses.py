"""What can be guessed without a look: constants, the wording of a question, a class's objects.

The constants and the picker are counted in each build. What the wording gives away needs a text
encoder, whose last bits differ between machines, so its scores are measured once by

    python -m g2vlm.scenes guess --data data

which writes the reviewed table `text_only.csv`; a build copies it into the data sheet.
"""

from __future__ import annotations

import csv
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from g2vlm.scenes.recipes import REAL_ROOMS
from metrics.answers import score_answer
from metrics.files import InputError, atomic_path, read_lines, write_lines

TEXT_ONLY = Path(__file__).with_name("reviewed") / "text_only.csv"
ALL = "all"

Questions = dict[str, list[dict[str, Any]]]
Scores = dict[tuple[str, str], Fraction]


def questions_by_split(scenes: list[dict[str, Any]], language: list[dict[str, Any]]) -> Questions:
    """Return the questions of each split, in scene order."""
    found: Questions = {}
    for scene, line in zip(scenes, language, strict=True):
        found.setdefault(scene["split"], []).extend(line["questions"])
    return found


def majority(questions: Questions, train: list[dict[str, Any]]) -> Scores:
    """Score the commonest training answer of a type (for numbers the median) by (split, type)."""
    from baselines.majority.method import Majority

    model = Majority(_by_type(train))
    answers = {
        split: [model.answer(q["type"], q["answer_kind"], q["choices"]) for q in rows]
        for split, rows in questions.items()
    }
    return _scores(questions, answers)


def picker(scenes: list[dict[str, Any]], language: list[dict[str, Any]]) -> Scores:
    """Expected hits, by (split, form), of one who picks any object of the target's class.

    Over references of one target: the mean of 1 / (objects of its class in the scene).
    """
    chances = defaultdict(list)
    for scene, line in zip(scenes, language, strict=True):
        classes = [item["class"] for item in scene["objects"]]
        for reference in line["references"]:
            if reference["kind"] in ("unique", "multiple"):
                chance = Fraction(1, classes.count(classes[reference["targets"][0]]))
                for name in (ALL, reference["kind"]):
                    chances[scene["split"], name].append(chance)
    return {key: sum(rows) / len(rows) for key, rows in chances.items()}


def text_only(questions: Questions, train: list[dict[str, Any]]) -> Scores:
    """Score linear models on the sentence embedding, fitted on `train`, by (split, type)."""
    from baselines.text_only import method
    from g2vlm.features.encoders import encode_texts
    from g2vlm.features.readers import TextFeatures

    with tempfile.TemporaryDirectory() as folder:
        lines = [{"questions": rows} for rows in (train, *questions.values())]
        write_lines(Path(folder) / "questions.jsonl", lines)
        encode_texts([Path(folder) / "questions.jsonl"], folder)
        text = TextFeatures(folder)
    models = method.fit(_by_type(train), text)
    answers = {split: _answers(models, text, rows) for split, rows in questions.items()}
    return _scores(questions, answers)


def _answers(models: dict, text: Any, rows: list[dict[str, Any]]) -> list[str]:
    from baselines.text_only import method

    answers = [""] * len(rows)
    for key in sorted({(q["type"], q["answer_kind"]) for q in rows}):
        found = [k for k, q in enumerate(rows) if (q["type"], q["answer_kind"]) == key]
        features = method.embed(text, [rows[k]["text"] for k in found])
        said = models[key].answer(features, [rows[k]["choices"] for k in found])
        for k, answer in zip(found, said, strict=True):
            answers[k] = answer
    return answers


def _by_type(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["type"], []).append(row)
    return found


def _scores(questions: Questions, answers: dict[str, list[str]]) -> Scores:
    """Return the mean answer score by (split, type), type `all` over every question."""
    values = defaultdict(list)
    for split, rows in questions.items():
        for row, answer in zip(rows, answers[split], strict=True):
            score = score_answer(answer, row["answer"], row["answer_kind"])[0]
            for name in (ALL, row["type"]):
                # Scores are tenths: exact match is 0 or 1, relative accuracy has ten thresholds.
                values[split, name].append(Fraction(round(10 * score), 10))
    return {key: sum(rows) / len(rows) for key, rows in values.items()}


def percent(share: Fraction) -> str:
    """Return a share in percent with one decimal, halves up.

    >>> percent(Fraction(1, 3)), percent(Fraction(1, 2))
    ('33.3', '50.0')
    """
    whole = int(share * 1000 + Fraction(1, 2))
    return f"{whole // 10}.{whole % 10}"


def read_text_only() -> dict[tuple[str, str], str]:
    """Return the reviewed scores of `text_only`, in percent, by (split, type)."""
    with open(TEXT_ONLY, newline="", encoding="utf-8") as handle:
        return {(row["split"], row["type"]): row["percent"] for row in csv.DictReader(handle)}


def data_questions(data: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield (split, questions) of a data folder, those of its captured rooms last."""
    for folder in (data, data / REAL_ROOMS):
        if (folder / "language.jsonl").is_file():
            scenes = list(read_lines(folder / "scenes.jsonl"))
            found = questions_by_split(scenes, list(read_lines(folder / "language.jsonl")))
            yield from found.items()


def measure(data: Path, out: Path = TEXT_ONLY) -> None:
    """Measure `text_only` on a data folder and write the reviewed table."""
    questions = dict(data_questions(data))
    if "train" not in questions:
        raise InputError(f"{data}: no questions of split train; run `make data`")
    train = questions.pop("train")
    scores = text_only(questions, train)
    with atomic_path(out) as path, open(path, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(("split", "type", "percent"))
        writer.writerows((*key, percent(scores[key])) for key in sorted(scores))
