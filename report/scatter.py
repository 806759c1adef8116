"""Figures that set two quantities side by side: cost and quality, old and new furniture."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from report import data, names, style
from report.accounts import cost

QUALITY = ("fscore@5cm", "ref_acc@0.25", "answer_score")
ENDS = ("oracle", "chance")


def cost_quality(stats: data.Statistics) -> Any:
    """Return inference seconds against F-score, reference accuracy and answers; None without."""
    seconds = cost(stats).numbers.set_index("method")["seconds_per_scene"].dropna()
    split = stats.split()
    metrics = [m for m in QUALITY if m in stats.headline_metrics()]
    methods = [m for m in stats.names() if m in seconds.index and m not in ENDS]
    if not metrics or not methods:
        return None
    colours, shapes = style.palette(stats.names()), style.markers(stats.names())
    fig, axes, _ = style.panels(len(metrics), len(metrics), 2.7)
    for axis, metric in zip(axes, metrics, strict=True):
        for method in methods:
            row = stats.estimate(method, split, "all", metric)
            if row is not None:
                x, colour = seconds[method], colours[method]
                axis.plot([x, x], [row.ci_low, row.ci_high], color=colour, linewidth=1)
                axis.plot(x, row.mean, shapes[method], color=colour, markersize=5)
        axis.set_xscale("log")
        style.plain_log(axis.xaxis)
        axis.set_title(names.metric_label(metric))
        axis.grid(True)
    style.label_below(axes, len(metrics), "seconds a scene")
    style.legend(fig, None, _handles(methods, colours, shapes))
    return fig


def robustness(stats: data.Statistics, splits: tuple[str, str]) -> Any:
    """Return means on `splits[1]` (right) against `splits[0]` (up), with both intervals.

    On the diagonal nothing changes between the splits. None where a split was not scored.
    """
    up, right = splits
    if not {up, right} <= set(stats.splits()):
        return None
    metrics = stats.headline_metrics()
    methods = [m for m in stats.names() if m not in ENDS]
    colours, shapes = style.palette(stats.names()), style.markers(stats.names())
    fig, axes, room = style.panels(len(metrics), style.COLUMNS, 2.1)
    shown: set[str] = set()
    for axis, metric in zip(axes, metrics, strict=True):
        for method in methods:
            pair = [stats.estimate(method, split, "all", metric) for split in (right, up)]
            if None not in pair:
                _cross(axis, pair, colours[method], shapes[method])
                shown.add(method)
        _diagonal(axis)
        axis.set_title(names.metric_head(metric))
    style.label_below(axes, style.COLUMNS, right)
    fig.supylabel(up)
    style.legend(fig, room, _handles([m for m in methods if m in shown], colours, shapes))
    return fig


def _cross(axis: Any, pair: list[Any], colour: Any, shape: str) -> None:
    x, y = pair
    line = {"color": colour, "linewidth": 0.7, "alpha": 0.6}
    axis.plot([x.ci_low, x.ci_high], [y.mean, y.mean], **line)
    axis.plot([x.mean, x.mean], [y.ci_low, y.ci_high], **line)
    axis.plot(x.mean, y.mean, shape, color=colour, markersize=4.5, zorder=3)


def _diagonal(axis: Any) -> None:
    dots = [line.get_xydata()[0] for line in axis.lines if line.get_marker() != "None"]
    values = np.array(dots).ravel()
    margin = 0.12 * float(np.ptp(values)) or 0.05
    low, high = float(values.min()) - margin, float(values.max()) + margin
    axis.plot([low, high], [low, high], color=style.UNSURE, linewidth=0.6, zorder=0)
    axis.set_xlim(low, high)
    axis.set_ylim(low, high)
    axis.set_aspect("equal")
    axis.locator_params(nbins=4)
    axis.grid(True)


def _handles(methods: list[str], colours: dict[str, Any], shapes: dict[str, str]) -> list[Any]:
    return [
        Line2D([], [], linestyle="", marker=shapes[m], color=colours[m], markersize=5, label=m)
        for m in methods
    ]
