"""What can be said about one scene: names for its objects and what holds, with margins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from g2vlm.scenes.assets.catalog import ModelRow
from g2vlm.scenes.assets.classes import (
    ALSO_CALLED,
    CAPTURED_CLASSES,
    CLASSES,
    KIND_NAMES,
    SYNONYMS,
    article,
    plural,
)
from g2vlm.scenes.language.templates import NUMBERS, TEST_ONLY
from g2vlm.scenes.layout.openings import distance_to
from g2vlm.scenes.layout.relations import SceneGeometry, volume
from metrics.files import rng

# Estimated pixels over the four input views that make an object likely to be eligible (40).
VISIBLE_PIXELS = 120
# Estimated pixels in the first view without which nothing is said of what stands where in it.
FIRST_VIEW_PIXELS = 60
MARGIN_MM = 300
TEST_PHRASING_PERCENT = 25
SYNONYM_PERCENT = 25
# What hangs over a room or lies under its furniture is no landmark.
NO_LANDMARK = ("ceiling light", "rug")

# A unique name of an object: its text and the other objects that it leans on.
Name = tuple[str, tuple[int, ...]]


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


def stammers(text: str) -> bool:
    """Say whether a sentence has a preposition twice, so that it can be read in two ways.

    >>> stammers("Is the lamp near the plant near the bookcase?"), stammers("the lamp near a bed")
    (True, False)
    """
    return any(text.count(word) > 1 for word in (" near ", " closest to ", " close to "))


class Speaker:
    """A scene's geometry with names; `visible` are the objects that the inputs likely see,
    `ahead` those that the first of them does."""

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
        self.ahead = {k for k in self.visible if pixels[0][k] >= FIRST_VIEW_PIXELS}
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

    def rivals(self, k: int) -> list[int]:
        """Return the other objects that a person may mean by the name of k's class."""
        return self.same(k) + self.also_called(self.cls(k))

    def also_called(self, cls: str) -> list[int]:
        """Return the objects of other classes that a person may call by the name of this one."""
        also = ALSO_CALLED.get(cls, frozenset())
        return [m for m, item in enumerate(self.items) if item.row.cls in also]

    def whole_class(self, cls: str) -> bool:
        """Say whether an absence, a number or an order of a class can be stated: all of it is
        likely visible, and nothing else here goes by its name."""
        seen = all(k in self.names for k in self.by_class.get(cls, []))
        return seen and not self.also_called(cls)

    def _names(self, k: int) -> list[Name]:
        """Return unique names of an object."""
        cls, colour, others = self.cls(k), self.colour(k), self.same(k)
        plain = self._plain_name(k)
        if plain and not others and colour and self.draw(2):
            return [(plain, ()), (f"the {colour} {cls}", ())]
        if plain:
            return [(plain, ())]
        alone = len(others) == len(self.rivals(k))
        names = self._of_all(k, others) if alone and 0 < len(others) < len(NUMBERS) - 1 else []
        return names + self._by_place(k, self.rivals(k))

    def _plain_name(self, k: int) -> str:
        """Return a name of class, or colour and class, that fits no other object; else ""."""
        cls, colour, others = self.cls(k), self.colour(k), self.rivals(k)
        if not others:
            return f"the {cls}"
        alone = all(self.colour(m) != colour for m in others)
        return f"the {colour} {cls}" if alone else ""

    def _by_place(self, k: int, others: list[int]) -> list[Name]:
        """Return names by what an object stands on, by what it alone of its rivals is near, or by
        the room's only door or window, the first of these that there is.

        What it stands on or near has a plain name, so that a name leans on one object at most.
        """
        near, support = self.geometry.next_to, self.items[k].support
        if support >= 0 and all(self.items[m].support != support for m in others):
            below = self._plain_name(support)
            if below:
                return [(f"the {self.cls(k)} on {below}", (support,))]
        for m in self.visible:
            if self.cls(m) == self.cls(k) or self.cls(m) in NO_LANDMARK or not near(k, m):
                continue
            if all(near(other, m) is False for other in others) and self._plain_name(m):
                return [(f"the {self.cls(k)} near {self._plain_name(m)}", (m,))]
        for kind in self.geometry.openings:
            if self.closest_to_opening([k, *others], kind) == k:
                return [(f"the {self.cls(k)} closest to the {kind}", tuple(others))]
        return []

    def closest_to_opening(self, rows: list[int], kind: str) -> int:
        """Return which of some objects is clearly closest to the only door or window, or -1."""
        points = self.geometry.openings[kind]
        far = sorted((distance_to(points, self.items[k]), k) for k in rows)
        alone = len(far) == 1 or clearly_less(far[0][0], far[1][0])
        return far[0][1] if alone else -1

    def _of_all(self, k: int, others: list[int]) -> list[Name]:
        """Return names that set an object apart from the others of its class by size."""
        names, own = [], volume(self.items[k])
        rest = [volume(self.items[m]) for m in others]
        two, leans = len(others) == 1, tuple(others)
        all_of = f"of the {NUMBERS[len(others) + 1]} {plural(self.cls(k))}"
        if 2 * own > 3 * max(rest):
            names.append((f"the {'larger' if two else 'largest'} {all_of}", leans))
        if 3 * own < 2 * min(rest):
            names.append((f"the {'smaller' if two else 'smallest'} {all_of}", leans))
        return names

    def is_landmark(self, k: int) -> bool:
        """Say whether people point the way by an object: one that stands on the floor, no rug."""
        return self.cls(k) not in NO_LANDMARK and self.items[k].row.stands == "floor"

    def name(self, k: int) -> Name | None:
        """Draw one of an object's unique names, or None when it has none."""
        names = self.names.get(k)
        return names[self.draw(len(names))] if names else None

    def named(self) -> list[int]:
        """Return the visible objects that have a unique name."""
        return [k for k in self.visible if self.names[k]]

    def left_to_right(self, rows: list[int]) -> list[int] | None:
        """Order objects from the left as the first camera sees them; None when too close to call.

        Both the sideways offset (by 0.3 m) and the bearing (by 5 degrees) agree, and all lie ahead
        and are seen.
        """
        if not self.ahead.issuperset(rows):
            return None
        place = self.geometry.positions
        order = sorted(rows, key=lambda k: -place[k][1])
        for a, b in zip(order, order[1:], strict=False):
            (ax, ay), (bx, by) = place[a], place[b]
            if ax < MARGIN_MM or bx < MARGIN_MM or ay - by < MARGIN_MM:
                return None
            if self.geometry.bearing_order(a, b) <= 0:
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
