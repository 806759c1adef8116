"""Scene recipes for an experiment with more scenes than the recipes in `data/`."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from g2vlm.scenes.real import REAL_ROOMS
from g2vlm.scenes.split_names import split_key
from metrics.files import atomic_path, read_json, read_lines, write_json


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
    from g2vlm.scenes.build import draw_scenes, write_rooms, write_scenes
    from g2vlm.scenes.layout.splits import SEED

    with atomic_path(out, folder=True) as folder:
        _share_models(Path(data), folder)
        models = read_models(folder / "models.csv")
        write_scenes(draw_scenes(models, synthetic_splits(splits)), models, folder, SEED)
        if splits.get(REAL_ROOMS):
            write_rooms(folder, splits[REAL_ROOMS])


def write_sealed_recipes(
    data: str | Path, out: str | Path, sealed: Mapping[str, Any], seed: int
) -> list[str]:
    """Draw the rooms of the sealed test into a folder with the layout of `data`.

    Args:
        data: folder with `models.csv`, `sources/` and the rooms whose models are not sealed.
        out: the folder to write.
        sealed: the experiment's section `sealed`.
        seed: of the opened seal.

    Returns:
        The classes of furniture that are not sealed.

    Raises:
        InputError: `data` is not built, or its table of models is damaged.
    """
    from g2vlm.scenes.assets.catalog import read_models
    from g2vlm.scenes.build import write_scenes
    from g2vlm.scenes.layout.settings import TwoZones
    from g2vlm.scenes.sealed import draw_sealed, sealed_models, unsealed_classes

    with atomic_path(out, folder=True) as folder:
        _share_models(Path(data), folder)
        models = read_models(folder / "models.csv")
        unseen = sealed_models(models, read_lines(Path(data, "scenes.jsonl")))
        counts = {split_key(split): count for split, count in sealed["splits"].items()}
        scenes = draw_sealed(models, unseen, counts, TwoZones(**sealed["two_zones"]), seed)
        stats = write_scenes(scenes, models, folder, seed)
        lists = {name: list(split.objects) for name, split in stats.splits.items()}
        not_sealed = unsealed_classes(models, unseen)
        models_of = {"sealed": sorted(unseen), "classes_not_sealed": not_sealed}
        write_json(folder / "splits.json", {"scenes": lists, "models": models_of})
    return not_sealed


def _share_models(data: Path, folder: Path) -> None:
    """Link the sources of `data` into a folder of recipes and copy the table of models."""
    os.symlink(Path(data, "sources").resolve(), folder / "sources")
    shutil.copyfile(Path(data, "models.csv"), folder / "models.csv")


def synthetic_splits(splits: Mapping[str, int]) -> dict[str, int]:
    """Return the numbers of scenes by the splits' keys, without the captured rooms."""
    return {split_key(split): count for split, count in splits.items() if split != REAL_ROOMS}
