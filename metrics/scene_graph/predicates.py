"""The table of spatial relations between two objects: one row a predicate.

Everything that lists relations derives from `RELATIONS`: the families and their labels, the sizes
of the network's relation heads, the values that the submission schema accepts, the axis-aligned
rule baseline, and the lists in the documentation.

To add a relation, edit three files:

1. its row, here;
2. the formula of its family, in `g2vlm/scenes/layout/relations.py`;
3. its templates, in `g2vlm/scenes/language/templates.py`.

Then run `python -m metrics.schemas`, which writes the copies of this table in
`submission.schema.json` and `docs/submission-format.md`. A new row changes the output size of the
relation head, so checkpoints trained before it do not load.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Limits of the rules on axis-aligned boxes.
NEAR_M = 0.5
LARGER_RATIO = 1.5
# How far the underside of the upper box may lie from the top of the lower one.
CONTACT_M = 0.05

# The label of a pair for which none of a family's predicates holds.
NONE = "none"


@dataclass(frozen=True)
class BoxPairs:
    """Quantities of all ordered pairs of axis-aligned boxes, from which rules are written.

    Attributes:
        boxes: f64 [N, 6], centre xyz and size xyz in metres, in the levelled frame of the first
            camera (x ahead, y to the left, z up).
    """

    boxes: np.ndarray

    @cached_property
    def centre(self) -> np.ndarray:
        return self.boxes[:, :3]

    @cached_property
    def half(self) -> np.ndarray:
        return self.boxes[:, 3:] / 2

    @cached_property
    def offset(self) -> np.ndarray:
        """f64 [N, N, 3]: centre of the row's box minus centre of the column's."""
        return self.centre[:, None] - self.centre[None]

    @cached_property
    def distance(self) -> np.ndarray:
        """f64 [N, N]: distance between the closest points of two boxes, 0 where they overlap."""
        gap = np.maximum(np.abs(self.offset) - self.half[:, None] - self.half[None], 0.0)
        return np.linalg.norm(gap, axis=-1)

    @cached_property
    def volume(self) -> np.ndarray:
        """f64 [N]."""
        return self.boxes[:, 3:].prod(axis=1)

    @cached_property
    def touches_top(self) -> np.ndarray:
        """bool [N, N]: the row's box has its underside at the column's top and its centre above
        the column's footprint."""
        underside, top = self.centre - self.half, self.centre + self.half
        contact = np.abs(underside[:, None, 2] - top[None, :, 2]) < CONTACT_M
        above = (np.abs(self.offset[..., :2]) < self.half[None, :, :2]).all(axis=-1)
        return contact & above

    @cached_property
    def on(self) -> np.ndarray:
        """bool [N, N]: the row's box rests on the column's, and not the other way round too."""
        return self.touches_top & ~self.touches_top.T

    @cached_property
    def lengthwise(self) -> np.ndarray:
        """bool [N, N]: the centres lie further apart ahead than sideways."""
        return np.abs(self.offset[..., 0]) > np.abs(self.offset[..., 1])


@dataclass(frozen=True)
class Relation:
    """One predicate: `predicate(i, j)` is a statement about the ordered pair (i, j).

    Attributes:
        predicate: its name, unique in the table.
        family: at most one predicate of a family holds for an ordered pair. Rows of a family
            stand next to each other and agree in `view_dependent`, `exhaustive` and `mutual`.
        definition: what it means, as the data sheet and the documentation print it; on the first
            row of a family.
        inverse: the predicate p with p(j, i) = predicate(i, j), if there is one.
        symmetric: predicate(i, j) = predicate(j, i).
        view_dependent: the truth depends on the first camera.
        exhaustive: one predicate of the family holds for every pair, so there is no "none".
        mutual: the predicate may hold in both orders of a pair as two separate facts.
        box_rule: bool [N, N] of whether it holds, from axis-aligned boxes; None where such boxes
            cannot tell.
    """

    predicate: str
    family: str
    definition: str = ""
    inverse: str | None = None
    symmetric: bool = False
    view_dependent: bool = False
    exhaustive: bool = False
    mutual: bool = False
    box_rule: Callable[[BoxPairs], np.ndarray] | None = None


# The order of rows is the order of the network's outputs. Append new rows at the end.
RELATIONS = (
    Relation(
        predicate="on",
        family="support",
        definition="On and under: what stands on what.",
        inverse="under",
        box_rule=lambda pairs: pairs.on,
    ),
    Relation(
        predicate="under",
        family="support",
        inverse="on",
        box_rule=lambda pairs: pairs.on.T,
    ),
    Relation(
        predicate="near",
        family="distance",
        definition="Near: closest points of boxes under 0.5 m, void to 0.75 m; sentences do not "
        "say it of what stands on the other.",
        symmetric=True,
        box_rule=lambda pairs: pairs.distance < NEAR_M,
    ),
    Relation(
        predicate="left",
        family="side",
        definition="Left, right, before and behind are those of the first input view. Void: "
        "within 15 degrees of a diagonal, or offsets under 0.2 m. Sentences say them only of what "
        "that view shows, and where its image says the same: left and right by 5 degrees, before "
        "and behind within 15.",
        inverse="right",
        view_dependent=True,
        exhaustive=True,
        box_rule=lambda pairs: ~pairs.lengthwise & (pairs.offset[..., 1] > 0),
    ),
    Relation(
        predicate="right",
        family="side",
        inverse="left",
        view_dependent=True,
        exhaustive=True,
        box_rule=lambda pairs: ~pairs.lengthwise & (pairs.offset[..., 1] <= 0),
    ),
    Relation(
        predicate="front",
        family="side",
        inverse="behind",
        view_dependent=True,
        exhaustive=True,
        box_rule=lambda pairs: pairs.lengthwise & (pairs.offset[..., 0] <= 0),
    ),
    Relation(
        predicate="behind",
        family="side",
        inverse="front",
        view_dependent=True,
        exhaustive=True,
        box_rule=lambda pairs: pairs.lengthwise & (pairs.offset[..., 0] > 0),
    ),
    Relation(
        predicate="larger",
        family="size",
        definition="Larger: over 1.5 times the volume, void down to 1.1.",
        box_rule=lambda pairs: pairs.volume[:, None] > LARGER_RATIO * pairs.volume[None],
    ),
    Relation(
        predicate="facing",
        family="facing",
        definition="Facing: front axis within 20 degrees of the other's centre, void to 30 and "
        "where the axis meets the other's footprint.",
        mutual=True,
    ),
)

PREDICATES = tuple(row.predicate for row in RELATIONS)
FAMILY_OF = {row.predicate: row.family for row in RELATIONS}
FAMILIES = {
    family: tuple(row.predicate for row in RELATIONS if row.family == family)
    for family in dict.fromkeys(FAMILY_OF.values())
}
DEFINITIONS = {row.family: row.definition for row in RELATIONS if row.definition}
INVERSE = {row.predicate: row.inverse for row in RELATIONS if row.inverse}
SYMMETRIC = frozenset(row.predicate for row in RELATIONS if row.symmetric)
# Families.
VIEW_DEPENDENT = frozenset(row.family for row in RELATIONS if row.view_dependent)
EXHAUSTIVE = frozenset(row.family for row in RELATIONS if row.exhaustive)
MUTUAL = frozenset(row.family for row in RELATIONS if row.mutual)
# What an ordered pair can be in each family, in the order of the network's outputs.
LABELS = {
    family: predicates if family in EXHAUSTIVE else (*predicates, NONE)
    for family, predicates in FAMILIES.items()
}
