"""From a long table of scores to estimates and differences: `python -m metrics compare`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metrics.files import atomic_path, write_json
from metrics.statistics import contrasts, effects, families, moments, others, pairs, table

HEADLINE = moments.TRAININGS_AND_SCENES
MARGIN_SCORE, MARGIN_METRES = 0.02, 0.005
CONTROLS = frozenset({"oracle", "chance", "text_only", "majority", "rules_gt", "rules_pred"})
ESTIMATE_COLUMNS = [
    *("method", "split", "subset", "metric", "mean", "ci_low", "ci_high", "df", "n_seeds"),
    *("n_scenes", "question", "estimator", "tie_group", "succeeded", "mean_succeeded", "note"),
]
DIFFERENCE_COLUMNS = [
    *("family", "split", "subset", "metric", "method_a", "method_b", "mean_a", "mean_b"),
    *("difference", "ci_low", "ci_high", "df", "p", "p_adjusted", "adjustment", "dz"),
    *("prob_improvement", "mde", "mde_family", "p_equivalent", "tie_group", "question"),
    *("estimator", "n_seeds_a", "n_seeds_b", "n_scenes", "note"),
]


def compare(
    source: str | Path | pd.DataFrame, config: dict[str, Any] | None = None
) -> dict[str, pd.DataFrame | dict[str, Any]]:
    """Return "estimates", "differences", "cells" and "methods" of a scores folder or table.

    `config` is the experiment's `statistics` section: reference, families, deterministic,
    generalisation. Raises InputError for a table that cannot be compared.
    """
    config = config or {}
    scores = table.load(source, config)
    tests = families.declared(config.get("families"))
    names = set(scores.cells["method"].unique())
    tests = families.drop_untrained(tests, names)
    reference = config.get("reference", "full")
    estimates: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    beside: list[dict[str, Any]] = []
    kept: dict[tuple[str, str, str], dict[str, table.Block]] = {}
    for key, blocks in table.blocks(scores):
        every = _all_pairs(key, blocks)
        letters = _letters(key[2], blocks, every)
        estimates += _estimates(key, blocks, letters)
        chosen, extra = _chosen(key, blocks, every, letters, tests, reference)
        rows += chosen
        beside += extra
        if key[1] == "all":
            kept[key] = blocks
    rows += _lacking(tests, rows)
    rows += contrasts.generalisation(kept, reference, config.get("generalisation"))
    estimate_table = _with_success(pd.DataFrame(estimates), scores.success)
    return {
        "estimates": estimate_table.reindex(columns=ESTIMATE_COLUMNS),
        "differences": _difference_table(rows, beside),
        "cells": scores.cells,
        "methods": scores.methods,
    }


def higher_is_better(metric: str) -> bool:
    """Return the registry's direction; distances and errors are lower-better by their names."""
    from metrics.registry import METRICS

    if metric in METRICS:
        return bool(METRICS[metric].higher_is_better)
    return not metric.endswith(("_m", "_m2", "absrel", "_mae", "_rank", "unparsed", "_sim3_m"))


def _estimates(
    key: tuple[str, str, str], blocks: dict[str, table.Block], letters: dict[str, str]
) -> list[dict[str, Any]]:
    rows = []
    for name, block in blocks.items():
        if not block.scenes:
            continue
        cells = block.summary()
        result = moments.one(cells)
        note = pairs.limits_note(cells.scenes, float(result.variance), cells)
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
                "estimator": pairs.estimator_name(bool(result.fallback)),
                "tie_group": letters.get(name, ""),
                "note": "; ".join(n for n in (note, block.note) if n),
            }
        )
    return rows


Rows = dict[tuple[str, str], dict[str, Any]]


def _all_pairs(key: tuple[str, str, str], blocks: dict[str, table.Block]) -> Rows:
    chosen = list(combinations(blocks, 2))
    found = pairs.differences(blocks, chosen, higher_is_better(key[2]))
    return dict(zip(chosen, found, strict=True))


