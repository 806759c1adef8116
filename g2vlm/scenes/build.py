"""Build `data/`: sources, reviewed table, recipes, language, split lists and two sheets."""

from __future__ import annotations

import csv
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from g2vlm.scenes.assets import sources
from g2vlm.scenes.assets.catalog import ModelRow, open_catalog, read_models
from g2vlm.scenes.datasheet import Tally, attribution, datasheet, rooms_sheet
from g2vlm.scenes.language.answer_balancing import AnswerBalance
from g2vlm.scenes.language.generate import generate_language
from g2vlm.scenes.layout.recipes import REAL_ROOMS, draw_recipe, pool_of
from g2vlm.scenes.layout.splits import COUNTS, SEED, swap_recipe
from g2vlm.scenes.real.layout import draw_rooms
from g2vlm.scenes.real.source import CAPTURES, FOLDER, WITHOUT, bring_rooms
from metrics.files import InputError, atomic_path, line_writer, write_json, write_lines

REVIEWED = Path(__file__).parent / "assets" / "reviewed" / "models.csv"
EXCLUDED = REVIEWED.with_name("excluded.csv")
GUESSES = REVIEWED.with_name("guesses.csv")


def build(
    out: Path,
    furniture: str | None = None,
    counts: dict[str, int] | None = None,
    rooms: str | None = None,
) -> None:
    """Build a data folder whole or not at all; raises `InputError` naming what is at fault.

    furniture, rooms: where the sources are, None to fetch them; rooms "none" leaves the captured
    rooms out. What is theirs stands in files of its own, so all others are the same without them.
    """
    counts = counts or COUNTS
    with atomic_path(out, folder=True) as folder:
        sources.bring(folder / "sources", furniture)
        if rooms != WITHOUT:
            bring_rooms(folder / FOLDER, rooms)
        for name in sources.CATALOGS:
            open_catalog(folder / "sources" / "furniture" / f"{name}.sh3f").close()
        for table in (REVIEWED, EXCLUDED):
            shutil.copyfile(table, folder / table.name)
        models = read_models(folder / "models.csv")
        check_sides(models)
        tally = draw_and_describe(models, counts, folder)
        write_json(folder / "splits.json", split_lists(tally, models))
        (folder / "ATTRIBUTION.md").write_text(attribution(models), encoding="utf-8")
        sheet = datasheet(tally, models, read_guesses())
        (folder / "DATASHEET.md").write_text(sheet, encoding="utf-8")
        if rooms != WITHOUT:
            write_rooms(folder, len(CAPTURES))


def draw_and_describe(models: dict[str, ModelRow], counts: dict[str, int], folder: Path) -> Tally:
    """Write scenes.jsonl and language.jsonl of all scenes into `folder`; returns their counts.

    Scene by scene, so that memory does not grow with them; says on stderr how far it is.
    """
    tally, balances = Tally(), {split: AnswerBalance() for split in counts}
    with (
        line_writer(folder / "scenes.jsonl") as write_scene,
        line_writer(folder / "language.jsonl") as write_language,
    ):
        for recipe, pixels in progress(draw_all(models, counts), sum(counts.values())):
            balance = balances[recipe["split"]]
            line = generate_language(recipe, models, pixels, balance=balance)
            write_scene(recipe)
            write_language(line)
            tally.add(recipe, pixels, line, models)
    return tally


def read_guesses() -> list[dict[str, str]]:
    """Return the reviewed rows of guesses.csv: split, guess, type, score."""
    with open(GUESSES, encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def write_rooms(folder: Path, count: int) -> None:
    """Write recipes, language and sheet of the first captured rooms into `folder`/real_rooms."""
    scenes, language, tally, balance = [], [], Tally(), AnswerBalance()
    for recipe, pixels in draw_rooms(folder, count, SEED):
        scenes.append(recipe)
        language.append(generate_language(recipe, {}, pixels, balance=balance))
        tally.add(recipe, pixels, language[-1], {})
    (folder / REAL_ROOMS).mkdir()
    write_lines(folder / REAL_ROOMS / "scenes.jsonl", scenes)
    write_lines(folder / REAL_ROOMS / "language.jsonl", language)
    sheet = rooms_sheet(scenes, tally)
    (folder / REAL_ROOMS / "DATASHEET.md").write_text(sheet, encoding="utf-8")


def draw_all(
    models: dict[str, ModelRow], counts: dict[str, int], seed: int = SEED
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Yield (recipe, estimated pixels) of every scene; test_asset follows its test_scene twin."""
    if counts.get("test_asset", 0) > counts.get("test_scene", 0):
        raise InputError("data.splits: test_asset is larger than test_scene, whose twins it holds")
    pool = pool_of(models, "train")
    for split in ("train", "val"):
        for number in range(counts.get(split, 0)):
            yield draw_recipe(split, number, pool, seed)
    twins: list[dict[str, Any]] = []

    def twin(recipe: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray]:
        return swap_recipe(recipe, models)

    for number in range(counts.get("test_scene", 0)):
        recipe, pixels = draw_recipe("test_scene", number, pool, seed, twin)
        twins += [recipe] if number < counts.get("test_asset", 0) else []
        yield recipe, pixels
    for recipe in twins:
        yield twin(recipe)


def check_sides(models: dict[str, ModelRow]) -> None:
    """Raise `InputError` if a group of models straddles the split or a kind has one side only."""
    groups: dict[str, str] = {}
    sides: dict[tuple[str, str, bool], set[str]] = {}
    for row in models.values():
        if groups.setdefault(row.group, row.side) != row.side:
            raise InputError(f"models.csv: group {row.group} is on both sides; put it on one")
        sides.setdefault(row.kind, set()).add(row.side)
    for kind, found in sorted(sides.items()):
        if len(found) < 2:
            raise InputError(f"models.csv: {kind} is on one side only; move a group to the other")


def split_lists(tally: Tally, models: dict[str, ModelRow]) -> dict[str, Any]:
    """Return the scene ids of each split and the models of each side."""
    sides = {
        side: sorted(m for m in models if models[m].side == side) for side in ("train", "held")
    }
    return {"scenes": {name: split.ids for name, split in tally.splits.items()}, "models": sides}


def progress(rows: Iterator[Any], total: int) -> Iterator[Any]:
    """Pass rows on and say on stderr, each tenth of the way, how far the build is."""
    start = time.monotonic()
    for done, row in enumerate(rows, 1):
        yield row
        if done * 10 // total > (done - 1) * 10 // total:
            left = (time.monotonic() - start) / done * (total - done)
            line = f"data: {done}/{total} scenes ({100 * done // total}%), {left:.0f} s left"
            print(line, file=sys.stderr, flush=True)
