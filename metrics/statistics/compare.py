"""From a long table of scores to estimates and differences: `python -m metrics compare`."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    secondary_tests,
    table,
)
from metrics.statistics.measures import higher_is_better, margin

HEADLINE = moments.TRAININGS_AND_SCENES
CONTROLS = frozenset({"oracle", "chance", "text_only", "majority", "rules_gt", "rules_pred"})
DESCRIPTIVE = ["real_rooms"]
ESTIMATE_COLUMNS = [
    *("method", "split", "subset", "metric", "mean", "ci_low", "ci_high", "df", "n_seeds"),
    *("n_scenes", "question", "estimator", "tie_group", "succeeded", "mean_succeeded", "note"),
]
DIFFERENCE_COLUMNS = [
    *("family", "split", "subset", "metric", "method_a", "method_b", "mean_a", "mean_b"),
    *("difference", "ci_low", "ci_high", "df", "p", "p_adjusted", "adjustment", "dz"),
    *("prob_improvement", "mde", "mde_family", "p_equivalent", "margin", "tie_group", "question"),
    *("estimator", "n_seeds_a", "n_seeds_b", "n_scenes", "note"),
]

Key = tuple[str, str, str]
Rows = dict[tuple[str, str], dict[str, Any]]


@dataclass
class _Study:
    """What the walk over the metrics gathers, and what it is asked for."""

    tests: list[families.Test]
    reference: str
    config: dict[str, Any]
    estimates: list[dict[str, Any]] = field(default_factory=list)
    differences: list[dict[str, Any]] = field(default_factory=list)
    declared: list[secondary_tests.Pair] = field(default_factory=list)
    ranks: list[dict[str, Any]] = field(default_factory=list)
    profiles: list[dict[str, Any]] = field(default_factory=list)
    kept: contrasts.Kept = field(default_factory=dict)

    def descriptive(self, split: str) -> bool:
        """Say whether a split has too few scenes for a test, by declaration."""
        return split in self.config.get("descriptive", DESCRIPTIVE)


def compare(
    source: str | Path | pd.DataFrame, config: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the statistics of a scores folder, file or table, by name.

    Frames "estimates", "differences", "ranks", "profiles", "retention" and "cells", and the dict
    "methods". `config` is the experiment's `statistics` section: reference, families,
    deterministic, generalisation, data_efficiency, margins, descriptive. Raises InputError for a
    table that cannot be compared.
    """
    config = config or {}
    scores = table.load(source, config)
    names = set(scores.cells["method"].unique())
    tests = families.drop_untrained(families.declared(config.get("families")), names)
    study = _Study(tests, config.get("reference", "full"), config)
    wanted = contrasts.splits(config)
    for key, blocks in table.blocks(scores):
        _add(study, key, blocks)
        if key[1] == "all" and key[0] in wanted:
            study.kept[key] = blocks
    rows = study.differences
    rows += _lacking(tests, rows)
    said = config.get("generalisation")
    rows += contrasts.generalisation(study.kept, study.reference, said)
    rows += contrasts.data_efficiency(study.kept, study.reference, config.get("data_efficiency"))
    estimates = _with_success(pd.DataFrame(study.estimates), scores.success)
    return {
        "estimates": estimates.reindex(columns=ESTIMATE_COLUMNS),
        "differences": _difference_table(rows, secondary_tests.other_answers(study.declared)),
        "ranks": pd.DataFrame(study.ranks).reindex(columns=ranks.COLUMNS),
        "profiles": pd.DataFrame(study.profiles).reindex(columns=profiles.COLUMNS),
        "retention": pd.DataFrame(contrasts.retention(study.kept, said)).reindex(
            columns=contrasts.RETENTION_COLUMNS
        ),
        "cells": scores.cells,
        "methods": scores.methods,
    }


def _add(study: _Study, key: Key, blocks: dict[str, table.Block]) -> None:
    """Add what one metric of one split and subset says."""
    split, subset, metric = key
    upwards, known = higher_is_better(metric), {n: b for n, b in blocks.items() if b.scenes}
    limit = margin(metric, study.config.get("margins"))
    chosen = list(combinations(known, 2))
    found = pairwise_differences.differences(known, chosen, limit)
    every = dict(zip(chosen, found, strict=True))
    few = study.descriptive(split)
    for row in every.values():
        row["margin"] = limit
        if few:
            row["p"] = row["p_equivalent"] = np.nan
            row["note"] = "; ".join(n for n in (row["note"], "descriptive: no test") if n)
    letters = {} if few else _letters(metric, known, every)
    study.estimates += _estimates(key, blocks, letters)
    study.differences += _chosen(study, key, known, every, letters)
    if subset == "all":
        rivals = {n: b for n, b in known.items() if n not in CONTROLS}
        study.ranks += ranks.rank_rows(key, rivals, upwards, few)
        study.profiles += profiles.profile_rows(key, known, upwards)


def _estimates(
    key: Key, blocks: dict[str, table.Block], letters: dict[str, str]
) -> list[dict[str, Any]]:
    rows = []
    for name, block in blocks.items():
        cells = block.summary()
        result = moments.one(cells)
        note = pairwise_differences.limits_note(cells.scenes, float(result.variance), cells)
        rows.append(
            dict(zip(table.KEY, key, strict=True))
            | {
                "method": name,
                "mean": float(result.estimate),
                "ci_low": float(result.low),
                "ci_high": float(result.high),
                "df": float(result.df),
                "n_seeds": cells.seeds if block.stochastic else 0,
                "n_scenes": cells.scenes,
                "question": moments.question_of(cells),
                "estimator": pairwise_differences.estimator_name(bool(result.fallback)),
                "tie_group": letters.get(name, ""),
                "note": "; ".join(n for n in (note, block.note) if n),
            }
        )
    return rows


