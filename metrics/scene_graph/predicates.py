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

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Limits of the rules on axis-aligned boxes.
NEAR_M = 0.5
LARGER_RATIO = 1.5
# How far the underside of the upper box may lie from the top of the lower one.
CONTACT_M = 0.05

# The label of a pair for which none of a family's predicates holds.
NONE = "none"


# Boxes below are f64 [N, 6]: centre xyz and size xyz in metres, in the levelled frame of the first
# camera (x ahead, y to the left, z up). Results are [N, N], for all ordered pairs (row, column).


def _offset(boxes: np.ndarray, axis: int) -> np.ndarray:
    """Return the centre of the row's box minus that of the column's along an axis, f64 [N, N]."""
    return boxes[:, None, axis] - boxes[None, :, axis]


def _lengthwise(boxes: np.ndarray) -> np.ndarray:
    """Return whether centres lie further apart ahead than sideways, bool [N, N]."""
    return np.abs(_offset(boxes, 0)) > np.abs(_offset(boxes, 1))


def _near(boxes: np.ndarray) -> np.ndarray:
    """Return whether the closest points of two boxes are under 0.5 m apart, bool [N, N]."""
    centre, half = boxes[:, :3], boxes[:, 3:] / 2
    gaps = np.abs(centre[:, None] - centre[None]) - half[:, None] - half[None]  # (N, N, 3)
    return np.linalg.norm(np.maximum(gaps, 0.0), axis=-1) < NEAR_M


def _larger(boxes: np.ndarray) -> np.ndarray:
    """Return whether the row's volume is over 1.5 times the column's, bool [N, N]."""
    volume = boxes[:, 3:].prod(axis=1)
    return volume[:, None] > LARGER_RATIO * volume[None]


def _on(boxes: np.ndarray) -> np.ndarray:
    """Return whether the row's box rests on the column's, bool [N, N].

    The underside is within 5 cm of the top and the centre above the footprint, and not the other
    way round too.
    """
    half = boxes[:, 3:] / 2
    underside, top = boxes[:, 2] - half[:, 2], boxes[:, 2] + half[:, 2]
    contact = np.abs(underside[:, None] - top[None]) < CONTACT_M
    above = (np.abs(_offset(boxes, 0)) < half[:, 0]) & (np.abs(_offset(boxes, 1)) < half[:, 1])
    rests = contact & above
    return rests & ~rests.T


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
        phrase: how it reads between two objects, as in "left of"; the predicate by default.
        local: it relates few pairs, so that figures and the viewer draw it as a line. The others
            hold for nearly every pair.
        box_rule: returns whether it holds, bool [N, N], of axis-aligned boxes f64 [N, 6]; None
            where such boxes cannot tell.
    """

    predicate: str
    family: str
    definition: str = ""
    inverse: str | None = None
    symmetric: bool = False
    view_dependent: bool = False
    exhaustive: bool = False
    mutual: bool = False
    phrase: str = ""
    local: bool = False
    box_rule: Callable[[np.ndarray], np.ndarray] | None = None


# The order of rows is the order of the network's outputs. Append new rows at the end.
RELATIONS = (
    Relation(
        predicate="on",
        family="support",
        definition="On and under: what stands on what.",
        inverse="under",
        local=True,
        box_rule=_on,
    ),
    Relation(
        predicate="under",
        family="support",
        inverse="on",
        local=True,
        box_rule=lambda boxes: _on(boxes).T,
    ),
    Relation(
        predicate="near",
        family="distance",
        definition="Near: closest points of boxes under 0.5 m, void to 0.75 m; sentences do not "
        "say it of what stands on the other.",
        symmetric=True,
        local=True,
        box_rule=_near,
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
        phrase="left of",
        box_rule=lambda boxes: ~_lengthwise(boxes) & (_offset(boxes, 1) > 0),
    ),
    Relation(
        predicate="right",
        family="side",
        inverse="left",
        view_dependent=True,
        exhaustive=True,
        phrase="right of",
        box_rule=lambda boxes: ~_lengthwise(boxes) & (_offset(boxes, 1) <= 0),
    ),
    Relation(
        predicate="front",
        family="side",
        inverse="behind",
        view_dependent=True,
        exhaustive=True,
        phrase="in front of",
        box_rule=lambda boxes: _lengthwise(boxes) & (_offset(boxes, 0) <= 0),
    ),
    Relation(
        predicate="behind",
        family="side",
        inverse="front",
        view_dependent=True,
        exhaustive=True,
        box_rule=lambda boxes: _lengthwise(boxes) & (_offset(boxes, 0) > 0),
    ),
    Relation(
        predicate="larger",
        family="size",
        definition="Larger: over 1.5 times the volume, void down to 1.1.",
        phrase="larger than",
        box_rule=_larger,
    ),
    Relation(
        predicate="facing",
        family="facing",
        definition="Facing: front axis within 20 degrees of the other's centre, void to 30 and "
        "where the axis meets the other's footprint.",
        mutual=True,
        local=True,
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
PHRASES = {row.predicate: row.phrase or row.predicate for row in RELATIONS}
LOCAL = tuple(row.predicate for row in RELATIONS if row.local)
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
