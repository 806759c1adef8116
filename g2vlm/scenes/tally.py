"""Counts over the scenes of a build, taken one by one: a build of any size fits into memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from g2vlm.scenes.catalog import ModelRow
from g2vlm.scenes.recipes import COVERED_PERCENT, seen_percent

# Per cent of a model's own size along a side, over which it counts as stretched.
STRETCHED = (140, 200)


@dataclass
class SplitTally:
    """One split: scene ids, objects of each scene, models used, objects stretched over each bound
    of `STRETCHED`, the least share (%) of a scene's objects that so many cameras see."""

    ids: list[str] = field(default_factory=list)
    objects: list[int] = field(default_factory=list)
    models: set[str] = field(default_factory=set)
    stretched: Counter[int] = field(default_factory=Counter)
    seen: dict[int, int] = field(default_factory=dict)


@dataclass
class Tally:
    """What the sheets say of a build: its splits, and counts of classes placed, of true pairs by
    predicate, of references by kind and form, of answers by type of question."""

    splits: dict[str, SplitTally] = field(default_factory=dict)
    placed: Counter[str] = field(default_factory=Counter)
    relations: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    answers: dict[str, Counter[str]] = field(default_factory=dict)

    def add(
        self,
        recipe: dict[str, Any],
        pixels: np.ndarray,
        line: dict[str, Any],
        models: Mapping[str, ModelRow],
    ) -> None:
        """Count a scene by its recipe, what its cameras see (estimated pixels int64[8, N]) and its
        line of language; an object of no model is not stretched."""
        split = self.splits.setdefault(recipe["split"], SplitTally())
        split.ids.append(recipe["id"])
        split.objects.append(len(recipe["objects"]))
        for cameras in COVERED_PERCENT:
            share = seen_percent(pixels, cameras)
            split.seen[cameras] = min(share, split.seen.get(cameras, 100))
        for item in recipe["objects"]:
            split.models.add(item["model"])
            self.placed[item["class"]] += 1
            row = models.get(item["model"])
            factor = _stretch(item["size_mm"], row.size_mm) if row else 100
            split.stretched.update(bound for bound in STRETCHED if factor > bound)
        self.relations.update(predicate for _, _, predicate in line["relations"])
        self.kinds.update(reference["kind"] for reference in line["references"])
        self.forms.update(reference["form"] for reference in line["references"])
        for question in line["questions"]:
            self.answers.setdefault(question["type"], Counter())[question["answer"]] += 1


def _stretch(size: list[int], own: tuple[int, ...]) -> int:
    return max(100 * max(a, b) // min(a, b) for a, b in zip(size, own, strict=True))
