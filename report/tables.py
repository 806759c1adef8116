"""Every table of a study, in reading order. A function with `@report_table` is a table."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metrics.files import atomic_path
from metrics.registry import METRICS
from metrics.statistics.claims import BETTER, WORSE, outcome
from metrics.statistics.families import EXPLORATORY, PRIMARY
from metrics.statistics.moments import TRAININGS_AND_SCENES
from report import text
from report.config import ReportConfig
from report.statistics import Statistics, load
from report.table import (
    Footnotes,
    Table,
    build_tables,
    csv_text,
    report_table,
    score_or_reason,
    to_markdown,
    to_tex,
)

EXPLORATORY_MARK = "†"
# Titles of the registry's families of metrics.
METRIC_FAMILIES = {
    "reconstruction": "Reconstruction",
    "graph": "Objects and scene graph",
    "grounding": "Grounding",
    "retrieval": "Retrieval",
    "answers": "Question answering",
}
# Columns of the main table's csv file.
MAIN_COLUMNS = [
    *("method", "split", "metric", "mean", "ci_low", "ci_high", "df", "n_seeds", "n_scenes"),
    *("tie_group", "question", "succeeded", "mean_succeeded", "query_mean", "note"),
]
NOT_SEPARABLE = (
    "“Not separable” does not mean equal: MDE is the difference that a test at 0.05 would detect "
    "in 80% of studies."
)
OVER_QUERIES = (
    "“Over queries” is the mean in which every query weighs the same, as in the metric’s source; "
    "the line above averages queries within a scene first. "
)
REFERENCE_METRICS = ("ref_acc@0.25", "ref_acc@0.5", "ref_pick", "ref_f1@0.25", "ref_f1@0.5")
# {measured quantity: (column, mean or largest of what was measured, decimals)}
COSTS = {
    "parameters": ("Parameters", "max", 0),
    "train_seconds": ("Training (s)", "mean", 0),
    "seconds_per_scene": ("Inference (s/scene)", "mean", 3),
    "peak_memory_mb": ("Peak memory (MB)", "max", 0),
}


def write_tables(stats_dir: str | Path, out_dir: str | Path, config: ReportConfig) -> list[Path]:
    """Write every table as csv (unrounded), markdown and LaTeX; return the files.

    Two more csv files hold the reference's undeclared comparisons (exploratory.csv) and the tests
    that do not generalise to new trainings and new scenes (other_questions.csv). Each file carries
    the study's stamp, csv files as a column.
    """
    stats = load(stats_dir, config)
    exploratory = stats.tests(EXPLORATORY)
    numbers = {
        "exploratory": exploratory[exploratory["method_a"] == config.reference],
        "other_questions": stats.differences.query("question != @TRAININGS_AND_SCENES"),
    }
    with atomic_path(out_dir, folder=True) as folder:
        for table in build_tables(stats):
            numbers[table.name] = table.numbers
            table = replace(table, notes=(*table.notes, f"Stamp {stats.stamp} (manifest.json)."))
            (folder / f"{table.name}.md").write_text(to_markdown(table), encoding="utf-8")
            (folder / f"{table.name}.tex").write_text(to_tex(table), encoding="utf-8")
        for name, rows in numbers.items():
            content = csv_text(rows.assign(stamp=stats.stamp))
            (folder / f"{name}.csv").write_text(content, encoding="utf-8")
    return sorted(Path(out_dir).iterdir())


@report_table
def main_table(stats: Statistics) -> Table:
    """Return every method by every headline metric.

    A method has two lines: means with half of the 95% interval and tie letters, and the adjusted p
    of the comparison with the reference, marked where it is exploratory.
    """
    notes, p_values = Footnotes(), _reference_p_values(stats)
    lines: list[dict[str, str]] = []
    for method in stats.method_names:
        scores, tests = {"Method": method}, {"Method": method}
        for metric in stats.headline_metrics:
            head = text.metric_head(metric)
            scores[head] = score_or_reason(stats, notes, method, metric)
            tests[head] = p_values.get((method, metric), ("", np.nan))[0]
        lines.append(scores)
        if any(p_values.get((method, metric)) for metric in stats.headline_metrics):
            lines.append(tests)
    rows = stats.headline
    adjusted = [
        p_values.get(pair, ("", np.nan))[1]
        for pair in zip(rows["method"], rows["metric"], strict=True)
    ]
    return Table(
        "main",
        "Main table",
        pd.DataFrame(lines),
        rows[MAIN_COLUMNS].assign(p_adjusted=adjusted),
        caption=f"Mean over the scenes of {stats.main_split} ± half of the 95% interval for new "
        "trainings and new scenes; methods that share a letter in a column are not separable, "
        "which does not mean equal. Below it is p of the difference from "
        f"{stats.config.reference}, corrected as declared, or {EXPLORATORY_MARK} exploratory "
        "(Benjamini–Hochberg). Letters follow the same p-values: two methods share one if theirs "
        "is at least 0.05.",
        notes=notes.lines(),
        groups=True,
        open=True,
    )


def _reference_p_values(stats: Statistics) -> dict[tuple[str, str], tuple[str, float]]:
    """Return {(method, metric): (adjusted p as printed, adjusted p)} against the reference."""
    rows = stats.headline_rows(stats.differences).dropna(subset=["p_adjusted"])
    p_values: dict[tuple[str, str], tuple[str, float]] = {}
    for row in rows[rows["question"] == TRAININGS_AND_SCENES].itertuples():
        pair = [row.method_a, row.method_b]
        if stats.config.reference in pair:
            pair.remove(stats.config.reference)
            p = text.p_value(row.p_adjusted)
            printed = f"p {p}" if p.startswith("<") else f"p = {p}"
            printed += EXPLORATORY_MARK if row.family == EXPLORATORY else ""
            p_values[pair[0], row.metric] = (printed, row.p_adjusted)
    return p_values


@report_table
def verdicts(stats: Statistics) -> Table | None:
    """Return the verdict on every claim, with its primary tests and what was not tested."""
    rows = stats.claims[stats.claims["role"] == PRIMARY]
    lines = [
        {
            "Claim": f"{stats.config.sentence(row.family, row.claim)}: {row.verdict}",
            "Facet": row.facet.replace("_", " "),
            "Primary metric": text.metric_head(row.metric, row.subset),
            "Against": row.method_b,
            "Difference": text.interval(row.difference, row.ci_low, row.ci_high),
            "p Holm": text.p_value(row.p_adjusted),
            "Least": text.number(row.smallest_effect, text.digits_for(row.smallest_effect)),
            "Outcome": _outcome(row),
        }
        for row in rows.itertuples()
    ]
    return Table(
        "verdicts",
        "Verdicts on the claims",
        pd.DataFrame(lines),
        rows,
        caption="A claim is supported only if every primary test is better: separable after Holm’s "
        "procedure over its family, in the claimed direction, and by at least the declared least "
        "difference. The lead must hold over the rival and over each control. A test that was not "
        "run leaves a claim undecided.",
        groups=True,
        open=True,
    )


def _outcome(row: Any) -> str:
    """Return the outcome of a declared test, with the reason where there is none."""
    return f"{row.outcome}: {row.reason}" if row.reason else row.outcome


@report_table
def claim_tables(stats: Statistics) -> list[Table]:
    """Return a table of the declared tests of each family of claims, the config's first."""
    present = dict.fromkeys(stats.claims["family"])
    named = [family for family in stats.config.families if family in present]
    return [claim_table(stats, family) for family in [*named, *sorted(present.keys() - set(named))]]