def _letters(metric: str, blocks: dict[str, table.Block], every: Rows) -> dict[str, str]:
    """Return tie letters from Holm-adjusted headline p-values over this metric's pairs.

    Controls are marks on the scale, not competitors: they get no letter and cost no power.
    """
    blocks = {n: b for n, b in blocks.items() if n not in CONTROLS and b.scenes}
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
    key: tuple[str, str, str],
    blocks: dict[str, table.Block],
    every: Rows,
    letters: dict[str, str],
    tests: list[families.Test],
    reference: str,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return this metric's declared and exploratory rows, and the declared ones' other answers."""
    split, subset, metric = key
    here = [t for t in tests if (t.split, t.subset, t.metric) == key]
    wanted = {(t.a, t.b): t.family for t in here if {t.a, t.b} <= set(blocks)}
    if reference in blocks:
        for name in blocks:
            if name not in (reference, "oracle") and (name, reference) not in wanted:
                wanted.setdefault((reference, name), "exploratory")
    rows, beside = [], []
    for (a, b), family in wanted.items():
        row = every[a, b] if (a, b) in every else _turned(every[b, a])
        shared = set(letters.get(a, "")) & set(letters.get(b, ""))
        row = row | {"family": family, "split": split, "subset": subset, "metric": metric}
        row["tie_group"] = "".join(sorted(shared))
        margin = MARGIN_METRES if metric.endswith("_m") else MARGIN_SCORE
        row["p_equivalent"] = float(
            effects.tost(row["difference"], row["variance"], row["df"], margin)
        )
        rows.append(row)
        if family != "exploratory":
            beside += _other_answers(row, blocks[a], blocks[b])
    return rows, beside


def _turned(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of (a, b) as the row of (b, a)."""
    out = dict(row)
    for first, second in (("method_a", "method_b"), ("mean_a", "mean_b")):
        out[first], out[second] = row[second], row[first]
    out["n_seeds_a"], out["n_seeds_b"] = row["n_seeds_b"], row["n_seeds_a"]
    out["difference"], out["dz"] = -row["difference"], -row["dz"]
    out["ci_low"], out["ci_high"] = -row["ci_high"], -row["ci_low"]
    out["prob_improvement"] = 1 - row["prob_improvement"]
    return out


def _other_answers(row: dict[str, Any], a: table.Block, b: table.Block) -> list[dict[str, Any]]:
    if a.scenes != b.scenes or not a.scenes:
        return []
    left, right = a.summary(), b.summary()
    by_scene = left.scene_means - right.scene_means
    answers = [others.clustered_t(by_scene), others.welch(left, right)]
    if a.theta is None:
        answers.append(others.bootstrap_and_flip(by_scene))
    else:
        shift = row["difference"] - float(by_scene.mean())
        first = answers[0]
        answers[0] = replace(
            first, estimate=row["difference"], low=first.low + shift, high=first.high + shift
        )
    keep = ("family", "split", "subset", "metric", "method_a", "method_b", "mean_a", "mean_b")
    sizes = ("n_seeds_a", "n_seeds_b", "n_scenes")
    return [
        {name: row[name] for name in (*keep, *sizes)}
        | {
            "difference": answer.estimate,
            "ci_low": answer.low,
            "ci_high": answer.high,
            "p": answer.p,
            "question": answer.question,
            "estimator": answer.estimator,
            "note": answer.note,
        }
        for answer in answers
    ]


def _lacking(tests: list[families.Test], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = ("family", "split", "subset", "metric", "method_a", "method_b")
    done = {tuple(row[name] for name in names) for row in rows}
    return [
        dict(zip(names, key, strict=True)) | {"question": HEADLINE, "note": "not tested: no scores"}
        for t in tests
        if (key := (t.family, t.split, t.subset, t.metric, t.a, t.b)) not in done
    ]


def _difference_table(rows: list[dict[str, Any]], beside: list[dict[str, Any]]) -> pd.DataFrame:
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
    rest = pd.concat([frame[~headline], pd.DataFrame(beside)], ignore_index=True)
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
    """Write estimates, differences and cells as parquet and methods.json, whole or not at all."""
    with atomic_path(out_dir, folder=True) as folder:
        for name in ("estimates", "differences", "cells"):
            results[name].to_parquet(folder / f"{name}.parquet", index=False)
        write_json(folder / "methods.json", results["methods"])


def main(args: argparse.Namespace) -> int:
    """Compare `args.scores` into the folder `args.out` and print the headline.

    `args.config` is a yaml whose `statistics` section declares the families, or None;
    `args.reference` the method that the others are compared with, or None for the config's.
    """
    import yaml

    config: dict[str, Any] = {}
    if args.config:
        loaded = yaml.safe_load(Path(args.config).read_text(encoding="utf-8")) or {}
        config = dict(loaded.get("statistics", loaded))
    if args.reference:
        config["reference"] = args.reference
    results = compare(args.scores, config)
    write(results, args.out)
    from metrics.present.terminal import headline

    if getattr(args, "json", False):
        print(results["estimates"].to_json(orient="records", indent=2))
    else:
        print(headline(args.out))
    return 0
