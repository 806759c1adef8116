"""Build `data/`: sources, reviewed tables, recipes, language, lists of splits and datasheets."""

import csv
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from g2vlm.scenes.assets import sources
from g2vlm.scenes.assets.catalog import REVIEWED, ModelRow, open_catalog, read_models
from g2vlm.scenes.assets.classes import KINDS
from g2vlm.scenes.datasheet import DatasetStats, attribution, datasheet, rooms_datasheet
from g2vlm.scenes.language.answer_balancing import AnswerBalance
from g2vlm.scenes.language.generate import generate_language
from g2vlm.scenes.layout.furnish import furnish
from g2vlm.scenes.layout.recipes import Layout, draw_recipe, group_models
from g2vlm.scenes.layout.splits import COUNTS, SEED, swap_recipe
from g2vlm.scenes.real import FOLDER, REAL_ROOMS
from g2vlm.scenes.real.layout import captured_recipes
from g2vlm.scenes.real.source import CAPTURES, WITHOUT, fetch_rooms
from metrics.files import InputError, atomic_path, line_writer, write_json, write_lines

EXCLUDED = REVIEWED.with_name("excluded.csv")
BLIND_BASELINES = REVIEWED.with_name("blind_baselines.csv")


def build(
    out: Path,
    furniture: str | None = None,
    counts: dict[str, int] | None = None,
    rooms: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Build a data folder, whole or not at all.

    The captured rooms have files of their own, so all other files are the same without them.

    Args:
        out: the folder.
        furniture: folder with the catalogs; None fetches them.
        counts: scenes by split; None takes those of the cpu experiment.
        rooms: folder or archive with the captured rooms; None fetches them, "none" leaves them out.
        progress: called with (scenes done, scenes in all).

    Raises:
        InputError: a source is missing or corrupt, or a reviewed table is wrong.
    """
    counts = counts or COUNTS
    with atomic_path(out, folder=True) as folder:
        sources.fetch(folder / "sources", furniture)
        if rooms != WITHOUT:
            fetch_rooms(folder / FOLDER, rooms)
        for name in sources.CATALOGS:
            open_catalog(folder / "sources" / "furniture" / f"{name}.sh3f").close()
        for table in (REVIEWED, EXCLUDED):
            shutil.copyfile(table, folder / table.name)
        models = read_models(folder / "models.csv")
        scenes = draw_scenes(models, counts)
        stats = write_scenes(scenes, models, folder, SEED, progress, sum(counts.values()))
        sides = {
            side: sorted(name for name, row in models.items() if row.side == side)
            for side in ("train", "held")
        }
        scenes = {name: list(split.objects) for name, split in stats.splits.items()}
        write_json(folder / "splits.json", {"scenes": scenes, "models": sides})
        (folder / "ATTRIBUTION.md").write_text(attribution(models), encoding="utf-8")
        with open(BLIND_BASELINES, encoding="utf-8", newline="") as handle:
            scores = list(csv.DictReader(handle))
        (folder / "DATASHEET.md").write_text(datasheet(stats, models, scores), encoding="utf-8")
        if rooms != WITHOUT:
            write_rooms(folder, len(CAPTURES))


def write_scenes(
    scenes: Iterable[tuple[dict[str, Any], np.ndarray]],
    models: dict[str, ModelRow],
    folder: Path,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    total: int = 0,
) -> DatasetStats:
    """Write scenes.jsonl and language.jsonl of synthetic scenes, and return their counts.

    Lines are written scene by scene, so that memory does not grow with the number of scenes.

    Args:
        scenes: their recipes and estimated pixels int64 [8, N].
        models: the reviewed table.
        folder: where to write.
        seed: of the sentences.
        progress: called with (scenes done, `total`).
    """
    stats, balances = DatasetStats(), defaultdict(AnswerBalance)
    with (
        line_writer(folder / "scenes.jsonl") as write_scene,
        line_writer(folder / "language.jsonl") as write_language,
    ):
        for done, (recipe, pixels) in enumerate(scenes, 1):
            balance = balances[recipe["split"]]
            line = generate_language(recipe, models, pixels, seed, balance)
            write_scene(recipe)
            write_language(line)
            stats.add(recipe, pixels, line, models)
            if progress:
                progress(done, total)
    return stats


def write_rooms(folder: Path, count: int) -> None:
    """Write recipes, language and datasheet of the first captured rooms.

    Args:
        folder: the data folder, which holds the captures.
        count: of rooms.
    """
    scenes, language, stats, balance = [], [], DatasetStats(), AnswerBalance()
    for recipe, pixels in captured_recipes(folder, count, SEED):
        scenes.append(recipe)
        language.append(generate_language(recipe, {}, pixels, balance=balance))
        stats.add(recipe, pixels, language[-1], {})
    out = folder / REAL_ROOMS
    out.mkdir()
    write_lines(out / "scenes.jsonl", scenes)
    write_lines(out / "language.jsonl", language)
    (out / "DATASHEET.md").write_text(rooms_datasheet(scenes, stats), encoding="utf-8")


def draw_scenes(
    models: dict[str, ModelRow], counts: dict[str, int], seed: int = SEED
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Yield the recipe of every synthetic scene, and the estimated pixels int64 [8, N].

    The last split, test_asset, repeats the first scenes of test_scene with held-out models.

    Args:
        models: the reviewed table.
        counts: scenes by split.
        seed: of the data.
    """
    if counts.get("test_asset", 0) > counts.get("test_scene", 0):
        raise InputError(
            "data.splits: dev_asset has more scenes than dev_scene, which it repeats with other "
            "models; lower its number"
        )
    pool = group_models(models, "train", lambda row: (row.cls, row.placement))
    layout = Layout(KINDS, partial(furnish, pool=pool))
    held = group_models(models, "held", lambda row: row.kind)
    for split in ("train", "val"):
        for number in range(counts.get(split, 0)):
            yield draw_recipe(split, number, layout, seed)
    with_held_out_models = partial(swap_recipe, models=models, held=held, split="test_asset")
    recipes = []
    for number in range(counts.get("test_scene", 0)):
        recipe, pixels = draw_recipe("test_scene", number, layout, seed, with_held_out_models)
        recipes.append(recipe)
        yield recipe, pixels
    yield from map(with_held_out_models, recipes[: counts.get("test_asset", 0)])
