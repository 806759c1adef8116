"""Turn a long table of scores into estimates, differences and tests.

`python -m metrics compare` and the compare stage of the workflow call `compare` and `write`.
"""

from dataclasses import astuple, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from metrics.files import atomic_path, write_json
from metrics.statistics import (
    contrasts,
    effects,
    families,
    moments,
    pairwise_differences,
    profiles,
    ranks,
    secondary_estimands,
    table,
)
from metrics.statistics.measures import equivalence_margin, higher_is_better, is_smooth
from metrics.statistics.settings import check_settings

HEADLINE = moments.TRAININGS_AND_SCENES
ESTIMATE_COLUMNS = [
    *("method", "split", "subset", "metric", "mean", "ci_low", "ci_high", "df", "n_seeds"),
    *("n_scenes", "question", "estimator", "tie_group", "succeeded", "mean_succeeded"),
    *("query_mean", "note"),
]
DIFFERENCE_COLUMNS = [
    *("family", "split", "subset", "metric", "method_a", "method_b", "mean_a", "mean_b"),
    *("difference", "ci_low", "ci_high", "df", "p", "p_adjusted", "adjustment", "dz"),
    *("prob_improvement", "mde", "mde_family", "p_equivalent", "margin", "tie_group", "question"),
    *("estimator", "n_seeds_a", "n_seeds_b", "n_scenes", "note"),
]

# What a row of a median lacks: its pseudo-values give no variance.
_INFERENCE = ("ci_low", "ci_high", "df", "p", "p_equivalent", "dz", "mde")
_MEDIAN = "no interval: a median has no jackknife"

Key = tuple[str, str, str]  # split, subset, metric
PairRows = dict[tuple[str, str], dict[str, Any]]  # (method a, method b) -> row of their difference


@dataclass
class _Comparison:
    """The settings of one comparison, and the rows collected while it walks over the metrics."""

    tests: list[families.DeclaredTest]
    config: dict[str, Any]
    estimates: list[dict[str, Any]] = field(default_factory=list)
    differences: list[dict[str, Any]] = field(default_factory=list)
    declared: list[secondary_estimands.DeclaredPair] = field(default_factory=list)
    ranks: list[dict[str, Any]] = field(default_factory=list)
    profiles: list[dict[str, Any]] = field(default_factory=list)
    blocks: contrasts.Blocks = field(default_factory=dict)

    @property
    def reference(self) -> str | None:
        return self.config.get("reference")

    def competitors(self, blocks: dict[str, table.Block]) -> dict[str, table.Block]:
        """Return the blocks of the methods that are no controls."""
        controls = self.config.get("controls", ())
        return {name: block for name, block in blocks.items() if name not in controls}


