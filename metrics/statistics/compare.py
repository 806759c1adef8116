"""Turn a long table of scores into estimates, differences and tests.

`python -m metrics compare` and the compare stage of the workflow call `compare` and `write`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from metrics.files import atomic_path, write_json
from metrics.statistics import (
    claims,
    collapses,
    contrasts,
    detection,
    effects,
    families,
    moments,
    pairwise_differences,
    profiles,
    ranks,
    secondary_estimands,
    table,
)
from metrics.statistics.families import EXPLORATORY, DeclaredTest
from metrics.statistics.measures import (
    bounds,
    has_gallery,
    higher_is_better,
    is_smooth,
    is_task,
    metric_group,
    reason_for_metric,
)
from metrics.statistics.settings import check_settings

HEADLINE = moments.TRAININGS_AND_SCENES
ESTIMATE_COLUMNS = [
    *("method", "split", "subset", "metric", "mean", "ci_low", "ci_high", "df", "n_seeds"),
    *("n_scenes", "question", "estimator", "tie_group", "succeeded", "mean_succeeded"),
    *("query_mean", "note"),
]
DIFFERENCE_COLUMNS = [
    *("family", "role", "group", "split", "subset", "metric", "method_a", "method_b", "mean_a"),
    *("mean_b", "difference", "ci_low", "ci_high", "df", "p", "p_adjusted", "adjustment", "dz"),
    *("prob_improvement", "mde", "mde_family", "p_equivalent", "margin", "tie_group", "question"),
    *("estimator", "pairing", "n_seeds_a", "n_seeds_b", "n_scenes", "note"),
]
HOLM, SEQUENCE, FALSE_DISCOVERY = "Holm", "Holm, fixed sequence", "Benjamini-Hochberg"

# What a row of a median lacks: its pseudo-values give no variance.
_INFERENCE = ("ci_low", "ci_high", "df", "p", "p_equivalent", "dz")
_GALLERY = "for this gallery of items"
_MEDIAN = "no interval: a median has no jackknife"

Key = tuple[str, str, str]  # split, subset, metric
Row = dict[str, Any]
# {method: {task: why no claim about the method is decided by that task's metrics}}
Unfit = Mapping[str, Mapping[str, str]]


@dataclass
class _Comparison:
    """The settings of one comparison, and the rows collected while it walks over the metrics."""

    claims: list[families.Claim]
    config: dict[str, Any]
    unfit: Unfit
    methods: dict[str, dict[str, Any]]
    controls: set[str] = field(default_factory=set)
    estimates: list[Row] = field(default_factory=list)
    differences: list[Row] = field(default_factory=list)
    declared: dict[DeclaredTest, Row] = field(default_factory=dict)
    secondary: list[secondary_estimands.DeclaredPair] = field(default_factory=list)
    ranks: list[Row] = field(default_factory=list)
    profiles: list[Row] = field(default_factory=list)
    collapses: list[Row] = field(default_factory=list)
    blocks: contrasts.Blocks = field(default_factory=dict)
    tested: list[Key] = field(default_factory=list)

    @property
    def reference(self) -> str | None:
        return self.config.get("reference")

    @cached_property
    def paired(self) -> set[frozenset[str]]:
        """The pairs of methods whose trainings are declared to be paired by seed."""
        groups = self.config.get("paired", ())
        return {frozenset(pair) for group in groups for pair in combinations(group, 2)}

    @cached_property
    def tests(self) -> list[DeclaredTest]:
        """The declared tests, each once."""
        return list(dict.fromkeys(test for claim in self.claims for _, _, test in claim.tests()))

    def pairs(self, key: Key, methods: list[str]) -> dict[tuple[str, str], DeclaredTest | None]:
        """Return the pairs (a, b) of methods that are compared, with the test that declares each.

        These are the declared pairs, all pairs without a control, and the reference with each
        control but the upper bound.
        """
        here: dict[tuple[str, str], DeclaredTest | None] = {
            (test.a, test.b): test
            for test in self.tests
            if (test.split, test.subset, test.metric) == key and {test.a, test.b} <= set(methods)
        }
        for a, b in combinations(methods, 2):
            if b == self.reference:
                a, b = b, a
            control = a in self.controls or b in self.controls
            bound = self.config.get("upper_bound")
            wanted = not control or (a == self.reference and b != bound)
            if wanted and (b, a) not in here:
                here.setdefault((a, b), None)
        return here


def compare(
    source: str | Path | pd.DataFrame,
    config: dict[str, Any] | None = None,
    unfit: Unfit | None = None,
) -> dict[str, Any]:
    """Return the statistics of a table of scores.

    Args:
        source: a scores folder (method/seed/split.parquet), one parquet or csv file, or a frame;
            the cells that `write` wrote give the same statistics again.
        config: an experiment's `statistics` section; every key may be left out:
            reference: method that all others are compared with;
            families: the declared claims, see `families.parse_families`;
            smallest_effect: {metric: least difference with which a claim is supported};
            controls: methods that get no rank and no tie letter, as the controls of claims;
            lower_bound, upper_bound: controls; the upper one is not compared with the reference;
            equivalence_share: share of the reference's distance from the lower bound that is the
                margin of the equivalence tests; there are none without it;
            descriptive: splits with too few scenes for a test;
            paired: groups of methods of one code base, whose trainings of one seed share initial
                weights, data order and dropout; any two of a group are paired by seed;
            deterministic: methods without a seed axis, where no sidecar file says so;
            generalisation, data_efficiency: see `contrasts`.
        unfit: {method: {task: reason}} of methods about which no claim is decided by the metrics
            of a task; a task that the registry does not know counts for all metrics.

    Returns:
        The frames "estimates", "differences", "claims", "ranks", "profiles", "collapses",
        "retention" and "cells", and the dict "methods".

    Raises:
        InputError: the table cannot be compared, or the config has another form.
    """
    config = config or {}
    check_settings(config, "config")
    scores = table.load(source, config.get("deterministic", ()))
    methods = set(scores.cells["method"].unique())
    declared = families.parse_families(config.get("families", {}))
    # A family without any test of two scored methods is left out. A family that has one keeps all
    # of its tests, so that its size stays as declared.
    scored = {c.family for c in declared for _, _, test in c.tests() if {test.a, test.b} <= methods}
    run = _Comparison(
        [claim for claim in declared if claim.family in scored],
        config,
        unfit or {},
        scores.methods,
        {*config.get("controls", ()), *families.controls_of(config.get("families", {}))},
    )
    contrasted = contrasts.splits(config)
    for key, blocks in table.blocks(scores):
        _compare_metric(run, key, blocks)
        if key[1] == "all" and key[0] in contrasted and is_smooth(key[2]):
            run.blocks[key] = blocks
    _add_untested(run)
    _place_declared(run)
    rows = run.differences
    rows += contrasts.generalisation(run.blocks, run.reference, config.get("generalisation"))
    rows += contrasts.data_efficiency(run.blocks, run.reference, config.get("data_efficiency"))
    differences = _difference_table(rows)
    letters = _tie_letters(run, differences)
    differences["tie_group"] = _shared_letters(differences, letters)
    # Secondary rows repeat what their declared difference says of family and role.
    others = pd.DataFrame(secondary_estimands.secondary_rows(run.secondary))
    differences = pd.concat([differences, others], ignore_index=True).reindex(
        columns=DIFFERENCE_COLUMNS
    )
    text = ["role", "group", "adjustment", "tie_group", "note"]
    differences[text] = differences[text].fillna("")
    retention = contrasts.retention(run.blocks, config.get("generalisation"))
    return {
        "estimates": _estimate_table(run.estimates, letters, scores.success()),
        "differences": differences,
        "claims": claims.claim_table(run.claims, run.declared, config.get("smallest_effect", {})),
        "ranks": pd.DataFrame(run.ranks).reindex(columns=ranks.COLUMNS),
        "profiles": pd.DataFrame(run.profiles).reindex(columns=profiles.COLUMNS),
        "collapses": pd.DataFrame(run.collapses).reindex(columns=collapses.COLUMNS),
        "retention": pd.DataFrame(retention).reindex(columns=contrasts.RETENTION_COLUMNS),
        "cells": scores.frame(),
        "methods": scores.methods,
    }


def _compare_metric(run: _Comparison, key: Key, blocks: dict[str, table.Block]) -> None:
    """Add the rows of one metric on one split and subset."""
    split, subset, metric = key
    scored = {name: block for name, block in blocks.items() if block.scenes}
    competitors = {name: block for name, block in scored.items() if name not in run.controls}
    # The config declares that some splits have too few scenes for a test.
    descriptive, upwards = split in run.config.get("descriptive", ()), higher_is_better(metric)
    untested = descriptive or not is_smooth(metric)
    if not untested:
        run.tested.append(key)
    run.estimates += _estimate_rows(key, blocks)
    _add_differences(run, key, scored, descriptive)
    if subset == "all":
        run.ranks += ranks.rank_rows(key, competitors, upwards, untested)
        run.profiles += profiles.profile_rows(key, scored, upwards)
        found = collapses.collapsed_trainings(scored, upwards)
        run.collapses += [{"split": split, "metric": metric} | row for row in found]


def _add_differences(
    run: _Comparison, key: Key, blocks: dict[str, table.Block], descriptive: bool
) -> None:
    """Add one metric's differences, declared and exploratory."""
    split, subset, metric = key
    pairs = run.pairs(key, list(blocks))
    margin = _equivalence_margin(run, blocks)
    for (a, b), row in zip(
        pairs,
        pairwise_differences.differences(blocks, list(pairs), margin, bounds(metric), run.paired),
        strict=True,
    ):
        row |= {"split": split, "subset": subset, "metric": metric, "margin": margin}
        row["prob_improvement"] = pairwise_differences.improvement(
            blocks[a], blocks[b], higher_is_better(metric)
        )
        if row["question"] == HEADLINE and row["variance"] == 0 and row["difference"] != 0:
            # The same gap in every cell leaves no variance to estimate, but is no tie.
            row["p"] = 0.0
        if not is_smooth(metric):
            row |= dict.fromkeys(_INFERENCE, np.nan) | {"note": _join_notes(_MEDIAN, row["note"])}
        if descriptive:
            row["p"] = row["p_equivalent"] = np.nan
            row["note"] = _join_notes(row["note"], "descriptive: no test")
        test = pairs[a, b]
        if test is None:
            controls = ", controls" if {a, b} & run.controls else ""
            row |= {"family": EXPLORATORY, "role": ""}
            row["group"] = f"{split}, {metric_group(metric)}{controls}"
        else:
            run.declared[test] = row
            if is_smooth(metric) and not descriptive:
                run.secondary.append((row, blocks[a], blocks[b]))
        run.differences.append(row)