def _letters(metric: str, blocks: dict[str, table.Block], every: Rows) -> dict[str, str]:
    """Return tie letters from Holm-adjusted headline p-values over this metric's pairs.

    Controls are marks on the scale, not competitors: they get no letter and cost no power.
    """
    blocks = {n: b for n, b in blocks.items() if n not in CONTROLS}
    every = {pair: row for pair, row in every.items() if set(pair) <= set(blocks)}
    p = np.array([r["p"] if r["question"] == HEADLINE else np.nan for r in every.values()])
    adjusted = families.holm(p)
    separable = {pair: bool(a < 0.05) for pair, a in zip(every, adjusted, strict=True)}
    for pair, row in every.items():
        if row["question"] == HEADLINE and row["variance"] == 0 and row["difference"] != 0:
            separable[pair] = True  # the same gap in every cell: nothing to estimate
    sign = -1 if higher_is_better(metric) else 1
    means = {n: float(b.summary().estimate) for n, b in blocks.items()}
    return effects.tie_letters(sorted(means, key=lambda n: (sign * means[n], n)), separable)


def _chosen(
    study: _Study,
    key: Key,
    blocks: dict[str, table.Block],
    every: Rows,
    letters: dict[str, str],
) -> list[dict[str, Any]]:
    """Return this metric's declared and exploratory rows; note the declared for other answers."""
    split, subset, metric = key
    here = [t for t in study.tests if (t.split, t.subset, t.metric) == key]
    wanted = {(t.a, t.b): t.family for t in here if {t.a, t.b} <= set(blocks)}
    if study.reference in blocks:
        for name in blocks:
            if name not in (study.reference, "oracle") and (name, study.reference) not in wanted:
                wanted.setdefault((study.reference, name), "exploratory")
    rows = []
    for (a, b), family in wanted.items():
        row = every[a, b] if (a, b) in every else _turned(every[b, a])
        shared = set(letters.get(a, "")) & set(letters.get(b, ""))
        row = row | {"family": family, "split": split, "subset": subset, "metric": metric}
        row["tie_group"] = "".join(sorted(shared))
        row["prob_improvement"] = pairwise_differences.improvement(
            blocks[a], blocks[b], higher_is_better(metric)
        )
        rows.append(row)
        if family != "exploratory" and not study.descriptive(split):
            study.declared.append((row, blocks[a], blocks[b]))
    return rows


def _turned(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of (a, b) as the row of (b, a)."""
    out = dict(row)
    for first, second in (("method_a", "method_b"), ("mean_a", "mean_b")):
        out[first], out[second] = row[second], row[first]
    out["n_seeds_a"], out["n_seeds_b"] = row["n_seeds_b"], row["n_seeds_a"]
    out["difference"], out["dz"] = -row["difference"], -row["dz"]
    out["ci_low"], out["ci_high"] = -row["ci_high"], -row["ci_low"]
    return out


def _lacking(tests: list[families.Test], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = ("family", "split", "subset", "metric", "method_a", "method_b")
    done = {tuple(row[name] for name in names) for row in rows}
    return [
        dict(zip(names, key, strict=True)) | {"question": HEADLINE, "note": "not tested: no scores"}
        for t in tests
        if (key := (t.family, t.split, t.subset, t.metric, t.a, t.b)) not in done
    ]


def _difference_table(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> pd.DataFrame:
    """Adjust the headline rows within their families; scenes-only p-values stay raw."""
    if not rows:
        return pd.DataFrame(columns=DIFFERENCE_COLUMNS)
    frame = pd.DataFrame(rows).reindex(columns=DIFFERENCE_COLUMNS)
    headline = frame["question"] == HEADLINE
    adjusted = families.adjust_families(frame[headline])
    sizes = adjusted.groupby("family")["p"].transform("size")
    for count in sizes.unique():
        some = adjusted.index[sizes == count]
        half = (adjusted.loc[some, "ci_high"] - adjusted.loc[some, "ci_low"]) / 2
        alpha = 0.05 / count
        exploratory = adjusted.loc[some, "family"] == "exploratory"
        mde = effects.detectable(half, adjusted.loc[some, "df"], alpha)
        adjusted.loc[some, "mde_family"] = np.where(exploratory, np.nan, mde)
    rest = pd.concat([frame[~headline], pd.DataFrame(others)], ignore_index=True)
    out = pd.concat([adjusted, rest.reindex(columns=DIFFERENCE_COLUMNS)], ignore_index=True)
    out[["adjustment", "tie_group", "note"]] = out[["adjustment", "tie_group", "note"]].fillna("")
    return out


def _with_success(estimates: pd.DataFrame, success: pd.DataFrame) -> pd.DataFrame:
    if estimates.empty:
        return estimates
    share = success.assign(
        mean_succeeded=success["succeeded_sum"]
        / success["succeeded"].where(success["succeeded"] > 0),
        succeeded=success["succeeded"] / success["items"],
    )
    columns = [*table.SUCCESS, "succeeded", "mean_succeeded"]
    return estimates.merge(share[columns], on=table.SUCCESS, how="left")


def write(results: dict[str, Any], out_dir: str | Path) -> None:
    """Write every frame of `compare` as parquet and methods.json, whole or not at all."""
    with atomic_path(out_dir, folder=True) as folder:
        for name, frame in results.items():
            if isinstance(frame, pd.DataFrame):
                # Without the schema, categories are read back as the plain strings they stand for.
                columns = pa.Table.from_pandas(frame, preserve_index=False)
                columns = columns.replace_schema_metadata(None)
                pq.write_table(columns, folder / f"{name}.parquet", store_schema=False)
        write_json(folder / "methods.json", results["methods"])
