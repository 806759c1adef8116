"""Declared families of claims, and the one corrected p-value of every difference.

A family is a list of claims. A claim says that a method is better than others, and has one or more
facets. A facet names one primary metric, and secondary metrics in the order in which they are
tested. Each difference of two methods belongs to one place, which gives it its one corrected p:

- a primary test, to the first family by name that declares it: Holm's procedure over the family's
  primary tests;
- a secondary test, to its facet: a fixed sequence, which goes on to the next metric while every
  test so far is rejected (Holm within a metric that has several rivals);
- any other difference, to an exploratory group: Benjamini and Hochberg's procedure.

Holm's procedure bounds the probability of any false rejection among a family's primary tests; the
fixed sequence bounds it within each facet, not over all facets together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from statsmodels.stats.multitest import multipletests

from metrics.files import InputError

EXPLORATORY = "exploratory"
PRIMARY, SECONDARY = "primary", "secondary"


@dataclass(frozen=True)
class DeclaredTest:
    """One comparison: method a against method b, on one metric of a split and subset."""

    split: str
    subset: str
    metric: str
    a: str
    b: str


@dataclass(frozen=True)
class Facet:
    """One aspect of a claim.

    Attributes:
        name: of the facet.
        steps: the tests of the primary metric, then those of each secondary metric in its order;
            within a step, one test a rival.
    """

    name: str
    steps: tuple[tuple[DeclaredTest, ...], ...]

    @property
    def primary(self) -> tuple[DeclaredTest, ...]:
        """The tests of the primary metric: the method must lead over every rival."""
        return self.steps[0]


@dataclass(frozen=True)
class Claim:
    """A claim of a family; it holds only if the primary tests of all its facets do."""

    family: str
    name: str
    facets: tuple[Facet, ...]

    def tests(self) -> Iterator[tuple[Facet, str, DeclaredTest]]:
        """Yield (facet, role, test) in order: of each facet the primary tests, then the others."""
        for facet in self.facets:
            for place, step in enumerate(facet.steps):
                for test in step:
                    yield facet, SECONDARY if place else PRIMARY, test


@dataclass(frozen=True)
class Place:
    """Where a declared test is corrected.

    Attributes:
        family: its family.
        role: `PRIMARY` or `SECONDARY`.
        p: its corrected p; NaN for a test that was not run.
        size: the smallest p of the place is compared with 0.05 / size.
        gate: the largest corrected p of the tests before it in its facet; 0 for a primary test.
    """

    family: str
    role: str
    p: float
    size: int
    gate: float


def parse_families(families: Mapping[str, Any], source: str = "config") -> list[Claim]:
    """Expand the families of a checked config into claims.

    Families, claims and facets are sorted by name, so that the result does not depend on the order
    in which files are merged or keys are written.

    Args:
        families: {family: {"split": ..., "claims": {claim: {"a": ..., "against": [...],
            "facets": {facet: {"primary": ..., "secondary": [...], "controls": [...]}}}}}}.
            A metric is written `name` or `name/subset`. `secondary` and `controls` may be left
            out; on the primary metric, a facet's controls are rivals too.
        source: the file, for messages.

    Raises:
        InputError: a secondary test is declared twice, or is a primary test elsewhere. A primary
            test may serve several claims.

    Example:
        >>> facets = {"quality": {"primary": "mesh_iou", "controls": ["constant"]}}
        >>> claims = {"better": {"a": "ours", "against": ["theirs"], "facets": facets}}
        >>> (claim,) = parse_families({"f": {"split": "s", "claims": claims}})
        >>> [(test.metric, test.a, test.b) for _, _, test in claim.tests()]
        [('mesh_iou', 'ours', 'theirs'), ('mesh_iou', 'ours', 'constant')]
    """
    claims = []
    for family, declared in sorted(families.items()):
        for name, claim in sorted(declared["claims"].items()):
            facets = [
                _facet(facet, parts, declared["split"], claim["a"], claim["against"])
                for facet, parts in sorted(claim["facets"].items())
            ]
            claims.append(Claim(family, name, tuple(facets)))
    _refuse_second_places(claims, source)
    return claims


def _facet(name: str, parts: Mapping[str, Any], split: str, a: str, against: list[str]) -> Facet:
    def tests(metric: str, rivals: list[str]) -> tuple[DeclaredTest, ...]:
        metric, _, subset = metric.partition("/")
        names = dict.fromkeys(rival for rival in rivals if rival != a)
        return tuple(DeclaredTest(split, subset or "all", metric, a, b) for b in names)

    primary = tests(parts["primary"], [*against, *parts.get("controls", ())])
    return Facet(name, (primary, *(tests(m, against) for m in parts.get("secondary", ()))))


def _refuse_second_places(claims: list[Claim], source: str) -> None:
    """Raise InputError where a difference would have two corrected p-values."""
    places: dict[tuple[Any, ...], tuple[str, str, str]] = {}
    for claim in claims:
        for facet, role, test in claim.tests():
            # a - b and b - a are one difference.
            key = (test.split, test.subset, test.metric, frozenset((test.a, test.b)))
            here = (role, test.a, f"{claim.family}.{claim.name}.{facet.name}")
            first = places.get(key)
            if first and (SECONDARY in (role, first[0]) or first[1] != test.a):
                raise InputError(
                    f"{source}: families: {test.metric}/{test.subset} of {test.a} against {test.b} "
                    f"is a {role} test of {here[2]}, but also a {first[0]} test of {first[2]}; "
                    "declare it once, or as the same primary test in both"
                )
            places.setdefault(key, here)


def controls_of(families: Mapping[str, Any]) -> list[str]:
    """Return the controls that facets of a checked config name, each once."""
    facets = chain.from_iterable(
        claim["facets"].values()
        for declared in families.values()
        for claim in declared["claims"].values()
    )
    return list(dict.fromkeys(name for facet in facets for name in facet.get("controls", ())))


def adjust(claims: list[Claim], p: Mapping[DeclaredTest, float]) -> dict[DeclaredTest, Place]:
    """Return the place and the corrected p of every declared test.

    Args:
        claims: as `parse_families` returns them.
        p: two-sided p of the tests that could be run. The others keep their place in a family,
            stop a sequence, and have the corrected p NaN.

    Source: Holm, A simple sequentially rejective multiple test procedure, 1979; Maurer, Hothorn and
        Lehmacher, Multiple comparisons in drug clinical trials and preclinical assays: a-priori
        ordered hypotheses, 1995 (fixed sequence).
    """
    found: dict[DeclaredTest, Place] = {}

    def put(tests: list[DeclaredTest], family: str, role: str, gate: float) -> None:
        adjusted = holm(np.array([p.get(test, np.nan) for test in tests]))
        for test, value in zip(tests, adjusted, strict=True):
            # NaN stays NaN in `np.maximum`.
            found[test] = Place(family, role, float(np.maximum(value, gate)), len(tests), gate)

    for family in dict.fromkeys(claim.family for claim in claims):
        primaries = (f.primary for c in claims if c.family == family for f in c.facets)
        new = [test for test in dict.fromkeys(chain.from_iterable(primaries)) if test not in found]
        put(new, family, PRIMARY, 0.0)
    for claim in claims:
        for facet in claim.facets:
            gate = 0.0
            for step, tests in enumerate(facet.steps):
                if step:
                    put(list(tests), claim.family, SECONDARY, gate)
                gate = max([gate, *(np.nan_to_num(found[test].p, nan=1.0) for test in tests)])
    return found


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values [n] adjusted by Holm's step-down procedure.

    A test that was declared and could not be run (NaN) counts as p = 1 and stays NaN.

    Source: Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    if not len(p):
        return p
    adjusted = multipletests(np.where(np.isnan(p), 1.0, p), method="holm")[1]
    return np.where(np.isnan(p), np.nan, adjusted)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Return p-values [n] adjusted for the false discovery rate; NaN are left out and stay NaN.

    Source: Benjamini and Hochberg, Controlling the false discovery rate, 1995.
    """
    known = ~np.isnan(p)
    adjusted = np.full(p.shape, np.nan)
    if known.any():
        adjusted[known] = multipletests(p[known], method="fdr_bh")[1]
    return adjusted
