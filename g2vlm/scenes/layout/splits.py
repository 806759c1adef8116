"""The splits: their numbers of scenes, and twin scenes with models never seen in training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from g2vlm.scenes.assets.catalog import ModelRow
from g2vlm.scenes.layout.cameras import clears, pixel_estimate
from g2vlm.scenes.layout.recipes import cameras_of, items_of, object_fields
from g2vlm.scenes.layout.room_state import Item, Room, rests_on

SEED = 20260401
# The sealed test's splits in scene ids (`g2vlm.scenes.sealed`).
SEALED_SCENE, SEALED_ASSET, SEALED_SHIFT = "sealed_scene", "sealed_asset", "sealed_shift"
COUNTS = {"train": 600, "val": 60, "test_scene": 80, "test_asset": 80}
# A model may be stretched to a size of which no side is beyond these shares (%) of its own.
STRETCH_PERCENT = (70, 140)

# Class, placement, whether it carries things: what a swapped model shares with the one before.
Kind = tuple[str, str, bool]


def swap_recipe(
    recipe: dict, models: Mapping[str, ModelRow], held: dict[Kind, list[ModelRow]], split: str
) -> tuple[dict[str, Any], np.ndarray]:
    """Return a recipe's twin with models never seen in training, and int64 [8, N] estimated pixels.

    Each model is replaced by the one of its kind that is nearest in size.

    Args:
        recipe, models: the scene and the reviewed table.
        held: models to replace others with, by kind.
        split: of the twin, in its id.
    """
    room = Room(tuple(recipe["room"]["size_mm"]), np.random.default_rng(0))  # It draws nothing.
    eyes = [camera["position_mm"] for camera in recipe["cameras"]]
    before = items_of(recipe, models)
    after = list(before)
    for k, item in enumerate(before):
        after[k] = _swapped(room, item, held, after, k, eyes)
    twin = {
        **recipe,
        "id": recipe["id"].replace(recipe["split"], split),
        "split": split,
        "pair": recipe["id"],
        "objects": [object_fields(k, item) for k, item in enumerate(after)],
    }
    return twin, pixel_estimate(cameras_of(twin), after)


def _swapped(
    room: Room,
    item: Item,
    held: dict[Kind, list[ModelRow]],
    placed: list[Item],
    index: int,
    eyes: list[list[int]],
) -> Item:
    """Return an item with a held-out model, on the top of its swapped support.

    A model that can be stretched to the item's size takes that size. Otherwise the nearest model
    takes the first of its own size and the item's, clipped to the bounds, that fits and is clear
    of the cameras; failing both, the item's size, which fits since the item did.

    Args:
        placed: all items, those before `index` already swapped.
        eyes: positions of the cameras.
    """
    rows = sorted(held[item.row.kind], key=lambda row: (misfit(row, item.size), row.model))
    base = placed[item.support].carries if item.support >= 0 else item.base
    stretched = next((row for row in rows if _stretches(row, item.size)), None)
    if stretched:
        return Item(stretched, item.centre, base, item.yaw, item.size, item.support)
    row = rows[0]
    carried = [p for p in placed if p.support == index]
    others = [p for p in placed[:index] + placed[index + 1 :] if p.support != index]
    # The item's size with no side beyond the upper bound of stretching; no side grows.
    limits = [side * STRETCH_PERCENT[1] // 100 for side in row.size_mm]
    for size in (row.size_mm, tuple(map(min, item.size, limits))):
        own = Item(row, item.centre, base, item.yaw, size, item.support)
        if (
            (item.support < 0 or rests_on(own, placed[item.support]))
            and all(clears(own, eye) for eye in eyes)
            and room.fits(own, others)
            # What it carries still rests on it, under the ceiling, at its new height.
            and all(rests_on(p, own) and own.carries + p.size[2] <= room.size[2] for p in carried)
        ):
            return own
    return Item(row, item.centre, base, item.yaw, item.size, item.support)


def misfit(row: ModelRow, size: Sequence[int]) -> int:
    """Return the largest factor (per mille) between the sides of a model and those of a box."""
    return max(1000 * max(a, b) // min(a, b) for a, b in zip(row.size_mm, size, strict=True))


def _stretches(row: ModelRow, size: tuple[int, int, int]) -> bool:
    """Return whether a model may be stretched to a size."""
    low, high = STRETCH_PERCENT
    pairs = zip(size, row.size_mm, strict=True)
    return all(low * own <= 100 * wanted <= high * own for wanted, own in pairs)
