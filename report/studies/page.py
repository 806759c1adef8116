"""A study as files: estimates.csv, differences.csv, tables.md and a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from metrics.files import atomic_path
from report import text
from report.studies.study import Study
from report.table import markdown_grid

# Rows of differences in the printed table; all of them stand in differences.csv.
MOST_ROWS = 60


def write(study: Study, folder: str | Path, stamp: str = "") -> None:
    """Write the study's files into a folder; `stamp` is the figure's."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("estimates", "differences"):
        with atomic_path(folder / f"{name}.csv") as temporary:
            getattr(study, name).to_csv(temporary, index=False, lineterminator="\n")
    with atomic_path(folder / "tables.md") as temporary:
        Path(temporary).write_text(markdown(study), encoding="utf-8")
    draw(study, folder, stamp)


def markdown(study: Study) -> str:
    """Return the overview, a table of intervals for each metric, and the largest differences."""
    parts = [f"# {study.title}\n\n{study.said}\n"]
    if study.overview is not None:
        cells = study.overview.map(lambda cell: cell if isinstance(cell, str) else f"{cell:.3f}")
        parts.append(markdown_grid(list(cells), cells.to_numpy().tolist()) + "\n")
    methods = list(dict.fromkeys(study.estimates["method"]))
    for metric in dict.fromkeys(study.estimates["metric"]):
        rows = study.estimates[study.estimates["metric"] == metric]
        cells = {(r.condition, r.method): _interval(r.estimate, r) for r in rows.itertuples()}
        head = [text.metric_label(metric, "all") + text.arrow(metric), *methods]
        body = [
            [condition, *(cells.get((condition, method), "") for method in methods)]
            for condition in study.conditions
            if any((condition, method) in cells for method in methods)
        ]
        parts.append(markdown_grid(head, body) + "\n")
    parts.append(_differences(study.differences))
    return "\n".join(parts)


def _differences(rows: pd.DataFrame) -> str:
    if not len(rows):
        return "No two conditions could be compared.\n"
    tested = rows[rows["p_adjusted"].notna()]
    shown = tested.sort_values("p_adjusted", kind="stable").head(MOST_ROWS)
    head = ["Condition", "Metric", "Difference", "Estimate", "p, adjusted"]
    body = [
        [
            str(row.condition),
            text.metric_label(row.metric, "all"),
            f"{row.method_a} − {row.method_b}",
            _interval(row.difference, row, "+"),
            text.p_value(row.p_adjusted),
        ]
        for row in shown.itertuples()
    ]
    left = len(rows) - len(shown)
    tail = f"\n{left} more in differences.csv.\n" if left else ""
    said = f"Benjamini-Hochberg over the {len(tested)} differences of this study."
    return f"## Differences\n\n{said}\n\n{markdown_grid(head, body)}\n{tail}"


def _interval(value: float, row: Any, sign: str = "") -> str:
    if pd.isna(row.ci_low):
        return f"{value:{sign}.3f}"
    return f"{value:{sign}.3f} [{row.ci_low:{sign}.3f}, {row.ci_high:{sign}.3f}]"


def draw(study: Study, folder: Path, stamp: str) -> None:
    """Draw a panel a metric: a row a condition, a dot and its interval a method.

    Metrics that were measured under the same conditions stand side by side.
    """
    from report import style

    bands = _bands(study)
    methods = list(dict.fromkeys(study.estimates["method"]))
    heights = [0.5 + 0.05 * len(conditions) * (1 + len(methods)) for conditions, _ in bands]
    fig = style.plt.figure(figsize=(style.WIDTH, sum(heights) + 0.3))
    grid = fig.add_gridspec(len(bands), style.COLUMNS, height_ratios=heights)
    for row, (conditions, metrics) in enumerate(bands):
        for column, metric in enumerate(metrics):
            axis = fig.add_subplot(grid[row, column])
            style.method_rows(axis, conditions, labelled=column == 0)
            rows = study.estimates[study.estimates["metric"] == metric]
            handles = _dots(axis, rows, conditions, methods)
            axis.set_title(text.metric_label(metric, "all") + " " + text.arrow(metric))
    style.legend(fig, None, handles)
    style.save(fig, folder, "figure", stamp)


def _bands(study: Study) -> list[tuple[list[str], list[str]]]:
    """Return (conditions, metrics) of each row of panels."""
    from report.style import COLUMNS

    alike: dict[tuple[str, ...], list[str]] = {}
    for metric in dict.fromkeys(study.estimates["metric"]):
        here = set(study.estimates.loc[study.estimates["metric"] == metric, "condition"])
        alike.setdefault(tuple(c for c in study.conditions if c in here), []).append(metric)
    return [
        (list(conditions), metrics[start : start + COLUMNS])
        for conditions, metrics in alike.items()
        for start in range(0, len(metrics), COLUMNS)
    ]


def _dots(axis: Any, rows: pd.DataFrame, conditions: list[str], methods: list[str]) -> list[Any]:
    """Draw one metric's estimates; returns a handle a method for the legend."""
    from report import style

    colours, shapes, handles = style.palette(methods), style.markers(methods), []
    for number, method in enumerate(methods):
        own, colour = rows[rows["method"] == method], colours[method]
        shift = 0.7 * ((number + 0.5) / len(methods) - 0.5)
        y = [conditions.index(one) + shift for one in own["condition"]]
        axis.hlines(y, own["ci_low"], own["ci_high"], colors=[colour], linewidth=0.8)
        handles += axis.plot(own["estimate"], y, shapes[method], color=colour, ms=3, label=method)
    return handles
