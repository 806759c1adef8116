"""The rooms of the sealed test: drawn once, from a seed that nobody knows before the freeze.

Furniture is sealed where a class has a duplicate group of models that no earlier room shows. A
class without one takes its held-out models, which were never trained on but are not sealed.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from g2vlm.scenes.assets.catalog import ModelRow
from g2vlm.scenes.assets.classes import KINDS
from g2vlm.scenes.layout.furnish import furnish
from g2vlm.scenes.layout.recipes import Layout, draw_recipe, group_models
from g2vlm.scenes.layout.settings import TwoZones
from g2vlm.scenes.layout.splits import SEALED_ASSET, SEALED_SCENE, SEALED_SHIFT, swap_recipe
from g2vlm.scenes.layout.two_zones import ZONES, furnish_two_zones


def sealed_models(
    models: Mapping[str, ModelRow], recipes: Iterable[dict[str, Any]]
) -> dict[str, ModelRow]:
    """Return the models of the duplicate groups of which no room shows a model.

    Args:
        models: the reviewed table.
        recipes: of all rooms that training and development may see.
    """
    seen = {models[item["model"]].group for recipe in recipes for item in recipe["objects"]}
    return {name: row for name, row in models.items() if row.group not in seen}


def draw_sealed(
    models: Mapping[str, ModelRow],
    sealed: Mapping[str, ModelRow],
    counts: Mapping[str, int],
    two_zones: TwoZones,
    seed: int,
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Yield the recipe of every room of the sealed test, and its estimated pixels int64 [8, N].

    Args:
        models: the reviewed table.
        sealed: the models that no earlier room shows (`sealed_models`).
        counts: rooms by split, with the splits' keys in scene ids.
        two_zones: settings of the second layout grammar.
        seed: of the opened seal.
    """
    earlier = {name: row for name, row in models.items() if name not in sealed}
    # Furniture as in training: the train side, without what no training room shows.
    pool = group_models(earlier, "train", _place)
    first = Layout(KINDS, partial(furnish, pool=pool))
    held = group_models(models, "held", _kind)
    swap = partial(
        swap_recipe, models=models, held=held | _group(sealed, _kind), split=SEALED_ASSET
    )
    recipes = []
    for number in range(counts[SEALED_SCENE]):
        recipe, pixels = draw_recipe(SEALED_SCENE, number, first, seed, swap)
        recipes.append(recipe)
        yield recipe, pixels
    yield from map(swap, recipes[: counts[SEALED_ASSET]])
    second = Layout(
        tuple(ZONES),
        partial(
            furnish_two_zones,
            pool=group_models(models, "held", _place),
            preferred=_group(sealed, _place),
            settings=two_zones,
        ),
    )
    for number in range(counts[SEALED_SHIFT]):
        yield draw_recipe(SEALED_SHIFT, number, second, seed)


def unsealed_classes(models: Mapping[str, ModelRow], sealed: Mapping[str, ModelRow]) -> list[str]:
    """Return the classes without a sealed model: their unseen furniture is that of test_asset."""
    return sorted({row.cls for row in models.values()} - {row.cls for row in sealed.values()})


def _place(row: ModelRow) -> tuple[str, str]:
    return row.cls, row.placement


def _kind(row: ModelRow) -> tuple[str, str, bool]:
    return row.kind


def _group(models: Mapping[str, ModelRow], key: Any) -> dict[Any, list[ModelRow]]:
    """Return models by a key, sorted by name, whichever side they are on."""
    groups: dict[Any, list[ModelRow]] = {}
    for name in sorted(models):
        groups.setdefault(key(models[name]), []).append(models[name])
    return groups
