"""Recipes for experiments that are larger than the one whose recipes `data/` holds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from metrics.files import atomic_path, read_json

ROOMS = "real_rooms"


def held(data: str | Path, splits: Mapping[str, int]) -> bool:
    """Whether `data` holds enough scenes of every drawn split (or is not built yet)."""
    path = Path(data, "splits.json")
    if not path.exists():
        return True
    scenes = read_json(path)["scenes"]
    return all(len(scenes.get(split, [])) >= count for split, count in drawn(splits).items())


def write_recipes(data: str | Path, out: str | Path, splits: Mapping[str, int]) -> None:
    """Draw `splits` scenes over the models of `data` into a folder laid out like `data`.

    The sources are linked, not copied. Raises `InputError` for a damaged class table.
    """
    from g2vlm.scenes.assets.catalog import read_models
    from g2vlm.scenes.build import draw_and_describe, write_rooms

    with atomic_path(out, folder=True) as folder:
        os.symlink(Path(data, "sources").resolve(), folder / "sources")
        shutil.copyfile(Path(data, "models.csv"), folder / "models.csv")
        draw_and_describe(read_models(folder / "models.csv"), drawn(splits), folder)
        if splits.get(ROOMS):
            write_rooms(folder, splits[ROOMS])


def drawn(splits: Mapping[str, int]) -> dict[str, int]:
    """Return the splits whose scenes are drawn: all but the captured rooms."""
    return {split: count for split, count in splits.items() if split != ROOMS}
