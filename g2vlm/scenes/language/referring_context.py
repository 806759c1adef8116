"""The objects of one scene as sentences refer to them: unique names and relations with margins."""

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
from g2vlm.scenes.layout.integer_geometry import point_to_footprint
from g2vlm.scenes.layout.relations import SceneGeometry, volume
from metrics.constants import INPUT_VIEWS
from metrics.files import rng

# Estimated pixels over the four input views that make an object likely to be eligible (40).
VISIBLE_PIXELS = 120
# Estimated pixels that the first view must show of an object before a sentence says where it is
# in that view.
FIRST_VIEW_PIXELS = 60
MARGIN_MM = 300
# How often (%) a sentence takes a template that training has not, by the split's key.
TEST_TEMPLATE_PERCENT = {
    "test_scene": 25,
    "test_asset": 25,
    "sealed_scene": 25,
    "sealed_asset": 25,
    "sealed_shift": 100,
}
SYNONYM_PERCENT = 25
# Classes that hang over a room or lie under its furniture: people do not locate things by them.
NO_LANDMARK = ("ceiling light", "rug")

# A unique name of an object: its text and the indices of the other objects that it refers to.
Name = tuple[str, tuple[int, ...]]


@dataclass
class ReferenceCandidate:
    """A referring expression that is true of its targets alone.

    Attributes:
        template: key of its templates in `REFERENCES`.
        fields: what fills the template.
        targets, anchors: indices of the objects that it refers to and locates them by.
        subset: "zero" or "multi", "" to derive unique or multiple from the targets.
        tags: labels in the data such as "view_dependent".
        expression_type: its type in the data where that is not `template`.
    """

    template: str
    fields: dict[str, str]
    targets: list[int]
    anchors: list[int] = field(default_factory=list)
    subset: str = ""
    tags: tuple[str, ...] = ()
    expression_type: str = ""


def clearly_less(a: int, b: int) -> bool:
    """Return whether length `a` (mm) is less than `b` by 0.3 m and by a tenth of `b`.

    >>> clearly_less(1000, 1300), clearly_less(1000, 1200), clearly_less(4000, 4350)
    (True, False, False)
    """
    return b - a >= MARGIN_MM and 10 * (b - a) >= b


def repeats_preposition(text: str) -> bool:
    """Return whether a sentence has a preposition twice, so that it can be read in two ways.

    >>> repeats_preposition("Is the lamp near the plant near the bookcase?")
    True
    >>> repeats_preposition("the lamp near a bed")
    False
    """
    return any(text.count(word) > 1 for word in (" near ", " closest to ", " close to "))


