"""Verdicts on declared claims, read off the corrected p-values of their primary tests."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from metrics.statistics.effects import ALPHA
from metrics.statistics.families import PRIMARY, Claim, DeclaredTest
from metrics.statistics.measures import higher_is_better
from metrics.statistics.moments import TRAININGS_AND_SCENES

COLUMNS = [
    *("family", "claim", "verdict", "facet", "role", "split", "subset", "metric", "method_a"),
    *("method_b", "difference", "ci_low", "ci_high", "p", "p_adjusted", "corrected_in"),
    *("smallest_effect", "outcome", "reason"),
]
SUPPORTED = "supported"
BETTER, WORSE, SMALL, TIED, UNTESTED = (
    *("better", "worse", "below the smallest effect", "not separable", "untested"),
)
# Outcomes of a primary test that refute a claim, in the order in which a verdict names them.
FAILURES = (WORSE, TIED, SMALL)


def outcome(p_adjusted: float, difference: float, metric: str, smallest_effect: float = 0.0) -> str:
    """Return what a test of a - b says of method a.

    Args:
        p_adjusted: its corrected p; NaN for a test that was not run.
        difference: mean of a minus mean of b.
        metric: name, which gives the better direction.
        smallest_effect: the least difference that counts, in the metric's unit.

    Example:
        >>> outcome(0.01, -0.1, "chamfer_l1_m"), outcome(0.01, 0.01, "mesh_iou", 0.02)
        ('better', 'below the smallest effect')
    """
    if np.isnan(p_adjusted):
        return UNTESTED
    if p_adjusted >= ALPHA:
        return TIED
    if (difference > 0) != higher_is_better(metric):
        return WORSE
    return BETTER if abs(difference) >= smallest_effect else SMALL


def verdict(outcomes: list[str], reasons: list[str]) -> str:
    """Return the verdict on a claim from the outcomes of its primary tests.

    Args:
        outcomes: as `outcome` returns them.
        reasons: why each was not tested; "" where it was.

    Example:
        >>> verdict(["better", "better"], ["", ""])
        'supported'
        >>> verdict(["better", "not separable", "untested"], ["", "", "no scores"])
        'not supported: 1 of 3 not separable, 1 of 3 untested (no scores)'
        >>> verdict(["better", "untested"], ["", "one training"])
        'undecided: 1 of 2 untested (one training)'
    """
    counts = Counter(outcomes)
    parts = [f"{counts[kind]} of {len(outcomes)} {kind}" for kind in FAILURES if counts[kind]]
    word = "not supported" if parts else "undecided"
    if counts[UNTESTED] or not outcomes:
        parts_of_reasons = "; ".join(reason for reason in reasons if reason).split("; ")
        why = "; ".join(dict.fromkeys(parts_of_reasons)) or "no tests"
        parts.append(f"{counts[UNTESTED]} of {len(outcomes)} untested ({why})")
    return f"{word}: {', '.join(parts)}" if parts else SUPPORTED


def claim_table(
    claims: list[Claim],
    rows: Mapping[DeclaredTest, Mapping[str, Any]],
    smallest_effect: Mapping[str, float],
) -> pd.DataFrame:
    """Return a row (`COLUMNS`) for each declared test of each claim.

    Args:
        claims: as `families.parse_families` returns them.
        rows: the difference of each declared test, for new trainings and new scenes, with its
            corrected p; `note` says why there is none.
        smallest_effect: by metric; 0 for any other.
    """
    table = []
    for claim in claims:
        lines = []
        for facet, role, test in claim.tests():
            row = rows[test]
            least = smallest_effect.get(test.metric, 0.0)
            found = outcome(row["p_adjusted"], row["difference"], test.metric, least)
            line = {name: row[name] for name in COLUMNS if name in row}
            if row["question"] != TRAININGS_AND_SCENES:
                # A p-value for other questions says nothing about the methods.
                line |= dict.fromkeys(("ci_low", "ci_high", "p"), np.nan)
            line |= {"family": claim.family, "claim": claim.name, "facet": facet.name}
            line |= {"role": role, "corrected_in": row["family"], "smallest_effect": least}
            # Notes of tests without scores begin with "not tested: " or "not decided: ".
            reason = re.sub("^not (tested|decided): ", "", row["note"]) if found == UNTESTED else ""
            lines.append(line | {"outcome": found, "reason": reason})
        primary = [line for line in lines if line["role"] == PRIMARY]
        words = verdict([x["outcome"] for x in primary], [x["reason"] for x in primary])
        table += [line | {"verdict": words} for line in lines]
    return pd.DataFrame(table).reindex(columns=COLUMNS)
