"""A study as files: estimates.csv, differences.csv, tables.md and a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from metrics.files import atomic_path
from metrics.present import names
from metrics.present.formats import markdown_grid
from metrics.studies.study import Study

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
    """Return a table of intervals for each metric, and the largest differences."""
    parts = [f"# {study.title}\n\n{study.said}\n"]
    methods = list(dict.fromkeys(study.estimates["method"]))
    for metric in dict.fromkeys(study.estimates["metric"]):
        rows = study.estimates[study.estimates["metric"] == metric]
        cells = {(r.condition, r.method): _interval(r.estimate, r) for r in rows.itertuples()}
        head = [names.metric_label(metric, "all") + names.arrow(metric), *methods]
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
            names.metric_label(row.metric, "all"),
            f"{row.method_a} − {row.method_b}",
            _interval(row.difference, row, "+"),
            names.p_value(row.p_adjusted),
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
    """Draw a panel a metric: a row a condition, a dot and its interval a method."""
    from metrics.present import style

    metrics = list(dict.fromkeys(study.estimates["metric"]))
    methods = list(dict.fromkeys(study.estimates["method"]))
    colours, shapes = style.palette(methods), style.markers(methods)
    height = 0.7 + 0.045 * len(study.conditions) * (1 + len(methods))
    fig, axes, room = style.panels(len(metrics), style.COLUMNS, height)
    for place, (axis, metric) in enumerate(zip(axes, metrics, strict=True)):
        rows = study.estimates[study.estimates["metric"] == metric]
        style.method_rows(axis, study.conditions, labelled=place % style.COLUMNS == 0)
        for number, method in enumerate(methods):
            own = rows[rows["method"] == method]
            shift = 0.7 * ((number + 0.5) / len(methods) - 0.5)
            y = [study.conditions.index(one) + shift for one in own["condition"]]
            axis.hlines(y, own["ci_low"], own["ci_high"], colors=[colours[method]], linewidth=0.8)
            axis.plot(
                own["estimate"],
                y,
                shapes[method],
                color=colours[method],
                markersize=3,
                label=method,
            )
        axis.set_title(names.metric_label(metric, "all") + " " + names.arrow(metric))
    handles = axes[0].get_legend_handles_labels()[0] if axes else []
    style.legend(fig, room, handles)
    style.save(fig, folder, "figure", stamp)