def claim_table(stats: Statistics, family: str) -> Table:
    """Return the tests of a family's claims: means, difference, p, corrected p and effect sizes."""
    rows = stats.claims[stats.claims["family"] == family]
    key = ["split", "subset", "metric", "method_a", "method_b"]
    # The first row of a difference is that of the headline's question.
    found = stats.differences[stats.differences["role"] != ""].drop_duplicates(key)
    more = [name for name in found if name not in rows or name in key]
    numbers = rows.merge(found[more], on=key, how="left")
    holm = (rows.drop_duplicates(key)["role"] == PRIMARY).sum()
    return Table(
        family,
        stats.config.families.get(family, text.title(family)),
        pd.DataFrame([_test_row(stats, row) for row in numbers.itertuples()]),
        numbers,
        caption="Difference is the first method minus the other, with the 95% interval for new "
        f"trainings and new scenes. Holm’s procedure corrects the {holm} primary tests; the "
        "secondary metrics of a facet are tested in their order while all tests before them are "
        f"separable. {NOT_SEPARABLE}",
        groups=True,
    )


def _test_row(stats: Statistics, row: Any) -> dict[str, str]:
    tested = not pd.isna(row.n_scenes)
    return {
        "Claim": stats.config.sentence(row.family, row.claim),
        "Facet": row.facet.replace("_", " "),
        "Metric": text.metric_head(row.metric, row.subset),
        "Role": row.role,
        "First": row.method_a,
        "Other": row.method_b,
        "First’s mean": _mean(stats, row, row.method_a, row.mean_a),
        "Other’s mean": _mean(stats, row, row.method_b, row.mean_b),
        "Difference": text.interval(row.difference, row.ci_low, row.ci_high),
        "p": text.p_value(row.p),
        "p corrected": text.p_value(row.p_adjusted),
        "Result": _outcome(row),
        "d_z": text.number(row.dz, 2),
        "MDE": text.number(row.mde, text.digits_for(row.mde)),
        "Seeds": f"{row.n_seeds_a:.0f}/{row.n_seeds_b:.0f}" if tested else "",
        "Scenes": f"{row.n_scenes:.0f}" if tested else "",
    }


