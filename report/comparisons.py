"""Tables of declared tests: one a family, with what each test found in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from metrics.statistics.measures import higher_is_better
from report import data, names
from report.table import Table

TITLES = {
    "article": "The article's comparisons",
    "contrasts": "Baselines against each other",
    "causes": "What causes the gain",
    "generalisation": "Generalisation: how the gap changes on held-out furniture",
}


def verdict(row: Any) -> str:
    """Say what a declared test found: "a better", "b better", or what kept it from saying so."""
    if pd.isna(row.p_adjusted):
        return "not tested"
    if row.p_adjusted >= 0.05:
        return "not separable"
    good = row.difference > 0
    good = good if higher_is_better(row.metric) else not good
    return f"{row.method_a if good else row.method_b} better"


def family_tables(stats: data.Statistics) -> list[Table]:
    """Return a table for each declared family that has rows, the project's own ones first."""
    found = set(stats.differences["family"]) - {"exploratory"}
    named = [family for family in TITLES if family in found]
    return [family_table(stats, family) for family in [*named, *sorted(found - set(TITLES))]]


def family_table(stats: data.Statistics, family: str) -> Table:
    """Return a declared family: both means, difference, p, Holm p, sizes, seeds and scenes."""
    tests = stats.tests(family)
    order = {name: k for k, name in enumerate(stats.names())}
    metric_order = {name: k for k, name in enumerate(names.HEADLINE)}
    tests = tests.assign(
        _b=tests["method_b"].map(order).fillna(len(order)),
        _m=tests["metric"].map(metric_order).fillna(len(metric_order)),
    ).sort_values(["split", "_b", "_m", "method_a"], kind="stable")
    tests = tests.drop(columns=["_b", "_m"])
    one_first = tests["method_a"].nunique() == 1
    text = [_family_row(stats, row, one_first) for row in tests.itertuples()]
    numbers = tests.assign(result=[verdict(row) for row in tests.itertuples()])
    caption = (
        "Difference is the first method minus the second, with the 95% interval for new trainings "
        f"and new scenes; Holm corrects over the {len(tests)} declared tests. "
        "“Not separable” does not mean equal: MDE is the difference that a test at .05 "
        "would find in 80% of studies."
    )
    if family == "generalisation":
        caption = f"Each mean is a change between splits, {tests['split'].iloc[0]}. {caption}"
    title = TITLES.get(family, names.title(family))
    return Table(family, title, pd.DataFrame(text), numbers, caption, groups=True)


def _family_row(stats: data.Statistics, row: Any, one_first: bool) -> dict[str, str]:
    def shown(method: str, mean: float) -> str:
        found = stats.estimate(method, row.split, row.subset, row.metric)
        if found is None:
            return names.number(mean)
        return names.interval(found.mean, found.ci_low, found.ci_high)

    first = {row.method_a: shown(row.method_a, row.mean_a)}
    if not one_first:
        first = {"First": row.method_a, "First’s mean": shown(row.method_a, row.mean_a)}
    seeds = "" if np.isnan(row.n_scenes) else f"{row.n_seeds_a:.0f}/{row.n_seeds_b:.0f}"
    return {
        "Item": names.ARTICLE_ITEMS.get(row.method_b, row.method_b),
        "Metric": names.metric_head(row.metric, row.subset),
        **first,
        "Other": shown(row.method_b, row.mean_b),
        "Difference": names.interval(row.difference, row.ci_low, row.ci_high),
        "p": names.p_value(row.p),
        "p Holm": names.p_value(row.p_adjusted),
        "Result": verdict(row) if not str(row.note).startswith("not tested") else row.note,
        "d_z": names.number(row.dz, 2),
        "MDE": names.number(row.mde, names.digits_for(row.mde)),
        "Seeds": seeds,
        "Scenes": "" if np.isnan(row.n_scenes) else f"{row.n_scenes:.0f}",
    }
