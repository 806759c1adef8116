"""Declared families of tests, and p-values corrected for multiplicity within each family."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

EXPLORATORY = "exploratory"


@dataclass(frozen=True)
class DeclaredTest:
    """One declared comparison: method a against method b, on one metric of a split and subset."""

    family: str
    split: str
    subset: str
    metric: str
    a: str
    b: str


def parse_families(families: dict[str, Any]) -> list[DeclaredTest]:
    """Expand the families of a checked config into single tests, without duplicates.

    Args:
        families: {family: {"split": ..., "tests": [{"a": ..., "b": [...], "metrics": [...]}]}};
            `b` may be a single name, and a metric is written `name` or `name/subset`.

    Returns:
        The tests in the order of the config.

    Example:
        >>> tests = [{"a": "ours", "b": ["theirs"], "metrics": ["fscore@5cm"]}]
        >>> [(t.metric, t.a, t.b) for t in parse_families({"f": {"split": "s", "tests": tests}})]
        [('fscore@5cm', 'ours', 'theirs')]
    """
    tests = []
    for family, declared in families.items():
        for group in declared["tests"]:
            rivals = [group["b"]] if isinstance(group["b"], str) else group["b"]
            for rival in rivals:
                for text in group["metrics"]:
                    metric, _, subset = text.partition("/")
                    where = (family, declared["split"], subset or "all", metric)
                    tests.append(DeclaredTest(*where, group["a"], rival))
    return list(dict.fromkeys(tests))


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values [n] adjusted by Holm's step-down procedure.

    A test that was declared and could not be run (NaN) counts as p = 1 and stays NaN. The values
    equal those of statsmodels, whose function collects garbage in every call; that would dominate
    the run time here, with one small family a metric.

    Source: Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    filled = np.where(np.isnan(p), 1.0, p)
    order = np.argsort(filled, kind="stable")
    steps = np.minimum(np.maximum.accumulate(filled[order] * np.arange(len(p), 0, -1)), 1.0)
    adjusted = np.empty(len(p))
    adjusted[order] = steps
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


def adjust_families(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the columns p_adjusted and adjustment, corrected within each `family`.

    Declared families are corrected by Holm's procedure, the exploratory one by Benjamini and
    Hochberg's.
    """
    rows = rows.copy()
    rows["p_adjusted"], rows["adjustment"] = np.nan, ""
    for family, index in rows.groupby("family").groups.items():
        p = rows.loc[index, "p"].to_numpy(np.float64)
        exploratory = family == EXPLORATORY
        rows.loc[index, "p_adjusted"] = benjamini_hochberg(p) if exploratory else holm(p)
        rows.loc[index, "adjustment"] = "Benjamini-Hochberg" if exploratory else "Holm"
    return rows
