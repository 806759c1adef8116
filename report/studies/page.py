"""A study as files: estimates.csv, differences.csv, tables.md and figure.png."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from metrics.files import atomic_path
from report import style, text
from report.statistics import stamp_of
from report.studies.study import Study
from report.table import csv_text, markdown_grid

# Rows of differences in tables.md; differences.csv holds all of them.
MOST_ROWS = 60


def write(study: Study, folder: str | Path) -> None:
    """Write the study's files into a folder; the figure carries the stamp of the two csv files."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "estimates.csv", folder / "differences.csv"]
    for file, rows in zip(files, (study.estimates, study.differences), strict=True):
        with atomic_path(file) as temporary:
            Path(temporary).write_text(csv_text(rows), encoding="utf-8")
    with atomic_path(folder / "tables.md") as temporary:
        Path(temporary).write_text(markdown(study), encoding="utf-8")
    style.save(draw(study), folder, "figure", stamp_of(files))


def markdown(study: Study) -> str:
    """Return the overview, a table of intervals for each metric, and the largest differences."""
    parts = [f"# {study.title}\n\n{study.explanation}\n"]
    if study.overview is not None:
        cells = study.overview.map(lambda cell: cell if isinstance(cell, str) else f"{cell:.3f}")
        parts.append(markdown_grid(list(cells), cells.to_numpy().tolist()) + "\n")
    methods = list(dict.fromkeys(study.estimates["method"]))
    for metric, rows in study.estimates.groupby("metric", sort=False):
        cells = {(r.condition, r.method): _interval(r.estimate, r) for r in rows.itertuples()}
        body = [
            [condition, *(cells.get((condition, method), "") for method in methods)]
            for condition in study.conditions
            if any((condition, method) in cells for method in methods)
        ]
        parts.append(markdown_grid([text.metric_head(metric), *methods], body) + "\n")
    parts.append(_differences(study.differences))
    return "\n".join(parts)


def _differences(rows: pd.DataFrame) -> str:
    if not len(rows):
        return "No two conditions could be compared.\n"
    tested = rows[rows["p_adjusted"].notna()]
    printed = tested.sort_values("p_adjusted", kind="stable").head(MOST_ROWS)
    body = [
        [
            str(row.condition),
            text.metric_label(row.metric),
            f"{row.method_a} − {row.method_b}",
            _interval(row.difference, row, "+"),
            text.p_value(row.p_adjusted),
        ]
        for row in printed.itertuples()
    ]
    left = len(rows) - len(printed)
    return "\n".join(
        [
            "## Differences\n",
            f"Benjamini-Hochberg over the {len(tested)} differences of this study.\n",
            markdown_grid(["Condition", "Metric", "Difference", "Estimate", "p, adjusted"], body),
            f"\n{left} more in differences.csv.\n" if left else "",
        ]
    )


def _interval(value: float, row: Any, sign: str = "") -> str:
    if pd.isna(row.ci_low):
        return f"{value:{sign}.3f}"
    return f"{value:{sign}.3f} [{row.ci_low:{sign}.3f}, {row.ci_high:{sign}.3f}]"


def draw(study: Study) -> Any:
    """Return a panel a metric: a row a condition, a dot with its interval a method.

    Metrics that were measured under the same conditions share a row of panels.
    """
    # Metrics by the conditions that they were measured under.
    alike: dict[tuple[str, ...], list[str]] = {}
    for metric, rows in study.estimates.groupby("metric", sort=False):
        conditions = tuple(name for name in study.conditions if name in set(rows["condition"]))
        alike.setdefault(conditions, []).append(metric)
    # (conditions, metrics) of each row of panels.
    bands = [
        (conditions, metrics[start : start + style.COLUMNS])
        for conditions, metrics in alike.items()
        for start in range(0, len(metrics), style.COLUMNS)
    ]
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
            axis.set_title(text.metric_head(metric))
    style.legend(fig, None, handles)
    return fig


def _dots(
    axis: Any, rows: pd.DataFrame, conditions: Sequence[str], methods: list[str]
) -> list[Any]:
    """Draw one metric's estimates; return a handle a method for the legend."""
    colours, shapes, handles = style.palette(methods), style.markers(methods), []
    for number, method in enumerate(methods):
        own, colour = rows[rows["method"] == method], colours[method]
        shift = 0.7 * ((number + 0.5) / len(methods) - 0.5)
        y = [conditions.index(one) + shift for one in own["condition"]]
        axis.hlines(y, own["ci_low"], own["ci_high"], colors=[colour], linewidth=0.8)
        handles += axis.plot(own["estimate"], y, shapes[method], color=colour, ms=3, label=method)
    return handles