def _mean(stats: Statistics, row: Any, method: str, value: float) -> str:
    """Return a method's mean with its interval; `value` where it has no estimate of its own."""
    estimate = stats.estimate(method, row.split, row.subset, row.metric)
    if estimate is None:
        return text.number(value)
    return text.interval(estimate.mean, estimate.ci_low, estimate.ci_high)


@report_table
def contrast_tables(stats: Statistics) -> list[Table]:
    """Return a table for each contrast of conditions, such as the change on other furniture.

    A contrast whose tests all answer another question, as those of a single training do, has no
    table: its rows are in other_questions.csv (`write_tables`).
    """
    rows = stats.differences[stats.differences["question"] == TRAININGS_AND_SCENES]
    of_contrasts = rows[(rows["role"] == "") & (rows["family"] != EXPLORATORY)]
    return [contrast_table(stats, family) for family in dict.fromkeys(of_contrasts["family"])]


def contrast_table(stats: Statistics, family: str) -> Table:
    """Return how a method's lead over others changes between two conditions."""
    tests = _in_order(stats, stats.tests(family), ["split", "method_b", "metric", "method_a"])
    lines = [
        {
            "Method": row.method_b,
            "Metric": text.metric_head(row.metric, row.subset),
            f"{row.method_a} changes by": text.number(row.mean_a),
            "Method changes by": text.number(row.mean_b),
            "Difference": text.interval(row.difference, row.ci_low, row.ci_high),
            "p": text.p_value(row.p),
            "p Holm": text.p_value(row.p_adjusted),
            "Result": row.note if pd.isna(row.p) and row.note else _change(row),
            "d_z": text.number(row.dz, 2),
            "MDE": text.number(row.mde, text.digits_for(row.mde)),
            "Seeds": f"{row.n_seeds_a:.0f}/{row.n_seeds_b:.0f}" if row.n_scenes > 0 else "",
            "Scenes": f"{row.n_scenes:.0f}" if row.n_scenes > 0 else "",
        }
        for row in tests.itertuples()
    ]
    return Table(
        family,
        stats.config.families.get(family, text.title(family)),
        pd.DataFrame(lines),
        tests.assign(result=[_change(row) for row in tests.itertuples()]),
        caption=f"Changes between conditions, {tests['split'].iloc[0]}: a method’s mean in the "
        "first minus its mean in the second, over paired scenes. Difference is the change of the "
        f"lead, with the 95% interval; Holm’s procedure corrects the {len(tests)} tests. "
        f"{NOT_SEPARABLE}",
        groups=True,
    )


def _change(row: Any) -> str:
    """Return whether a lead grows or shrinks: a mean that is better by more, or by less."""
    names = {BETTER: "lead grows", WORSE: "lead shrinks"}
    found = outcome(row.p_adjusted, row.difference, row.metric)
    return names.get(found, found)