def compare(
    source: str | Path | pd.DataFrame, config: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the statistics of a table of scores.

    Args:
        source: a scores folder (method/seed/split.parquet), one parquet or csv file, or a frame.
        config: an experiment's `statistics` section; every key may be left out:
            reference: method that all others are compared with, in the exploratory family;
            families: the declared tests, see `families.parse_families`;
            controls: methods that get no rank and no tie letter;
            upper_bound: the control that is not compared with the reference either;
            descriptive: splits with too few scenes for a test;
            deterministic: methods without a seed axis, where no sidecar file says so;
            margins: {metric: margin of the equivalence test};
            generalisation, data_efficiency: see `contrasts`.

    Returns:
        The frames "estimates", "differences", "ranks", "profiles", "retention" and "cells", and
        the dict "methods".

    Raises:
        InputError: the table cannot be compared, or the config has another form.
    """
    config = config or {}
    check_settings(config, "config")
    scores = table.load(source, config.get("deterministic", ()))
    methods = set(scores.cells["method"].unique())
    tests = families.parse_families(config.get("families", {}))
    # A family without any test of two scored methods is left out. A family that has one keeps all
    # of its tests, so that its size stays as declared.
    scored = {test.family for test in tests if {test.a, test.b} <= methods}
    run = _Comparison([test for test in tests if test.family in scored], config)
    contrasted = contrasts.splits(config)
    for key, blocks in table.blocks(scores):
        _compare_metric(run, key, blocks)
        if key[1] == "all" and key[0] in contrasted and is_smooth(key[2]):
            run.blocks[key] = blocks
    rows = run.differences
    # Declared tests that could not be run have a row without numbers.
    names = ("family", "split", "subset", "metric", "method_a", "method_b")
    done = {tuple(row[name] for name in names) for row in rows}
    missing = [key for key in map(astuple, run.tests) if key not in done]
    note = {"question": HEADLINE, "note": "not tested: no scores"}
    rows += [dict(zip(names, key, strict=True)) | note for key in missing]
    rows += contrasts.generalisation(run.blocks, run.reference, config.get("generalisation"))
    rows += contrasts.data_efficiency(run.blocks, run.reference, config.get("data_efficiency"))
    retention = contrasts.retention(run.blocks, config.get("generalisation"))
    return {
        "estimates": _estimate_table(run.estimates, scores.success),
        "differences": _difference_table(rows, secondary_estimands.secondary_rows(run.declared)),
        "ranks": pd.DataFrame(run.ranks).reindex(columns=ranks.COLUMNS),
        "profiles": pd.DataFrame(run.profiles).reindex(columns=profiles.COLUMNS),
        "retention": pd.DataFrame(retention).reindex(columns=contrasts.RETENTION_COLUMNS),
        "cells": scores.cells,
        "methods": scores.methods,
    }


def _compare_metric(run: _Comparison, key: Key, blocks: dict[str, table.Block]) -> None:
    """Add the rows of one metric on one split and subset."""
    split, subset, metric = key
    scored = {name: block for name, block in blocks.items() if block.scenes}
    margin = equivalence_margin(metric, run.config.get("margins"))
    pairs = list(combinations(scored, 2))
    rows = pairwise_differences.differences(scored, pairs, margin)
    pair_rows = dict(zip(pairs, rows, strict=True))
    # The config declares that some splits have too few scenes for a test.
    descriptive, smooth = split in run.config.get("descriptive", ()), is_smooth(metric)
    for row in rows:
        row["margin"] = margin
        if not smooth:
            row |= dict.fromkeys(_INFERENCE, np.nan) | {"note": _join_notes(_MEDIAN, row["note"])}
        if descriptive:
            row["p"] = row["p_equivalent"] = np.nan
            row["note"] = _join_notes(row["note"], "descriptive: no test")
    untested = descriptive or not smooth
    letters = {} if untested else _tie_letters(metric, run.competitors(scored), pair_rows)
    run.estimates += _estimate_rows(key, blocks, letters)
    _add_reported_differences(run, key, scored, pair_rows, letters)
    if subset == "all":
        upwards = higher_is_better(metric)
        run.ranks += ranks.rank_rows(key, run.competitors(scored), upwards, untested)
        run.profiles += profiles.profile_rows(key, scored, upwards)


def _join_notes(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _estimate_rows(
    key: Key, blocks: dict[str, table.Block], letters: dict[str, str]
) -> list[dict[str, Any]]:
    rows = []
    for name, block in blocks.items():
        row = pairwise_differences.mean_row(block)
        if not is_smooth(key[2]):
            row |= dict.fromkeys(("ci_low", "ci_high", "df"), np.nan) | {"note": _MEDIAN}
        row["note"] = _join_notes(row["note"], block.note)
        labels = {"method": name, "tie_group": letters.get(name, "")}
        rows.append(dict(zip(table.KEY, key, strict=True)) | row | labels)
    return rows


def _tie_letters(
    metric: str, blocks: dict[str, table.Block], pair_rows: PairRows
) -> dict[str, str]:
    """Return tie letters from the Holm-adjusted headline p-values of one metric's pairs.

    `blocks` holds the competitors alone: controls mark the scale, so they get no letter, and
    leaving them out keeps the correction small.
    """
    pair_rows = {pair: row for pair, row in pair_rows.items() if set(pair) <= set(blocks)}
    p = np.array([r["p"] if r["question"] == HEADLINE else np.nan for r in pair_rows.values()])
    separable = {
        pair: bool(a < effects.ALPHA) for pair, a in zip(pair_rows, families.holm(p), strict=True)
    }
    for pair, row in pair_rows.items():
        # The same gap in every cell leaves no variance to estimate, hence no p, but is no tie.
        if row["question"] == HEADLINE and row["variance"] == 0 and row["difference"] != 0:
            separable[pair] = True
    sign = -1 if higher_is_better(metric) else 1
    means = {name: float(block.summary().estimate) for name, block in blocks.items()}
    best_first = sorted(means, key=lambda name: (sign * means[name], name))
    return effects.tie_letters(best_first, separable)


def _add_reported_differences(
    run: _Comparison,
    key: Key,
    blocks: dict[str, table.Block],
    pair_rows: PairRows,
    letters: dict[str, str],
) -> None:
    """Add one metric's declared and exploratory differences."""
    split, subset, metric = key
    here = [t for t in run.tests if (t.split, t.subset, t.metric) == key]
    reported = {(t.a, t.b): t.family for t in here if {t.a, t.b} <= set(blocks)}
    if run.reference in blocks:
        for name in blocks:
            excluded = name in (run.reference, run.config.get("upper_bound"))
            if not excluded and (name, run.reference) not in reported:
                reported.setdefault((run.reference, name), families.EXPLORATORY)
    for (a, b), family in reported.items():
        row = pair_rows[a, b] if (a, b) in pair_rows else _swapped(pair_rows[b, a])
        row = row | {"family": family, "split": split, "subset": subset, "metric": metric}
        row["tie_group"] = "".join(sorted(set(letters.get(a, "")) & set(letters.get(b, ""))))
        row["prob_improvement"] = pairwise_differences.improvement(
            blocks[a], blocks[b], higher_is_better(metric)
        )
        run.differences.append(row)
        tested = is_smooth(metric) and split not in run.config.get("descriptive", ())
        if family != families.EXPLORATORY and tested:
            run.declared.append((row, blocks[a], blocks[b]))


def _swapped(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a - b as the row of b - a."""
    swapped = {
        f"{name}_{side}": row[f"{name}_{other}"]
        for name in ("method", "mean", "n_seeds")
        for side, other in ("ab", "ba")
    }
    limits = {"ci_low": -row["ci_high"], "ci_high": -row["ci_low"]}
    return row | swapped | limits | {"difference": -row["difference"], "dz": -row["dz"]}


def _difference_table(rows: list[dict[str, Any]], secondary: list[dict[str, Any]]) -> pd.DataFrame:
    """Adjust the headline rows within their families; every other p-value stays unadjusted."""
    if not rows:
        return pd.DataFrame(columns=DIFFERENCE_COLUMNS)
    frame = pd.DataFrame(rows).reindex(columns=DIFFERENCE_COLUMNS)
    headline = frame["question"] == HEADLINE
    adjusted = families.adjust_families(frame[headline])
    sizes = adjusted.groupby("family")["p"].transform("size")
    for count in sizes.unique():
        some = adjusted.index[sizes == count]
        half = (adjusted.loc[some, "ci_high"] - adjusted.loc[some, "ci_low"]) / 2
        exploratory = adjusted.loc[some, "family"] == families.EXPLORATORY
        # Holm's first step tests at the level divided by the size of the family.
        mde = effects.detectable(half, adjusted.loc[some, "df"], alpha=effects.ALPHA / count)
        adjusted.loc[some, "mde_family"] = np.where(exploratory, np.nan, mde)
    rest = pd.concat([frame[~headline], pd.DataFrame(secondary)], ignore_index=True)
    out = pd.concat([adjusted, rest.reindex(columns=DIFFERENCE_COLUMNS)], ignore_index=True)
    out[["adjustment", "tie_group", "note"]] = out[["adjustment", "tie_group", "note"]].fillna("")
    return out


def _estimate_table(rows: list[dict[str, Any]], success: pd.DataFrame) -> pd.DataFrame:
    """Return the estimates with the share of items that succeeded and further means.

    These are the mean over the items that succeeded and, where a metric has queries, the plain mean
    over queries, which sources such as ScanRefer report.
    """
    frame = pd.DataFrame(rows)
    if not frame.empty:
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
            if isinstance(frame, pd.DataFrame):
                # Without the pandas metadata, categories are read back as plain strings.
                columns = pa.Table.from_pandas(frame, preserve_index=False)
                columns = columns.replace_schema_metadata(None)
                pq.write_table(columns, folder / f"{name}.parquet", store_schema=False)
        write_json(folder / "methods.json", results["methods"])
