"""The splits: how many scenes each has, which models it may use, and the swapped twin scenes."""

from __future__ import annotations

from typing import Any

import numpy as np

from g2vlm.scenes.assets.catalog import ModelRow
from g2vlm.scenes.layout.cameras import clears, pixel_estimate
from g2vlm.scenes.layout.recipes import cameras_of, items_of, object_fields
from g2vlm.scenes.layout.room_state import Item, Room
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
    eyes = [camera["position_mm"] for camera in recipe["cameras"]]
    before = items_of(recipe, models)
    after = list(before)
    for k, item in enumerate(before):
        after[k] = _swapped(room, item, held, after, k, eyes)
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
    eyes: list[list[int]],
) -> Item:
    """Return `item` as the nearest held-out model, on the top of its swapped support.

    It keeps the size of the one it replaces where that stretches it little; else it takes its own
    size if that fits and stands in no camera; else it is clipped to the old box, which always fits.
    """
    rows = held.get(item.row.kind)
    if not rows:
        raise InputError(f"models.csv: no held model of kind {item.row.kind}; mark one as held")
    rows = sorted(rows, key=lambda r: (_misfit(r, item), r.model))
    base = placed[item.support].carries if item.support >= 0 else item.base
    carried = [p for p in placed if p.support == index]
    others = [p for p in placed[:index] + placed[index + 1 :] if p.support != index]
    best = next((row for row in rows if _stretches(row, item.size)), None)
    if best:
        return Item(best, item.centre, base, item.yaw, item.size, item.support)
    for size in (rows[0].size_mm, _clipped(rows[0], item.size)):
        own = Item(rows[0], item.centre, base, item.yaw, size, item.support)
        under = item.support < 0 or room.rests(own, placed[item.support])
        clear = all(clears(own, eye) for eye in eyes)
        if (
            under
            and clear
            and room.fits(own, others)
            and all(_bears(room, own, p) for p in carried)
        ):
            return own
    return Item(rows[0], item.centre, base, item.yaw, item.size, item.support)


def _bears(room: Room, support: Item, item: Item) -> bool:
    """Say whether `item` still stands on `support`, under the ceiling, at its new height."""
    return room.rests(item, support) and support.carries + item.size[2] <= room.size[2]


def _clipped(row: ModelRow, size: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return `size` with no side stretched beyond the bound; no side grows."""
    w, d, h = (
        min(old, own * STRETCH_PERCENT[1] // 100)
        for old, own in zip(size, row.size_mm, strict=True)
    )
    return w, d, h


def _misfit(row: ModelRow, item: Item) -> int:
    """Return the largest factor (per mille) between the sides of a model and of an item."""
    pairs = zip(row.size_mm, item.size, strict=True)
    return max(1000 * max(a, b) // min(a, b) for a, b in pairs)


def _stretches(row: ModelRow, size: tuple[int, int, int]) -> bool:
    low, high = STRETCH_PERCENT
    pairs = zip(size, row.size_mm, strict=True)
    return all(low * own <= 100 * wanted <= high * own for wanted, own in pairs)
