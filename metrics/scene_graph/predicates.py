"""The closed list of spatial predicates, by family.

At most one predicate of a family holds for an ordered pair of objects. The formulas
stand in the data sheet; this file holds the names alone.
"""

from __future__ import annotations

FAMILIES: dict[str, tuple[str, ...]] = {
    "support": ("on", "under"),
    "distance": ("near",),
    "side": ("left", "right", "front", "behind"),
    "size": ("larger",),
    "facing": ("facing",),
}

PREDICATES: tuple[str, ...] = tuple(name for names in FAMILIES.values() for name in names)

FAMILY_OF: dict[str, str] = {name: family for family, names in FAMILIES.items() for name in names}

# Families whose truth depends on the first camera.
VIEW_DEPENDENT: frozenset[str] = frozenset({"side"})

# Families in which the pair always carries one of the predicates: there is no "none".
EXHAUSTIVE: frozenset[str] = frozenset({"side"})

# p(i, j) is the same statement as INVERSE[p](j, i).
INVERSE: dict[str, str] = {
    "on": "under",
    "under": "on",
    "left": "right",
    "right": "left",
    "front": "behind",
    "behind": "front",
}

# p(i, j) is the same statement as p(j, i).
SYMMETRIC: frozenset[str] = frozenset({"near"})

# Families whose predicate may hold in both orders of a pair as two separate facts.
MUTUAL: frozenset[str] = frozenset({"facing"})
