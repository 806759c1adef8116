"""Figures of intervals: differences from the reference, contrasts, scores and their trainings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from metrics.statistics.measures import higher_is_better
from metrics.statistics.moments import TRAININGS_AND_SCENES
from report import data, names, style


def forest(stats: data.Statistics, reference: str) -> Any:
    """Return a panel per metric: reference minus each method, turned so that right is better.

    None where the study has no such difference with an interval.
    """
    rows = stats.differences
    keep = rows["question"] == TRAININGS_AND_SCENES
    keep &= (rows["split"] == stats.split()) & (rows["subset"] == "all")
    keep &= (rows["method_a"] == reference) & rows["metric"].isin(names.HEADLINE)
    keep &= rows["ci_low"].notna() & (rows["method_b"] != "chance")
    return _forest(rows[keep], stats.names())


def contrasts(stats: data.Statistics, family: str) -> Any:
    """Return the same for a family of interactions: how much a gap changes; None without rows."""
    rows = stats.tests(family)
    return _forest(rows[rows["ci_low"].notna()], stats.names())


def _forest(rows: pd.DataFrame, order: list[str]) -> Any:
    known = [*names.HEADLINE, *sorted(set(rows["metric"]) - set(names.HEADLINE))]
    metrics = [m for m in known if m in set(rows["metric"])]
    if not metrics:
        return None
    methods = [m for m in order if m in set(rows["method_b"])]
    fig, axes, room = style.panels(len(metrics), style.COLUMNS, 0.75 + 0.16 * len(methods))
    for place, (axis, metric) in enumerate(zip(axes, metrics, strict=True)):
        mine = rows[rows["metric"] == metric]
        _forest_panel(axis, mine, metric, methods, place % style.COLUMNS == 0)
    colours = {"separable, better": style.BETTER, "separable, worse": style.WORSE}
    colours["not separable"] = style.UNSURE
    handles = [Line2D([], [], color=c, linewidth=1.4, label=name) for name, c in colours.items()]
    for name, face in (("declared test", style.INK), ("exploratory", "white")):
        dot = {"marker": "o", "markersize": 4, "color": style.INK, "markerfacecolor": face}
        handles.append(Line2D([], [], linestyle="", label=name, **dot))
    style.legend(fig, room, handles, columns=5)
    return fig


def _forest_panel(
    axis: Any, rows: pd.DataFrame, metric: str, methods: list[str], labelled: bool
) -> None:
    sign = 1 if higher_is_better(metric) else -1
    axis.axvline(0, color=style.INK, linewidth=0.6, zorder=1)
    for row in rows.itertuples():
        y = methods.index(row.method_b)
        value = sign * row.difference
        ends = sorted((sign * row.ci_low, sign * row.ci_high))
        separable = row.p_adjusted < 0.05
        colour = (style.BETTER if value > 0 else style.WORSE) if separable else style.UNSURE
        axis.plot(ends, [y, y], color=colour, linewidth=1.4, solid_capstyle="butt", zorder=2)
        declared = row.family != "exploratory"
        face = colour if declared else "white"
        axis.plot(value, y, "o", markersize=4, color=colour, markerfacecolor=face, zorder=3)
    axis.set_title(names.metric_label(metric))
    style.method_rows(axis, methods, labelled)


def distributions(stats: data.Statistics) -> Any:
    """Return a panel per metric: scenes, trainings and the interval of every method."""
    cells = stats.cells
    keep = (cells["split"] == stats.split()) & (cells["subset"] == "all")
    cells = cells[keep & cells["metric"].isin(names.HEADLINE) & (cells["method"] != "oracle")]
    metrics = [m for m in names.HEADLINE if m in set(cells["metric"])]
    methods = [m for m in stats.names() if m in set(cells["method"])]
    if not metrics:
        return None
    fig, axes, room = style.panels(len(metrics), style.COLUMNS, 0.55 + 0.16 * len(methods))
    generator = np.random.default_rng(0)
    by_metric = dict(list(cells.groupby("metric")))
    for place, (axis, metric) in enumerate(zip(axes, metrics, strict=True)):
        by_method = dict(list(by_metric[metric].groupby("method")))
        for y, method in enumerate(methods):
            if method in by_method:
                limit = stats.estimate(method, stats.split(), "all", metric)
                _strip(axis, y, by_method[method], limit, generator)
        shift = " (pseudo-values)" if _is_pooled(metric) else ""
        axis.set_title(names.metric_label(metric) + shift)
        _fit_to_dots(axis)
        style.method_rows(axis, methods, place % style.COLUMNS == 0)
    handles = [
        Line2D([], [], linestyle="", marker=".", color=style.PALE, label="a scene"),
        Line2D([], [], linestyle="", marker="D", markersize=3, color=style.WORSE, label="training"),
        Line2D([], [], color=style.INK, linewidth=1.6, label="95% interval of the mean"),
    ]
    style.legend(fig, room, handles)
    return fig


def _is_pooled(metric: str) -> bool:
    from metrics.registry import METRICS

    return metric in METRICS and bool(METRICS[metric].pooled)


def _strip(axis: Any, y: int, rows: pd.DataFrame, limit: Any, generator: Any) -> None:
    scenes = rows.groupby("scene")["value"].mean().to_numpy()
    seeds = rows.groupby("seed")["value"].mean().to_numpy()
    jitter = y + generator.uniform(-0.28, 0.28, len(scenes))
    axis.plot(scenes, jitter, ".", markersize=1.8, color=style.PALE, zorder=1, rasterized=True)
    if limit is not None and np.isfinite(limit.ci_low):
        ends = [limit.ci_low, limit.ci_high]
        axis.plot(ends, [y, y], color=style.INK, linewidth=1.6, solid_capstyle="butt", zorder=2)
    axis.plot(seeds, np.full(len(seeds), y), "D", markersize=2.6, color=style.WORSE, zorder=3)


def _fit_to_dots(axis: Any) -> None:
    """Let scenes and trainings set the range: an interval from two trainings may be very wide."""
    dots = [line.get_xdata() for line in axis.lines if line.get_linestyle() == "None"]
    values = np.concatenate(dots)
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 0.05
    axis.set_xlim(low - margin, high + margin)
