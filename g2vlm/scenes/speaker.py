"""What can be said about one scene: names for its objects and what holds, with margins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from g2vlm.scenes.catalog import ModelRow
from g2vlm.scenes.classes import CAPTURED_CLASSES, CLASSES, KIND_NAMES, SYNONYMS, article, plural
from g2vlm.scenes.phrasings import TEST_ONLY
from g2vlm.scenes.relations import SceneGeometry, volume
from metrics.files import rng

# Estimated pixels over the four input views that make an object likely to be eligible (40).
VISIBLE_PIXELS = 120
MARGIN_MM = 300
TEST_PHRASING_PERCENT = 25
SYNONYM_PERCENT = 25


@dataclass
class Sentence:
    """A sentence to choose from: its phrasings' form, their fields, what it is of; `label` is the
    form's name in the data where it is another."""

    form: str
    fields: dict[str, str]
    targets: list[int]
    anchors: list[int] = field(default_factory=list)
    kind: str = ""
    tags: tuple[str, ...] = ()
    label: str = ""


def clearly_less(a: int, b: int) -> bool:
    """Say whether length `a` (mm) is less than `b` by 0.3 m and by a tenth of `b`.

    >>> clearly_less(1000, 1300), clearly_less(1000, 1200), clearly_less(4000, 4350)
    (True, False, False)
    """
    return b - a >= MARGIN_MM and 10 * (b - a) >= b


class Speaker:
    """A scene's geometry with names; `visible` are the objects that the inputs likely see."""

    def __init__(
        self, recipe: dict[str, Any], models: dict[str, ModelRow], pixels: np.ndarray, seed: int
    ) -> None:
        self.recipe = recipe
        self.geometry = SceneGeometry(recipe, models)
        self.items = self.geometry.items
        self.rng = rng(seed, "language", recipe["id"])
        self.room = KIND_NAMES[recipe["kind"]]
        self.test = recipe["split"].startswith("test")
        # What a captured room lacks is known only of the classes that its labels can say.
        self.captured = "capture" in recipe
        self.known = CAPTURED_CLASSES if self.captured else CLASSES
        total = pixels[:4].sum(0)
        self.visible = [k for k in range(len(self.items)) if total[k] >= VISIBLE_PIXELS]
        self.by_class: dict[str, list[int]] = {}
        for k, item in enumerate(self.items):
            self.by_class.setdefault(item.row.cls, []).append(k)
        self.names = {k: self._names(k) for k in self.visible}

    def draw(self, count: int) -> int:
        return int(self.rng.integers(0, count))

    def chance(self, percent: int) -> bool:
        return self.draw(100) < percent

    def shuffled(self, rows: list) -> list:
        return [rows[int(k)] for k in self.rng.permutation(len(rows))]

    def cls(self, k: int) -> str:
        return self.items[k].row.cls

    def colour(self, k: int) -> str:
        return self.items[k].row.colour

    def noun(self, cls: str) -> str:
        """Return a class's own name, or at times a synonym."""
        words = SYNONYMS.get(cls, ())
        return words[self.draw(len(words))] if words and self.chance(SYNONYM_PERCENT) else cls

    def same(self, k: int) -> list[int]:
        """Return the other objects of the same class."""
        return [m for m in self.by_class[self.cls(k)] if m != k]

    def seen_class(self, cls: str) -> bool:
        """Say whether every object of a class is likely visible."""
        return all(k in self.names for k in self.by_class.get(cls, []))

    def _names(self, k: int) -> list[tuple[str, tuple[str, ...], tuple[int, ...]]]:
        """Return unique names of an object: text, tags, and other objects they lean on."""
        cls, colour, others = self.cls(k), self.colour(k), self.same(k)
        if not others:
            names = [(f"the {cls}", (), ())]
            return [*names, (f"the {colour} {cls}", (), ())] if colour and self.draw(2) else names
        if all(self.colour(m) != colour for m in others):
            return [(f"the {colour} {cls}", (), ())]
        names = []
        if len(others) == 1:
            names += self._of_two(k, others[0])
        support = self.items[k].support
        if support >= 0 and all(self.items[m].support != support for m in others):
            below = self.cls(support)
            if len(self.by_class[below]) == 1:
                names.append((f"the {cls} on the {below}", (), (support,)))
        return names

    def _of_two(self, k: int, m: int) -> list[tuple[str, tuple[str, ...], tuple[int, ...]]]:
        many, names = plural(self.cls(k)), []
        a, b = volume(self.items[k]), volume(self.items[m])
        if 2 * max(a, b) > 3 * min(a, b):
            word = "larger" if a > b else "smaller"
            names.append((f"the {word} of the two {many}", (), (m,)))
        order = self.left_to_right([k, m])
        if order:
            word = "left" if order[0] == k else "right"
            names.append((f"the {word} one of the two {many}", ("view_dependent",), (m,)))
        return names

    def name(self, k: int) -> tuple[str, tuple[str, ...], tuple[int, ...]] | None:
        """Draw one of an object's unique names, or None when it has none."""
        names = self.names.get(k)
        return names[self.draw(len(names))] if names else None

    def named(self) -> list[int]:
        """Return the visible objects that have a unique name."""
        return [k for k in self.visible if self.names[k]]

    def left_to_right(self, rows: list[int]) -> list[int] | None:
        """Order objects from the left as the first camera sees them; None when too close to call.

        Both the sideways offset (by 0.3 m) and the bearing must agree, and all lie ahead.
        """
        place = self.geometry.place
        order = sorted(rows, key=lambda k: -place[k][1])
        for a, b in zip(order, order[1:], strict=False):
            (ax, ay), (bx, by) = place[a], place[b]
            if ax < MARGIN_MM or bx < MARGIN_MM or ay - by < MARGIN_MM or ay * bx <= by * ax:
                return None
        return order

    def phrase(self, table: tuple[str, ...], fields: dict[str, str]) -> tuple[str, bool]:
        """Fill a drawn phrasing; returns it and whether it is one of those kept for test splits."""
        usual = len(table) - TEST_ONLY
        kept = self.test and self.chance(TEST_PHRASING_PERCENT)
        number = usual + self.draw(TEST_ONLY) if kept else self.draw(usual)
        return table[number].format(**fields), kept

    def words(self, cls: str, colour: str = "") -> dict[str, str]:
        """Return the fields t, ts, n, c and room for a class, said with a noun drawn for it."""
        noun = self.noun(cls)
        full = f"{colour} {noun}".strip()
        many = f"{colour} {plural(noun)}".strip()
        fields = {"t": full, "ts": many, "n": article(full), "c": colour, "room": self.room}
        return fields