@report_table
def metric_family_tables(stats: Statistics) -> list[Table]:
    """Return a table for each of the registry's families of metrics."""
    return [metric_family(stats, family) for family in METRIC_FAMILIES]


def metric_family(stats: Statistics, family: str) -> Table:
    """Return every metric of one family as a row, every method with one of them as a column."""
    rows = stats.estimates
    rows = rows[(rows["split"] == stats.main_split) & (rows["subset"] == "all")]
    present = set(rows["metric"])
    metrics = [name for name, m in METRICS.items() if m.family == family and name in present]
    rows = rows[rows["metric"].isin(metrics)]
    methods = [name for name in stats.method_names if name in set(rows["method"])]
    notes, lines, over_queries = Footnotes(), [], False
    for metric in metrics:
        scores = {method: score_or_reason(stats, notes, method, metric) for method in methods}
        lines.append({"Metric": text.metric_head(metric), **scores})
        if METRICS[metric].query_mean:
            means = {method: _query_mean(stats, method, metric) for method in methods}
            # A metric with one query a scene has no mean over queries of its own.
            if any(means.values()):
                over_queries = True
                lines.append({"Metric": f"{text.metric_label(metric)}, over queries", **means})
    title = METRIC_FAMILIES[family]
    return Table(
        family,
        title,
        pd.DataFrame(lines),
        rows,
        caption=f"Every {title.lower()} metric on {stats.main_split}: mean ± half of the 95% "
        "interval for new trainings and new scenes, with tie letters. "
        + (OVER_QUERIES if over_queries else "")
        + "Each metric’s formula and source are listed by python -m metrics list.",
        notes=notes.lines(),
    )


def _query_mean(stats: Statistics, method: str, metric: str) -> str:
    """Return the mean over queries on the main split, "" where the method has no score."""
    row = stats.estimate(method, stats.main_split, "all", metric)
    return "" if row is None else text.number(row.query_mean)


@report_table
def splits(stats: Statistics) -> Table:
    """Return the headline metrics of every split, side by side."""
    rows = stats.estimates
    rows = rows[(rows["subset"] == "all") & rows["metric"].isin(stats.config.headline)]
    captured = stats.config.captured_split
    rooms = f"The captured rooms ({captured}) are left out of this study."
    if captured in stats.splits:
        rooms = (
            f"{captured} are a few rooms as a headset captured them: described, not tested; they "
            "have no colour, so RGB is grey shading of the mesh and colour_mae compares greys."
        )
    return Table(
        "splits",
        "Splits",
        _wide(stats, rows, "split", stats.splits),
        rows,
        caption="The same metrics on every scored split, mean and 95% interval. Splits are never "
        f"pooled. {rooms}",
        groups=True,
    )


@report_table
def retention(stats: Statistics) -> Table | None:
    """Return the share of its scores that each method keeps on held-out furniture."""
    rows = stats.frame("retention")
    if rows is None or rows.empty:
        return None
    printed = [text.interval(row.ratio, row.ci_low, row.ci_high, 2) for row in rows.itertuples()]
    wide = rows.assign(cell=printed).pivot(index="metric", columns="method", values="cell")
    wide = wide.reindex(stats.headline_in(rows)).dropna(axis="columns", how="all").fillna("")
    wide = wide[[method for method in stats.method_names if method in wide]]
    wide.insert(0, "Metric", [text.metric_head(metric) for metric in wide.index])
    first, second = rows.iloc[0][["first", "second"]]
    return Table(
        "retention",
        "Retention on unseen furniture",
        wide,
        rows,
        caption=f"Mean on {first} over mean on {second}, with 95% intervals computed on the log "
        "scale. One means that nothing is lost; for distances, below one is better.",
    )


@report_table
def failed_trainings(stats: Statistics) -> Table | None:
    """Return the trainings that lie far behind the others of their method."""
    rows = stats.frame("collapses")
    if rows is None or rows.empty:
        return None
    printed = [
        {
            "Method": row.method,
            "Seed": str(row.seed),
            "Split": row.split,
            "Metric": text.metric_head(row.metric),
            "Value": text.number(row.value, text.digits_for(row.value)),
            "Other trainings": text.number(row.others, text.digits_for(row.others)),
        }
        for row in rows.itertuples()
    ]
    return Table(
        "failed_trainings",
        "Failed trainings",
        pd.DataFrame(printed),
        rows,
        caption="Trainings at least seven standard deviations, and a tenth of the score, behind "
        "the median of the other trainings of their method. They stay in every mean. No interval "
        "from a few trainings covers such failures.",
    )


