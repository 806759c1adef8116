"""Scene recipes for an experiment with more scenes than the recipes in `data/`."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from g2vlm.scenes.real import REAL_ROOMS
from metrics.files import atomic_path, read_json


def enough_recipes(data: str | Path, splits: Mapping[str, int]) -> bool:
    """Return whether `data` has the scenes of every synthetic split, or is not built yet."""
    path = Path(data, "splits.json")
    if not path.exists():
        return True
    scenes = read_json(path)["scenes"]
    wanted = synthetic_splits(splits)
    return all(len(scenes.get(split, [])) >= count for split, count in wanted.items())


def write_recipes(data: str | Path, out: str | Path, splits: Mapping[str, int]) -> None:
    """Sample scenes with the models of `data` into a folder with the layout of `data`.

    Args:
        data: folder with `models.csv` and `sources/`, which is linked, not copied.
        out: the folder to write.
        splits: number of scenes by split.

    Raises:
        InputError: the table of classes is damaged.
    """
    from g2vlm.scenes.assets.catalog import read_models
    from g2vlm.scenes.build import write_rooms, write_scenes

    with atomic_path(out, folder=True) as folder:
        os.symlink(Path(data, "sources").resolve(), folder / "sources")
        shutil.copyfile(Path(data, "models.csv"), folder / "models.csv")
        write_scenes(read_models(folder / "models.csv"), synthetic_splits(splits), folder)
        if splits.get(REAL_ROOMS):
            write_rooms(folder, splits[REAL_ROOMS])


def synthetic_splits(splits: Mapping[str, int]) -> dict[str, int]:
    """Return the splits without the captured rooms."""
    return {split: count for split, count in splits.items() if split != REAL_ROOMS}
