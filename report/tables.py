"""Every table of a study: the article's main one, metric families, splits, subsets, questions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from metrics.files import atomic_path
from metrics.statistics.moments import TRAININGS_AND_SCENES
from report import accounts, comparisons, data, names
from report.formats import to_markdown, to_tex
from report.table import Footnotes, Table, grid, score

EXPLORATORY = "†"
FAMILIES = {
    "reconstruction": "Reconstruction",
    "graph": "Objects and scene graph",
    "grounding": "Grounding",
    "retrieval": "Retrieval",
    "answers": "Question answering",
}
ROOMS = (
    "real_rooms are a few rooms as a headset captured them: described, not tested; they have no "
    "colour, so RGB is grey shading of the mesh and colour_mae compares greys."
)
NO_ROOMS = "The captured rooms (real_rooms) are left out of this study."
REFERENCE_METRICS = ("ref_acc@0.25", "ref_acc@0.5", "ref_pick", "ref_f1@0.25", "ref_f1@0.5")


def main_table(stats: data.Statistics, reference: str) -> Table:
    """Return the article's main table: every method by every headline metric.

    Two lines a method: means with half of the 95% interval and tie letters; below, the adjusted p
    of the comparison with `reference`, marked where it is exploratory.
    """
    split, metrics, notes = stats.split(), stats.headline_metrics(), Footnotes()
    p_values = _p_values(stats, reference, split)
    text = []
    for method in stats.names():
        scores, tests = {"Method": method}, {"Method": method}
        for metric in metrics:
            head = names.metric_head(metric)
            row = stats.estimate(method, split, "all", metric)
            scores[head] = notes.mark(stats.reason(method, metric)) if row is None else score(row)
            tests[head] = p_values.get((method, metric), ("", 0.0))[0]
        text += [scores] if not any(list(tests.values())[1:]) else [scores, tests]
    caption = (
        f"Mean over the scenes of {split} ± half of the 95% interval for new trainings and new "
        "scenes; methods that share a letter in a column are not separable, which does not mean "
        f"equal. Below it p of the difference from {reference}: Holm over the declared family, or "
        f"{EXPLORATORY} exploratory, Benjamini–Hochberg."
    )
    rows = stats.headline(split)
    columns = ["method", "split", "metric", "mean", "ci_low", "ci_high", "df", "n_seeds"]
    columns += ["n_scenes", "tie_group", "question", "succeeded", "mean_succeeded", "note"]
    adjusted = [
        p_values.get((r.method, r.metric), ("", float("nan")))[1] for r in rows.itertuples()
    ]
    numbers = rows[columns].assign(p_adjusted=adjusted)
    title = "Main table"
    return Table("main", title, pd.DataFrame(text), numbers, caption, notes.lines(), groups=True)


def _p_values(
    stats: data.Statistics, reference: str, split: str
) -> dict[tuple[str, str], tuple[str, float]]:
    """Return {(method, metric): (adjusted p as printed, adjusted p)} of reference - method."""
    rows = stats.differences
    keep = (rows["method_a"] == reference) & (rows["split"] == split) & (rows["subset"] == "all")
    keep &= (rows["question"] == TRAININGS_AND_SCENES) & rows["p_adjusted"].notna()
    found: dict[tuple[str, str], tuple[str, float]] = {}
    for row in rows[keep].itertuples():
        declared = row.family != "exploratory"
        p = names.p_value(row.p_adjusted)
        said = f"p {p}" if p.startswith("<") else f"p = {p}"
        text = said if declared else said + EXPLORATORY
        if declared or (row.method_b, row.metric) not in found:
            found[row.method_b, row.metric] = (text, row.p_adjusted)
    return found


def metric_family(stats: data.Statistics, family: str) -> Table | None:
    """Return every metric of one family of the registry, a row each; None without scores."""
    from metrics.registry import METRICS

    split = stats.split()
    rows = stats.estimates
    here = rows[(rows["split"] == split) & (rows["subset"] == "all")]
    metrics = [m for m in METRICS if METRICS[m].family == family and m in set(here["metric"])]
    if not metrics:
        return None
    text, notes = grid(stats, split, metrics)
    caption = (
        f"Every {FAMILIES[family].lower()} metric on {split}: mean ± half of the 95% interval for "
        "new trainings and new scenes, with tie letters. Each metric’s formula and source are "
        "listed by python -m metrics list."
    )
    numbers = here[here["metric"].isin(metrics)]
    return Table(family, FAMILIES[family], text, numbers, caption, notes.lines())


def splits(stats: data.Statistics) -> Table:
    """Return the headline metrics of every split, side by side."""
    rows = stats.estimates
    rows = rows[(rows["subset"] == "all") & rows["metric"].isin(names.HEADLINE)]
    text = _wide(stats, rows, "split", stats.splits())
    caption = (
        "The same metrics on every scored split, mean and 95% interval. Splits are never pooled. "
        + (ROOMS if names.REAL_ROOMS in stats.splits() else NO_ROOMS)
    )
    return Table("splits", "Splits", text, rows, caption, groups=True)


def subsets(stats: data.Statistics) -> Table:
    """Return the grounding metrics on every subset of the references."""
    rows = stats.estimates
    keep = (rows["subset"] != "all") & (rows["split"] == stats.split())
    rows = rows[keep & rows["metric"].isin(REFERENCE_METRICS)]
    text = _wide(stats, rows, "subset", sorted(rows["subset"].unique()))
    caption = (
        f"References of {stats.split()} by kind, mean and 95% interval. A reference may be of "
        "several kinds; kinds are never pooled, and an empty cell has no reference of the kind."
    )
    return Table("subsets", "Kinds of reference", text, rows, caption, groups=True)


def questions(stats: data.Statistics) -> Table:
    """Return the answer score of every question type, a column each."""
    rows = stats.estimates
    keep = (rows["subset"] != "all") & (rows["split"] == stats.split())
    rows = rows[keep & (rows["metric"] == "answer_score")]
    text = _wide(stats, rows, "subset", sorted(rows["subset"].unique()))
    text = text.drop(columns="Metric", errors="ignore")
    caption = (
        f"Answer score by question type on {stats.split()}, mean and 95% interval: exact match "
        "for words and choices, mean relative accuracy for numbers."
    )
    return Table("questions", "Question types", text, rows, caption)


def retention(stats: data.Statistics) -> Table | None:
    """Return what each method keeps of its scores on unseen furniture; None without ratios."""
    rows = stats.frame("retention")
    if rows is None or rows.empty:
        return None
    metrics = [m for m in names.HEADLINE if m in set(rows["metric"])]
    found = {(r.metric, r.method): r for r in rows.itertuples()}
    methods = [m for m in stats.names() if any((metric, m) in found for metric in metrics)]
    text = []
    for metric in metrics:
        cells = {m: found.get((metric, m)) for m in methods}
        shown = {
            m: "" if r is None else names.interval(r.ratio, r.ci_low, r.ci_high, 2)
            for m, r in cells.items()
        }
        text.append({"Metric": names.metric_head(metric), **shown})
    first, second = rows.iloc[0][["first", "second"]]
    caption = (
        f"Mean on {first} over mean on {second}, with 95% intervals found on the log scale. One "
        "means that nothing is lost; for distances, below one is better."
    )
    return Table("retention", "Retention on unseen furniture", pd.DataFrame(text), rows, caption)


def _wide(stats: data.Statistics, rows: pd.DataFrame, by: str, order: list[str]) -> pd.DataFrame:
    """Return one row a metric and method and one column a split or subset."""
    place = {name: k for k, name in enumerate(stats.names())}
    known = {name: k for k, name in enumerate(names.HEADLINE)}
    shown = rows.assign(
        cell=[names.interval(r.mean, r.ci_low, r.ci_high) for r in rows.itertuples()],
        place=rows["method"].map(place),
        rank=rows["metric"].map(known).fillna(len(known)),
    )
    wide = shown.pivot(index=["rank", "metric", "place", "method"], columns=by, values="cell")
    wide = wide.reindex(columns=order).sort_index().reset_index().fillna("")
    wide["metric"] = [names.metric_head(metric) for metric in wide["metric"]]
    wide = wide.drop(columns=["rank", "place"])
    labels = {name: name.replace("_", " ") for name in order} if by == "subset" else {}
    return wide.rename(columns={"metric": "Metric", "method": "Method", **labels})


def all_tables(stats: data.Statistics, reference: str = "full") -> list[Table]:
    """Return every table that this study has rows for, in reading order."""
    tables: list[Table | None] = [main_table(stats, reference)]
    tables += comparisons.family_tables(stats)
    tables += [metric_family(stats, family) for family in FAMILIES]
    tables += [splits(stats), retention(stats), subsets(stats), questions(stats)]
    tables += [accounts.failures(stats), accounts.not_produced(stats)]
    tables += [accounts.controls(stats), accounts.cost(stats)]
    return [t for t in tables if t is not None and (len(t.text) or t.name == "failures")]


def write_tables(
    stats_dir: str | Path, out_dir: str | Path, config: dict[str, Any] | None = None
) -> list[Path]:
    """Write every table as csv (unrounded), md and tex (standalone), and the tests not shown.

    exploratory.csv holds the undeclared comparisons, other_questions.csv the answers to narrower
    questions than that of new trainings and new scenes. Each carries the study's stamp, csv as
    a column.
    """
    stats = data.load(stats_dir)
    reference = (config or {}).get("reference", "full")
    with atomic_path(out_dir, folder=True) as folder:
        numbers = {"exploratory": stats.tests("exploratory")}
        asked = stats.differences["question"]
        numbers["other_questions"] = stats.differences[asked != TRAININGS_AND_SCENES]
        for table in all_tables(stats, reference):
            numbers[table.name] = table.numbers
            table = replace(table, notes=(*table.notes, f"Stamp {stats.stamp} (manifest.json)."))
            (folder / f"{table.name}.md").write_text(to_markdown(table), encoding="utf-8")
            (folder / f"{table.name}.tex").write_text(to_tex(table), encoding="utf-8")
        for name, rows in numbers.items():
            rows.assign(stamp=stats.stamp).to_csv(folder / f"{name}.csv", index=False)
    return sorted(Path(out_dir).iterdir())