@report_table
def subsets(stats: Statistics) -> Table:
    """Return the grounding metrics on every subset of the references."""
    rows = _subset_rows(stats, REFERENCE_METRICS)
    return Table(
        "subsets",
        "Kinds of reference",
        _wide(stats, rows, "subset", sorted(rows["subset"].unique())),
        rows,
        caption=f"References of {stats.main_split} by kind, mean and 95% interval. A reference "
        "may be of several kinds; kinds are never pooled, and an empty cell has no reference of "
        "the kind.",
        groups=True,
    )


@report_table
def questions(stats: Statistics) -> Table:
    """Return the answer score of every question type."""
    rows = _subset_rows(stats, ("answer_score",))
    cells = _wide(stats, rows, "subset", sorted(rows["subset"].unique()))
    return Table(
        "questions",
        "Question types",
        cells.drop(columns="Metric", errors="ignore"),
        rows,
        caption=f"Answer score by question type on {stats.main_split}, mean and 95% interval: "
        "exact match for words and choices, mean relative accuracy for numbers.",
    )


@report_table
def failures(stats: Statistics) -> Table:
    """Return where items failed: the mean of all, the mean of the succeeded, and their share."""
    rows = _in_order(stats, stats.headline.query("succeeded < 1"), ["method", "metric"])
    lines = [
        (
            row.method,
            text.metric_head(row.metric),
            text.number(row.mean),
            text.number(row.mean_succeeded) or "none succeeded",
            f"{100 * row.succeeded:.1f}%",
        )
        for row in rows.itertuples()
    ]
    head = ["Method", "Metric", "All items", "Succeeded only", "Succeeded"]
    return Table(
        "failures",
        "Failures",
        pd.DataFrame(lines, columns=head),
        rows[["method", "split", "metric", "mean", "mean_succeeded", "succeeded"]],
        caption=f"Items of {stats.main_split} for which a declared output was missing, invalid or "
        "empty. They count at the metric's worst value. Methods cannot be compared by the mean of "
        "the succeeded alone.",
        groups=True,
        keep_empty=True,
    )


@report_table
def not_produced(stats: Statistics) -> Table:
    """Return the outputs that methods do not produce and the reason that each gives."""
    lines = []
    for method in stats.method_names:
        by_reason: dict[str, list[str]] = {}
        for task, reason in sorted(stats.methods.get(method, {}).get("reasons", {}).items()):
            by_reason.setdefault(reason, []).append(task.replace("_", " "))
        lines += [(method, ", ".join(tasks), reason) for reason, tasks in by_reason.items()]
    cells = pd.DataFrame(lines, columns=["Method", "Outputs", "Why"])
    return Table(
        "not_produced",
        "Not produced",
        cells,
        cells,
        caption="An output that a method does not declare is an empty cell in every table.",
        groups=True,
    )


@report_table
def gate(stats: Statistics) -> Table:
    """Return each trained method next to the best control that sees no scene, on train and val."""
    rows = [
        {"method": method, "task": task} | entry
        for method in stats.config.order_methods(stats.gate)
        for task, entry in stats.gate[method].items()
    ]
    lines = [
        (
            row["method"],
            row["task"],
            text.metric_head(row["metric"]),
            *(text.number(row[f"{split}{what}"]) for split in ("train", "val")
              for what in ("", "_constant")),
            row["reason"],
        )
        for row in rows
    ]  # fmt: skip
    head = ["Method", "Task", "Metric", "Train", "Constant", "Val", "Constant on val", "Verdict"]
    return Table(
        "gate",
        "Fitted or not",
        pd.DataFrame(lines, columns=head),
        pd.DataFrame(rows),
        caption="Means over trainings on the first scenes of train and on val, next to the best "
        "control of the task that sees no scene. A method that loses to it on train is "
        "under-fitted, and its row decides no claim. No test split is read.",
        groups=True,
    )


