"""The splits: how many scenes each has, which models it may use, and the swapped twin scenes."""

from __future__ import annotations

from typing import Any

import numpy as np

from g2vlm.scenes.cameras import pixel_estimate
from g2vlm.scenes.catalog import ModelRow
from g2vlm.scenes.layout import Item, Room
from g2vlm.scenes.recipes import cameras_of, items_of, object_fields
from metrics.files import InputError

SEED = 20260401
COUNTS = {"train": 600, "val": 60, "test_scene": 80, "test_asset": 80}
# A swapped model takes the size of the one it replaces when no side changes by more than this.
STRETCH_PERCENT = (70, 140)


def held_rows(models: dict[str, ModelRow]) -> dict[tuple[str, str, bool], list[ModelRow]]:
    """Return the held-out models by kind (class, where it stands, whether it carries)."""
    rows: dict[tuple[str, str, bool], list[ModelRow]] = {}
    for name in sorted(models):
        if models[name].side == "held":
            rows.setdefault(models[name].kind, []).append(models[name])
    return rows


def swap_recipe(recipe: dict, models: dict[str, ModelRow]) -> tuple[dict[str, Any], np.ndarray]:
    """Return the test_asset twin of a test_scene recipe and int64[8, N] estimated pixels.

    Each model is replaced by the held-out one of its kind with the nearest size.
    """
    held = held_rows(models)
    room = Room(tuple(recipe["room"]["size_mm"]), np.random.default_rng(0))
    before = items_of(recipe, models)
    after = list(before)
    for k, item in enumerate(before):
        after[k] = _swapped(room, item, held, after, k)
    name = recipe["id"].replace("test_scene", "test_asset")
    twin = {
        **recipe,
        "id": name,
        "split": "test_asset",
        "pair": recipe["id"],
        "objects": [object_fields(k, item) for k, item in enumerate(after)],
    }
    return twin, pixel_estimate(cameras_of(twin), after)


def _swapped(
    room: Room,
    item: Item,
    held: dict[tuple[str, str, bool], list[ModelRow]],
    placed: list[Item],
    index: int,
) -> Item:
    """Return `item` as the nearest held-out model, on the top of its swapped support."""
    rows = held.get(item.row.kind)
    if not rows:
        raise InputError(f"models.csv: no held model of kind {item.row.kind}; mark one as held")
    rows = sorted(rows, key=lambda r: (_misfit(r, item), r.model))
    base = placed[item.support].carries if item.support >= 0 else item.base
    others = placed[:index] + placed[index + 1 :]
    for row in rows:
        if _stretches(row, item):
            return Item(row, item.centre, base, item.yaw, item.size, item.support)
        own = Item(row, item.centre, base, item.yaw, row.size_mm, item.support)
        if room.fits(own, others) and item.support < 0 and not item.row.carries_mm >= 0:
            return own
    return Item(rows[0], item.centre, base, item.yaw, item.size, item.support)


def _misfit(row: ModelRow, item: Item) -> int:
    return sum(abs(a - b) for a, b in zip(row.size_mm, item.size, strict=True))


def _stretches(row: ModelRow, item: Item) -> bool:
    low, high = STRETCH_PERCENT
    pairs = zip(item.size, row.size_mm, strict=True)
    return all(low * own <= 100 * wanted <= high * own for wanted, own in pairs)
