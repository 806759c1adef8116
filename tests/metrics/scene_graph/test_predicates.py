"""The table of relations is consistent, whatever rows are added to it."""

from __future__ import annotations

from itertools import groupby

from metrics.scene_graph.predicates import (
    DEFINITIONS,
    FAMILIES,
    FAMILY_OF,
    INVERSE,
    LABELS,
    PREDICATES,
    RELATIONS,
    SYMMETRIC,
)


def test_predicates_are_unique_and_families_contiguous():
    assert len(set(PREDICATES)) == len(PREDICATES)
    assert "none" not in PREDICATES
    runs = [family for family, _ in groupby(row.family for row in RELATIONS)]
    assert len(set(runs)) == len(runs) == len(FAMILIES)


def test_rows_of_a_family_agree():
    for family, names in FAMILIES.items():
        rows = [row for row in RELATIONS if row.predicate in names]
        flags = {(row.view_dependent, row.exhaustive, row.mutual) for row in rows}
        assert len(flags) == 1, family
        assert [bool(row.definition) for row in rows] == [True] + [False] * (len(rows) - 1)
    assert DEFINITIONS.keys() == FAMILIES.keys()


def test_an_inverse_is_of_the_same_family_and_mutual():
    for name, inverse in INVERSE.items():
        assert INVERSE[inverse] == name != inverse
        assert FAMILY_OF[inverse] == FAMILY_OF[name]
        assert name not in SYMMETRIC


def test_labels_end_in_none_unless_a_predicate_always_holds():
    assert LABELS["support"] == ("on", "under", "none")
    assert LABELS["side"] == ("left", "right", "front", "behind")