@report_table
def controls(stats: Statistics) -> Table:
    """Return the ends of the scale: the controls, and the score of an ideal but sampled answer."""
    config, notes = stats.config, Footnotes()
    ordered = dict.fromkeys([config.lower_bound, *config.controls])
    methods = [name for name in ordered if name in stats.method_names]
    floors: dict[str, float] = {}
    for method in stats.methods.values():
        floors |= method.get("floors", {}).get(stats.main_split, {})
    scored = stats.headline[stats.headline["method"].isin(methods)]
    metrics = stats.config.order_metrics({*scored["metric"], *floors})
    lines = [
        {"Metric": text.metric_head(metric)}
        | {method: score_or_reason(stats, notes, method, metric) for method in methods}
        | {"Sampling limit": text.number(floors.get(metric, np.nan))}
        for metric in metrics
    ]
    rows = stats.estimates
    rows = rows[(rows["split"] == stats.main_split) & (rows["subset"] == "all")]
    means = rows.pivot(index="metric", columns="method", values="mean")
    numbers = means.reindex(index=metrics, columns=methods).rename_axis(index="metric")
    numbers["sampling_limit"] = [floors.get(metric, np.nan) for metric in metrics]
    return Table(
        "controls",
        "Controls and floors",
        pd.DataFrame(lines),
        numbers.reset_index(),
        caption=f"The ends of the scale on {stats.main_split}: chance, answers without the scene, "
        "and the truth itself. The sampling limit is the score of an equally dense, independent "
        "sample of the true surface.",
        notes=notes.lines(),
    )


@report_table
def cost(stats: Statistics) -> Table:
    """Return parameters, training and inference seconds and peak memory of each method."""
    methods = stats.method_names
    cells, numbers = pd.DataFrame({"Method": methods}), pd.DataFrame({"method": methods})
    for key, (column, reduction, decimals) in COSTS.items():
        numbers[key] = [_measured(stats, method, key, reduction) for method in methods]
        cells[column] = ["" if np.isnan(x) else f"{x:,.{decimals}f}" for x in numbers[key]]
    return Table(
        "cost",
        "Cost",
        cells,
        numbers,
        caption="Training and inference seconds are means over seeds and splits, memory is the "
        "largest measured, all on the machine named under provenance. An empty cell was not "
        "measured.",
    )


def _measured(stats: Statistics, method: str, key: str, reduction: str) -> float:
    """Return the mean or largest of what a method's jobs measured, NaN if none did."""
    costs = pd.DataFrame(stats.methods.get(method, {}).get("costs", []))
    if key not in costs:
        return np.nan
    return float(pd.to_numeric(costs[key], errors="coerce").agg(reduction))


def _in_order(stats: Statistics, rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return rows sorted by columns: methods in their order, headline metrics first, in theirs."""
    orders = {"method": stats.method_names, "metric": stats.config.headline}

    def places(names: pd.Series) -> pd.Series:
        order = orders.get(str(names.name).removesuffix("_b"))
        if order is None:
            return names
        return names.map({name: place for place, name in enumerate(order)}).fillna(len(order))

    return rows.sort_values(columns, key=places, kind="stable")


def _subset_rows(stats: Statistics, metrics: tuple[str, ...]) -> pd.DataFrame:
    """Return the estimates of metrics on the subsets of the main split."""
    rows = stats.estimates
    keep = (rows["subset"] != "all") & (rows["split"] == stats.main_split)
    return rows[keep & rows["metric"].isin(metrics)]


def _wide(stats: Statistics, rows: pd.DataFrame, by: str, order: list[str]) -> pd.DataFrame:
    """Return one row a metric and method and one column a split or subset."""
    cells = [text.interval(row.mean, row.ci_low, row.ci_high) for row in rows.itertuples()]
    wide = rows.assign(cell=cells).pivot(index=["metric", "method"], columns=by, values="cell")
    wide = _in_order(stats, wide.reindex(columns=order).reset_index(), ["metric", "method"])
    wide = wide.fillna("")
    wide["metric"] = [text.metric_head(metric) for metric in wide["metric"]]
    names = {"metric": "Metric", "method": "Method"}
    if by == "subset":
        names |= {name: name.replace("_", " ") for name in order}
    return wide.rename(columns=names)