class ReferringContext:
    """A scene's geometry with names for its objects, and the generator of its sentences.

    Attributes:
        geometry, items: the relations and the placed objects; objects are indices into `items`.
        room: the room's name, such as "living room".
        known_classes: the classes whose absence the scene can state.
        visible: objects that the input views are estimated to show.
        in_first_view: those of them that the first view shows, a set.
        by_class: {class: objects}.
        names: {visible object: its unique names}.
    """

    def __init__(
        self, recipe: dict[str, Any], models: dict[str, ModelRow], pixels: np.ndarray, seed: int
    ) -> None:
        """Name the objects of a recipe; pixels: i64[8, N] estimated by `pixel_estimate`."""
        self.recipe = recipe
        self.geometry = SceneGeometry(recipe, models)
        self.items = self.geometry.items
        self.rng = rng(seed, "language", recipe["id"])
        self.room = KIND_NAMES[recipe["kind"]]
        self.test_percent = TEST_TEMPLATE_PERCENT.get(recipe["split"], 0)
        # A capture labels few classes, so only the absence of those is known.
        self.captured = "capture" in recipe
        self.known_classes = CAPTURED_CLASSES if self.captured else CLASSES
        total = pixels[:INPUT_VIEWS].sum(0)
        self.visible = [k for k in range(len(self.items)) if total[k] >= VISIBLE_PIXELS]
        self.in_first_view = {k for k in self.visible if pixels[0][k] >= FIRST_VIEW_PIXELS}
        self.by_class: dict[str, list[int]] = {}
        for k, item in enumerate(self.items):
            self.by_class.setdefault(item.row.cls, []).append(k)
        self.names = {k: self._names(k) for k in self.visible}

    def draw(self, count: int) -> int:
        """Return a uniform integer in 0..count - 1."""
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
        """Return a class's own name or, for `SYNONYM_PERCENT` of calls, a synonym."""
        words = SYNONYMS.get(cls, ())
        return words[self.draw(len(words))] if words and self.chance(SYNONYM_PERCENT) else cls

    def same_class(self, k: int) -> list[int]:
        """Return the other objects of the same class."""
        return [m for m in self.by_class[self.cls(k)] if m != k]

    def also_called(self, cls: str) -> list[int]:
        """Return the objects of other classes that a person may call by the name of this one."""
        return [m for m, item in enumerate(self.items) if item.row.cls in ALSO_CALLED.get(cls, ())]

    def distractors(self, k: int) -> list[int]:
        """Return the other objects that the name of k's class may refer to."""
        return self.same_class(k) + self.also_called(self.cls(k))

    def is_countable(self, cls: str) -> bool:
        """Return whether sentences can state the absence, number or order of a class.

        All of its objects must be visible, and no other object may go by its name.
        """
        rows = self.by_class.get(cls, [])
        return not self.also_called(cls) and all(k in self.names for k in rows)

    def _names(self, k: int) -> list[Name]:
        cls, colour, same_class = self.cls(k), self.colour(k), self.same_class(k)
        plain = self._plain_name(k)
        if plain and not same_class and colour and self.draw(2):
            return [(plain, ()), (f"the {colour} {cls}", ())]
        if plain:
            return [(plain, ())]
        distractors = self.distractors(k)
        names = []
        # A name such as "the largest of the three chairs" counts the class.
        if same_class == distractors and 0 < len(same_class) < len(NUMBERS) - 1:
            names = self._names_by_size(k, same_class)
        return names + self._names_by_place(k, distractors)

    def _plain_name(self, k: int) -> str:
        """Return a name of class, or colour and class, that fits no other object; else ""."""
        cls, colour, distractors = self.cls(k), self.colour(k), self.distractors(k)
        if not distractors:
            return f"the {cls}"
        unique = all(self.colour(m) != colour for m in distractors)
        return f"the {colour} {cls}" if unique else ""

    def _names_by_size(self, k: int, others: list[int]) -> list[Name]:
        """Return names that set an object apart from the others of its class by size."""
        names, own = [], volume(self.items[k])
        rest = [volume(self.items[m]) for m in others]
        two, refers_to = len(others) == 1, tuple(others)
        all_of = f"of the {NUMBERS[len(others) + 1]} {plural(self.cls(k))}"
        if 2 * own > 3 * max(rest):
            names.append((f"the {'larger' if two else 'largest'} {all_of}", refers_to))
        if 3 * own < 2 * min(rest):
            names.append((f"the {'smaller' if two else 'smallest'} {all_of}", refers_to))
        return names

    def _names_by_place(self, k: int, distractors: list[int]) -> list[Name]:
        """Return a name by an object's place that no distractor shares, [] without one.

        The first that exists of: what it stands on, what it is near, the only door or window. The
        object that it stands on or near has a plain name, so that a name refers to one other
        object at most.
        """
        near, support = self.geometry.next_to, self.items[k].support
        if support >= 0 and all(self.items[m].support != support for m in distractors):
            below = self._plain_name(support)
            if below:
                return [(f"the {self.cls(k)} on {below}", (support,))]
        for m in self.visible:
            if self.cls(m) == self.cls(k) or self.cls(m) in NO_LANDMARK or not near(k, m):
                continue
            if all(near(other, m) is False for other in distractors) and self._plain_name(m):
                return [(f"the {self.cls(k)} near {self._plain_name(m)}", (m,))]
        for kind in self.geometry.openings:
            if self.closest_to_opening([k, *distractors], kind) == k:
                return [(f"the {self.cls(k)} closest to the {kind}", tuple(distractors))]
        return []

    def closest_to_opening(self, rows: list[int], kind: str) -> int:
        """Return which of some objects is clearly closest to the only door or window, or -1."""
        points = self.geometry.openings[kind]
        rings = {k: self.items[k].ring for k in rows}
        far = sorted((min(point_to_footprint(p, rings[k]) for p in points), k) for k in rows)
        clear = len(far) == 1 or clearly_less(far[0][0], far[1][0])
        return far[0][1] if clear else -1

    def is_landmark(self, k: int) -> bool:
        """Return whether people locate things by an object: on the floor, and no rug."""
        return self.cls(k) not in NO_LANDMARK and self.items[k].row.placement == "floor"

    def name(self, k: int) -> Name | None:
        """Draw one of an object's unique names; None when it has none."""
        names = self.names.get(k)
        return names[self.draw(len(names))] if names else None

    def named(self) -> list[int]:
        """Return the visible objects that have a unique name."""
        return [k for k in self.visible if self.names[k]]

    def left_to_right(self, rows: list[int]) -> list[int] | None:
        """Order objects from left to right as the first camera sees them; None when too close.

        All are in the first view and ahead of the camera; neighbours differ by 0.3 m sideways and
        by 5 degrees in bearing.
        """
        if not self.in_first_view.issuperset(rows):
            return None
        positions = self.geometry.positions
        order = sorted(rows, key=lambda k: -positions[k][1])
        for a, b in zip(order, order[1:], strict=False):
            (ax, ay), (bx, by) = positions[a], positions[b]
            apart = ax >= MARGIN_MM and bx >= MARGIN_MM and ay - by >= MARGIN_MM
            if not apart or self.geometry.bearing_order(a, b) <= 0:
                return None
        return order

    def fill(self, templates: tuple[str, ...], fields: dict[str, str]) -> tuple[str, bool]:
        """Fill a drawn template; return the text and whether the template is for tests alone."""
        usual = len(templates) - TEST_ONLY
        test_only = self.test_percent > 0 and self.chance(self.test_percent)
        number = usual + self.draw(TEST_ONLY) if test_only else self.draw(usual)
        return templates[number].format(**fields), test_only

    def words(self, cls: str, colour: str = "") -> dict[str, str]:
        """Return the fields t, ts, n, c and room of a class, with a noun drawn for it."""
        noun = self.noun(cls)
        singular = f"{colour} {noun}".strip()
        return {
            "t": singular,
            "ts": f"{colour} {plural(noun)}".strip(),
            "n": article(singular),
            "c": colour,
            "room": self.room,
        }
