"""Tables of a study as frames of text and numbers, and as csv, md and tex files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metrics.files import atomic_path
from metrics.present import data, names
from metrics.present.formats import to_markdown, to_tex
from metrics.statistics.compare import higher_is_better


@dataclass(frozen=True)
class Table:
    """A table: `text` as printed, `numbers` unrounded for csv, and a caption of two sentences."""

    name: str
    text: pd.DataFrame
    numbers: pd.DataFrame
    caption: str


def verdict(row: Any) -> str:
    """Say what a declared test found: "a better", "b better", or what kept it from saying so."""
    if pd.isna(row.p_adjusted):
        return "not tested"
    if row.p_adjusted >= 0.05:
        return "not separable"
    good = row.difference > 0
    good = good if higher_is_better(row.metric) else not good
    return f"{row.method_a if good else row.method_b} better"


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
    limits = stats.estimates.set_index(["method", "split", "subset", "metric"])
    text = [_family_row(row, limits) for row in tests.itertuples()]
    numbers = tests.assign(result=[verdict(row) for row in tests.itertuples()])
    caption = (
        "Difference is the first method minus the second, with the 95% interval for new trainings "
        f"and new scenes; Holm corrects over the {len(tests)} declared tests. "
        "“Not separable” does not mean equal: MDE is the difference that a test at .05 "
        "would find in 80% of studies."
    )
    return Table(family, pd.DataFrame(text), numbers, caption)


def _family_row(row: Any, limits: pd.DataFrame) -> dict[str, str]:
    def shown(method: str, mean: float) -> str:
        key = (method, row.split, row.subset, row.metric)
        if key not in limits.index:
            return names.number(mean)
        found = limits.loc[key]
        return names.interval(found["mean"], found["ci_low"], found["ci_high"])

    seeds = "" if np.isnan(row.n_scenes) else f"{row.n_seeds_a:.0f}/{row.n_seeds_b:.0f}"
    return {
        "Item": names.ARTICLE_ITEMS.get(row.method_b, row.method_b),
        "Metric": f"{names.metric_label(row.metric, row.subset)} {names.arrow(row.metric)}",
        row.method_a if row.method_a == "full" else "First": shown(row.method_a, row.mean_a),
        "Other": shown(row.method_b, row.mean_b),
        "Difference": names.interval(row.difference, row.ci_low, row.ci_high),
        "p": names.p_value(row.p),
        "p Holm": names.p_value(row.p_adjusted),
        "Result": verdict(row) if not str(row.note).startswith("not tested") else row.note,
        "d_z": names.number(row.dz, 2),
        "MDE": names.number(row.mde),
        "Seeds": seeds,
        "Scenes": "" if np.isnan(row.n_scenes) else f"{row.n_scenes:.0f}",
    }


def leaderboard(stats: data.Statistics, split: str | None = None) -> Table:
    """Return methods by headline metrics: mean ± half-width and tie letters; reasons if empty."""
    split = split or stats.split()
    rows = stats.headline(split)
    found = {(r.method, r.metric): r for r in rows.itertuples()}
    metrics = [m for m in names.HEADLINE if m in set(rows["metric"])]
    text = []
    for method in stats.names():
        line = {"Method": method}
        for metric in metrics:
            head = f"{names.metric_label(metric)} {names.arrow(metric)}"
            line[head] = _score(found.get((method, metric)))
        text.append(line)
    caption = (
        f"Mean over the scenes of {split} ± half of the 95% interval for new trainings and new "
        "scenes. Methods that share a letter in a column are not separable (not: equal); an empty "
        "cell was not produced, the reason stands in the failures table."
    )
    columns = ["method", "metric", "mean", "ci_low", "ci_high", "df", "n_seeds", "n_scenes"]
    numbers = rows[[*columns, "tie_group", "question", "succeeded", "mean_succeeded", "note"]]
    return Table("leaderboard", pd.DataFrame(text), numbers, caption)


def _score(row: Any) -> str:
    if row is None:
        return ""
    mark = f" {row.tie_group}" if row.tie_group else ""
    if np.isnan(row.ci_low):
        return names.number(row.mean) + mark
    return f"{names.number(row.mean)} ± {names.number((row.ci_high - row.ci_low) / 2)}{mark}"


def long_table(stats: data.Statistics, name: str) -> Table:
    """Return "splits" (headline metrics by split) or "subsets" (references, question types)."""
    rows = stats.estimates
    if name == "splits":
        rows = rows[(rows["subset"] == "all") & rows["metric"].isin(names.HEADLINE)]
        by, caption = "split", "The same metrics on every scored split, mean and 95% interval."
    else:
        chosen = (rows["subset"] != "all") & rows["metric"].isin([*names.HEADLINE, "ref_acc@0.5"])
        rows = rows[chosen & (rows["split"] == stats.split())]
        by, caption = "subset", f"Subsets of {stats.split()}, mean and 95% interval."
    shown = rows.assign(
        cell=[names.interval(r.mean, r.ci_low, r.ci_high) for r in rows.itertuples()],
        place=rows["method"].map({m: k for k, m in enumerate(stats.names())}),
    ).sort_values(["metric", "place"])
    wide = shown.pivot(index=["metric", "place", "method"], columns=by, values="cell")
    wide = wide.reset_index().drop(columns="place").fillna("")
    wide["metric"] = [f"{names.metric_label(m)} {names.arrow(m)}" for m in wide["metric"]]
    wide = wide.rename(columns={"metric": "Metric", "method": "Method"})
    caption += " Splits and subsets are never pooled."
    return Table(name, wide, rows, caption)


def failures(stats: data.Statistics) -> Table:
    """Return what was not produced and why, and the share of items that failed."""
    lines = []
    for method in stats.names():
        for task, reason in sorted(stats.methods.get(method, {}).get("reasons", {}).items()):
            lines.append((method, task, "not produced", reason))
    rows = stats.headline(stats.split())
    for row in rows[rows["succeeded"] < 1].itertuples():
        share = f"{100 * (1 - row.succeeded):.1f}% of items failed"
        kept = names.number(row.mean_succeeded)
        why = "kept in the mean at the worst value" + (f"; {kept} without them" if kept else "")
        lines.append((row.method, names.metric_label(row.metric), share, why))
    text = pd.DataFrame(lines, columns=["Method", "Task or metric", "What", "Why"])
    caption = (
        "A declared output that is missing, invalid or empty counts at the metric's worst value. "
        "What a method does not declare is an empty cell with the reason given here."
    )
    return Table("failures", text, text, caption)


COSTS = {
    "parameters": ("Parameters", "max", 0),
    "train_seconds": ("Training (s)", "mean", 0),
    "seconds_per_scene": ("Inference (s/scene)", "mean", 3),
    "peak_memory_mb": ("Peak memory (MB)", "max", 0),
}


def cost(stats: data.Statistics) -> Table:
    """Return parameters, training and inference seconds and peak memory of each method."""
    lines, numbers = [], []
    for method in stats.names():
        costs = pd.DataFrame(stats.methods.get(method, {}).get("costs", []))
        line, raw = {"Method": method}, {"method": method}
        for key, (label, how, digits) in COSTS.items():
            values = pd.to_numeric(costs[key], errors="coerce").dropna() if key in costs else []
            raw[key] = float(getattr(values, how)()) if len(values) else np.nan
            line[label] = "" if np.isnan(raw[key]) else f"{raw[key]:,.{digits}f}"
        lines.append(line)
        numbers.append(raw)
    caption = (
        "Training and inference seconds are means over seeds and splits, memory is the largest "
        "seen, all on the machine named under provenance. An empty cell was not measured."
    )
    return Table("cost", pd.DataFrame(lines), pd.DataFrame(numbers), caption)


def all_tables(stats: data.Statistics) -> list[Table]:
    """Return every table that this study has rows for."""
    found = stats.differences["family"].unique()
    order = ["article", "contrasts", "causes", "generalisation"]
    named = [f for f in order if f in found]
    named += sorted(set(found) - set(order) - {"exploratory"})
    tables = [family_table(stats, family) for family in named]
    tables += [leaderboard(stats), long_table(stats, "splits"), long_table(stats, "subsets")]
    tables += [failures(stats), cost(stats)]
    return [t for t in tables if len(t.text) or t.name == "failures"]


def write_tables(
    stats_dir: str | Path, out_dir: str | Path, config: dict[str, Any] | None = None
) -> list[Path]:
    """Write every table as csv (unrounded), md and tex (standalone), and the exploratory csv."""
    stats = data.load(stats_dir)
    with atomic_path(out_dir, folder=True) as folder:
        for table in all_tables(stats):
            table.numbers.to_csv(folder / f"{table.name}.csv", index=False)
            (folder / f"{table.name}.md").write_text(to_markdown(table), encoding="utf-8")
            (folder / f"{table.name}.tex").write_text(to_tex(table), encoding="utf-8")
        stats.tests("exploratory").to_csv(folder / "exploratory.csv", index=False)
        rest = stats.differences[~stats.differences["question"].str.contains("and new scenes")]
        rest.to_csv(folder / "other_questions.csv", index=False)
    return sorted(Path(out_dir).iterdir())