def _equivalence_margin(run: _Comparison, blocks: dict[str, table.Block]) -> float:
    """Return the declared share of the reference's distance from the lower bound, else NaN."""
    ends = [blocks.get(name) for name in (run.reference, run.config.get("lower_bound"))]
    if "equivalence_share" not in run.config or None in ends:
        return float("nan")
    best, worst = (float(block.summary().estimate) for block in ends if block)
    return float(run.config["equivalence_share"] * abs(best - worst)) or float("nan")


def _add_untested(run: _Comparison) -> None:
    """Add a row without numbers for each declared test without scores."""
    for test in run.tests:
        if test in run.declared:
            continue
        key = (test.split, test.subset, test.metric)
        present = {row["method"] for row in run.estimates if _key(row) == key}
        reasons = [
            _why_not_scored(run, name, test) for name in (test.a, test.b) if name not in present
        ]
        row = dict(zip(table.KEY, key, strict=True))
        row |= {"method_a": test.a, "method_b": test.b, "p": np.nan, "difference": np.nan}
        row |= {"question": HEADLINE, "note": f"not tested: {'; '.join(reasons) or 'no scores'}"}
        run.declared[test] = row
        run.differences.append(row)


def _key(row: Row) -> Key:
    return row["split"], row["subset"], row["metric"]


