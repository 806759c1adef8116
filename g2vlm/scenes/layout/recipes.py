"""Scene recipes: everything that is needed to build a scene, in integers.

A recipe is a JSON object: room, light, objects, openings and cameras, with lengths in millimetres
(keys `..._mm`) and angles in degrees (`..._deg`), in the room's frame of `room_state`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from g2vlm.scenes.assets.catalog import ModelRow
from g2vlm.scenes.layout.cameras import (
    SEEN_PIXELS,
    VIEWS,
    Cameras,
    candidates,
    choose_cameras,
    pixel_estimate,
)
from g2vlm.scenes.layout.room_state import OBJECTS, Item, Room, largest_component, walkable
from g2vlm.scenes.real import REAL_ROOMS
from g2vlm.scenes.split_names import split_key
from metrics.constants import INPUT_VIEWS
from metrics.files import InputError, read_lines, rng

Key = TypeVar("Key")

# Layouts that are drawn for a scene before the best of them is taken.
ATTEMPTS = 60
# The share (%) of objects that some camera must see: of the input cameras, and of all.
COVERED_PERCENT = {INPUT_VIEWS: 85, VIEWS: 90}
# Least share (%) of the floor that is walkable, and of the walkable floor that is connected.
WALKABLE_PERCENT, CONNECTED_PERCENT = 15, 70
# Classes whose captured boxes carry things on their top.
CARRIERS = frozenset({"table", "cabinet"})
WALL_COLOURS = (
    (242, 238, 228),
    (230, 224, 210),
    (214, 222, 228),
    (222, 230, 216),
    (236, 222, 214),
    (208, 214, 222),
    (240, 232, 202),
    (220, 208, 196),
    (200, 212, 204),
    (232, 216, 224),
)
FLOORS = {
    "living": ("woodenFloor", "oldWoodenFloor", "stoneTiles"),
    "bedroom": ("woodenFloor", "oldWoodenFloor"),
    "office": ("woodenFloor", "greyTile", "oldWoodenFloor"),
    "kitchen": ("greyTile", "beigeTile", "redTiles", "stoneTiles"),
    "dining": ("woodenFloor", "redTiles", "oldWoodenFloor", "stoneTiles"),
    "bathroom": ("greyTile", "beigeTile", "stoneTiles"),
    "open_living": ("woodenFloor", "oldWoodenFloor", "stoneTiles"),
    "studio": ("woodenFloor", "oldWoodenFloor"),
    "open_office": ("woodenFloor", "greyTile", "oldWoodenFloor"),
    "loft": ("woodenFloor", "oldWoodenFloor", "greyTile"),
}


def group_models(
    models: Mapping[str, ModelRow], side: str, key: Callable[[ModelRow], Key]
) -> dict[Key, list[ModelRow]]:
    """Return the models of one side of the split, "train" or "held", by a key, sorted by name."""
    groups: dict[Key, list[ModelRow]] = {}
    for name in sorted(models):
        row = models[name]
        if row.side == side:
            groups.setdefault(key(row), []).append(row)
    return groups


class Layout(NamedTuple):
    """A layout grammar: its kinds of rooms in turns, and what draws a room of a kind."""

    kinds: tuple[str, ...]
    furnish: Callable[[str, np.random.Generator], Room]


def draw_recipe(
    split: str,
    number: int,
    layout: Layout,
    seed: int,
    twin: Callable[[dict], tuple[dict, np.ndarray]] | None = None,
) -> tuple[dict, np.ndarray]:
    """Draw the scene `split`-`number`.

    Layouts are drawn until the cameras see enough objects (`COVERED_PERCENT`); after `ATTEMPTS` the
    one that lacks least is taken.

    Args:
        split, number, seed: name the scene and its random generator.
        layout: the grammar, with the models to choose from.
        twin: makes the recipe's twin with other models; its cameras must see enough too.

    Returns:
        The recipe, and int64 [8, N]: estimated pixels of each object in each view.

    Raises:
        InputError: no layout was possible.
    """
    name = f"{split}-{number:04d}"
    generator = rng(seed, "scene", name)
    kind = layout.kinds[number % len(layout.kinds)]
    best: tuple[int, dict, np.ndarray] | None = None
    for _ in range(ATTEMPTS):
        room = layout.furnish(kind, generator)
        views = _views(room)
        if views is None:
            continue
        cameras, pixels = views
        missing = shortfall(pixels)
        recipe = {
            "id": name,
            "split": split,
            "pair": None,
            "kind": kind,
            "room": {
                "size_mm": list(room.size),
                "floor": FLOORS[kind][room.draw(0, len(FLOORS[kind]) - 1)],
                "wall_rgb": list(WALL_COLOURS[room.draw(0, len(WALL_COLOURS) - 1)]),
            },
            "light": _light(room),
            "objects": [object_fields(k, item) for k, item in enumerate(room.items)],
            "openings": room.openings,
            "cameras": camera_fields(cameras),
        }
        if twin and not missing:
            missing = shortfall(twin(recipe)[1])
        if best is None or missing < best[0]:
            best = (missing, recipe, pixels)
        if not missing:
            break
    if best is None:
        raise InputError(f"{name}: no layout was possible; choose another seed")
    return best[1], best[2]


def shortfall(pixels: np.ndarray) -> int:
    """Return by how many percentage points the seen objects fall short; pixels: int64 [8, N]."""
    return sum(
        max(0, least - seen_percent(pixels, count)) for count, least in COVERED_PERCENT.items()
    )


def seen_percent(pixels: np.ndarray, cameras: int) -> int:
    """Return the share (%) of objects that one of the first `cameras` sees, of int64 [8, N]."""
    seen = (pixels[:cameras] >= SEEN_PIXELS).any(0)
    return 100 * int(np.count_nonzero(seen)) // len(seen)


def _views(room: Room) -> tuple[Cameras, np.ndarray] | None:
    """Return eight cameras and their estimated pixels, or None if the room is not usable."""
    if not OBJECTS[0] <= len(room.items) <= OBJECTS[1]:
        return None
    free = walkable(room)
    count, connected = (np.count_nonzero(cells) for cells in (free, largest_component(free)))
    is_connected = 100 * connected >= CONNECTED_PERCENT * max(1, count)
    if not is_connected or 100 * count < WALKABLE_PERCENT * free.size:
        return None
    cameras = candidates(room)
    if cameras is None:
        return None
    pixels = pixel_estimate(cameras, room.items)
    order = choose_cameras(cameras, pixels)
    return None if order is None else (cameras.take(order), pixels[order])


def camera_fields(cameras: Cameras) -> list[dict[str, Any]]:
    """Return eight cameras as fields of a recipe, the inputs first."""
    return [
        {
            "position_mm": [int(v) for v in cameras.position[k]],
            "yaw_deg": int(cameras.yaw[k]),
            "pitch_deg": int(cameras.pitch[k]),
            "hfov_deg": cameras.hfov,
            "role": "input" if k < INPUT_VIEWS else "held_out",
        }
        for k in range(VIEWS)
    ]


def object_fields(index: int, item: Item) -> dict[str, Any]:
    """Return a placed item as an object of a recipe."""
    return {
        "index": index,
        "model": item.row.model,
        "class": item.row.cls,
        "colour": item.row.colour,
        "centre_mm": list(item.centre),
        "base_mm": item.base,
        "yaw_deg": item.yaw,
        "size_mm": list(item.size),
        "support": item.support,
    }


def _light(room: Room) -> dict[str, Any]:
    """Return lamps at ceiling lights and table lamps, at most four, and a drawn sun.

    A room without a ceiling light has a lamp under the middle of its ceiling.
    """
    lamps = []
    for item in room.items:
        if item.row.cls == "ceiling light":
            lamps.append([*item.centre, max(item.base - 60, 1500)])
        elif item.row.cls == "lamp":
            lamps.append([*item.centre, item.top + 60])
    if not any(i.row.cls == "ceiling light" for i in room.items):
        lamps.insert(0, [room.size[0] // 2, room.size[1] // 2, room.size[2] - 100])
    azimuth, elevation = room.draw(0, 359), room.draw(25, 65)
    return {"sun_azimuth_deg": azimuth, "sun_elevation_deg": elevation, "lamps_mm": lamps[:4]}


def items_of(recipe: dict, models: Mapping[str, ModelRow]) -> list[Item]:
    """Return the objects of a recipe as placed items; those of a captured room have no model."""
    return [
        Item(
            _captured_row(o) if "capture" in recipe else models[o["model"]],
            (o["centre_mm"][0], o["centre_mm"][1]),
            o["base_mm"],
            o["yaw_deg"],
            (o["size_mm"][0], o["size_mm"][1], o["size_mm"][2]),
            o["support"],
        )
        for o in recipe["objects"]
    ]


def _captured_row(item: dict) -> ModelRow:
    """Return a captured object as a model, without what a capture lacks: colour and front."""
    size = tuple(item["size_mm"])
    stands = "top" if item["support"] >= 0 else "floor" if item["base_mm"] == 0 else "wall"
    return ModelRow(
        model=item["model"],
        catalog="",
        path_in_zip="",
        cls=item["class"],
        colour="",
        size_mm=size,
        group=item["model"],
        side="held",
        placement=stands,
        carries_mm=size[2] if item["class"] in CARRIERS else -1,
        front=None,
        licence="MIT",
        creator="Meta Platforms",
    )


def cameras_of(recipe: dict) -> Cameras:
    """Return the cameras of a recipe as arrays."""
    rows = recipe["cameras"]
    return Cameras(
        np.array([c["position_mm"] for c in rows], np.int64),
        np.array([c["yaw_deg"] for c in rows], np.int64),
        np.array([c["pitch_deg"] for c in rows], np.int64),
        rows[0]["hfov_deg"],
    )


def load_recipes(data_dir: str | Path, split: str, limit: int | None = None) -> list[dict]:
    """Return the first `limit` recipes of a split (of its name, not its key), default all.

    Raises:
        InputError: the data folder lacks the split, or has fewer scenes of it.
    """
    path = _folder(data_dir, split) / "scenes.jsonl"
    if not path.exists() and split == REAL_ROOMS:
        raise InputError(
            f"{path}: the data was built without the captured rooms; run with ROOMS=none, or build "
            "them with `make data`"
        )
    rows = [row for row in read_lines(path) if row["split"] == split_key(split)]
    if not rows:
        raise InputError(f"{path}: no scenes of split {split}; check the split or run `make data`")
    if limit is not None and limit > len(rows):
        raise InputError(
            f"{path}: {len(rows)} scenes of split {split}, {limit} requested; lower data.splits"
        )
    return rows[:limit]


def load_language(data_dir: str | Path, split: str) -> dict[str, dict]:
    """Return {scene: its line of language.jsonl} for the file that holds a split."""
    rows = read_lines(_folder(data_dir, split) / "language.jsonl")
    return {row["scene"]: row for row in rows}


def _folder(data_dir: str | Path, split: str) -> Path:
    """Return the folder of a split's files.

    Captured rooms have one of their own, so that a build without them leaves all others unchanged.
    """
    return Path(data_dir, REAL_ROOMS) if split == REAL_ROOMS else Path(data_dir)