def _why_not_scored(run: _Comparison, method: str, test: DeclaredTest) -> str:
    facts = run.methods.get(method, {})
    reason = facts.get("skipped") or reason_for_metric(facts.get("reasons", {}), test.metric)
    scored = any(row["method"] == method for row in run.estimates)
    what = f"{method} has no {test.metric}" if scored else f"no scores of {method}"
    return what + (f": {reason}" if reason else "")


def _place_declared(run: _Comparison) -> None:
    """Give each declared test its family, its role and its one corrected p."""
    p = {}
    for test, row in run.declared.items():
        reasons = [_why_unfit(run.unfit, name, test.metric) for name in (test.a, test.b)]
        if any(reasons):
            why = f"not decided: {'; '.join(reason for reason in reasons if reason)}"
            row["note"] = _join_notes(why, row["note"])
        elif row["question"] == HEADLINE:
            p[test] = row["p"]
    for test, place in families.adjust(run.claims, p).items():
        row = run.declared[test]
        row |= {"family": place.family, "role": place.role, "group": place.family}
        row |= {"p_adjusted": np.nan, "adjustment": ""}
        if row["question"] != HEADLINE:
            continue
        row |= {"p_adjusted": place.p}
        row["adjustment"] = SEQUENCE if place.role == families.SECONDARY else HOLM
        if "ci_low" in row:
            # The first step of Holm's procedure tests at the level divided by the size.
            row["mde"] = detection.detectable(row["design"])
            row["mde_family"] = detection.detectable(row["design"], effects.ALPHA / place.size)
        if place.gate >= effects.ALPHA and row["p"] < effects.ALPHA:
            stopped = "not reached: an earlier test of its facet is not separable"
            row["note"] = _join_notes(row["note"], stopped)


def _why_unfit(unfit: Unfit, method: str, metric: str) -> str:
    """Return why no claim about a method is decided by a metric, "" where it is fit."""
    tasks = unfit.get(method, {})
    general = next((tasks[task] for task in tasks if not is_task(task)), "")
    reason = reason_for_metric(tasks, metric) or general
    return f"{method} is unfit ({reason})" if reason else ""


def _join_notes(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _estimate_rows(key: Key, blocks: dict[str, table.Block]) -> list[Row]:
    rows = []
    for name, block in blocks.items():
        row = pairwise_differences.mean_row(block, bounds(key[2]))
        if not is_smooth(key[2]):
            row |= dict.fromkeys(("ci_low", "ci_high", "df"), np.nan) | {"note": _MEDIAN}
        gallery = _GALLERY if has_gallery(key[2]) else ""
        row["note"] = _join_notes(row["note"], block.note, gallery)
        rows.append(dict(zip(table.KEY, key, strict=True)) | row | {"method": name})
    return rows


def _difference_table(rows: list[Row]) -> pd.DataFrame:
    """Return the rows as a table, with the corrected p of those outside the declared families."""
    frame = pd.DataFrame(rows).reindex(columns=DIFFERENCE_COLUMNS)
    # An interaction's family is its group.
    frame["group"] = frame["group"].fillna(frame["family"])
    frame[["role", "adjustment"]] = frame[["role", "adjustment"]].astype(object).fillna("")
    open_rows = frame[(frame["role"] == "") & (frame["question"] == HEADLINE)]
    for (family, _), part in open_rows.groupby(["family", "group"]):
        correct = families.benjamini_hochberg if family == EXPLORATORY else families.holm
        frame.loc[part.index, "p_adjusted"] = correct(part["p"].to_numpy(np.float64))
        frame.loc[part.index, "adjustment"] = FALSE_DISCOVERY if family == EXPLORATORY else HOLM
        if family != EXPLORATORY:
            level = effects.ALPHA / len(part)
            for place in part.index[part["ci_low"].notna()]:
                design = rows[place]["design"]
                frame.loc[place, "mde_family"] = detection.detectable(design, level)
    return frame


def _tie_letters(run: _Comparison, differences: pd.DataFrame) -> dict[Key, dict[str, str]]:
    """Return the tie letters of each tested metric: two methods share one iff not separable.

    They follow the corrected p of the differences and no other. Controls mark the scale and get no
    letter.
    """
    tested, letters = set(run.tested), {}
    rows = differences[differences["p_adjusted"] < effects.ALPHA]
    separable: dict[Key, dict[tuple[str, str], bool]] = {}
    names = [*table.KEY, "method_a", "method_b"]
    for *key, a, b in zip(*(rows[name] for name in names), strict=True):
        separable.setdefault(tuple(key), {})[a, b] = True
    means: dict[Key, dict[str, float]] = {}
    for row in run.estimates:
        if _key(row) in tested and row["n_scenes"] and row["method"] not in run.controls:
            means.setdefault(_key(row), {})[row["method"]] = row["mean"]
    for key, of_key in means.items():
        sign = -1 if higher_is_better(key[2]) else 1
        best_first = sorted(of_key, key=lambda name: (sign * of_key[name], name))
        letters[key] = effects.tie_letters(best_first, separable.get(key, {}))
    return letters


def _shared_letters(differences: pd.DataFrame, letters: dict[Key, dict[str, str]]) -> list[str]:
    """Return the letters that both methods of each difference have."""
    names = [*table.KEY, "method_a", "method_b"]
    shared = []
    for *key, a, b in zip(*(differences[name] for name in names), strict=True):
        of_key = letters.get(tuple(key), {})
        shared.append("".join(sorted(set(of_key.get(a, "")) & set(of_key.get(b, "")))))
    return shared


def _estimate_table(
    rows: list[Row], letters: dict[Key, dict[str, str]], success: pd.DataFrame
) -> pd.DataFrame:
    """Return the estimates with letters, the share of items that succeeded and further means.

    These are the mean over the items that succeeded and, where a metric has queries, the plain mean
    over queries, which sources such as ScanRefer report.
    """
    groups = [letters.get(_key(row), {}).get(row["method"], "") for row in rows]
    frame = pd.DataFrame(rows).assign(tie_group=groups)
    succeeded = success["succeeded"]
    rates = success.assign(
        mean_succeeded=success["succeeded_sum"] / succeeded.where(succeeded > 0),
        succeeded=succeeded / success["items"],
        query_mean=success["query_sum"] / success["queries"].where(success["queries"] > 0),
    )
    names = [*table.SUCCESS, "succeeded", "mean_succeeded", "query_mean"]
    frame = frame.merge(rates[names], on=table.SUCCESS, how="left")
    return frame.reindex(columns=ESTIMATE_COLUMNS)


def write(results: dict[str, Any], out_dir: str | Path) -> None:
    """Write every frame of `compare` as parquet, and methods.json; the folder appears whole."""
    with atomic_path(out_dir, folder=True) as folder:
        for name, frame in results.items():
            if isinstance(frame, pd.DataFrame) and name != "cells":
                # Without the pandas metadata, categories are read back as plain strings.
                columns = pa.Table.from_pandas(frame, preserve_index=False)
                columns = columns.replace_schema_metadata(None)
                pq.write_table(columns, folder / f"{name}.parquet", store_schema=False)
        table.write_cells(results["cells"], folder / table.CELLS_FILE)
        write_json(folder / table.METHODS_FILE, results["methods"])
