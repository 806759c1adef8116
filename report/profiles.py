"""Figures over whole distributions: performance profiles and critical differences of ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from report import data, names, style

LINES = ("-", "--", "-.", ":")
# How far apart the names below a rank axis stand, in units of its height.
STEP = 0.9


def profiles(stats: data.Statistics) -> Any:
    """Return a panel per metric: the share of trainings and scenes at least as good as the axis.

    Drawn from the statistics' `profiles`; the oracle is left out. None without them.
    """
    rows = stats.frame("profiles")
    if rows is None:
        return None
    keep = (rows["split"] == stats.split()) & (rows["method"] != "oracle")
    rows = rows[keep & rows["metric"].isin(names.HEADLINE)]
    metrics = [m for m in names.HEADLINE if m in set(rows["metric"])]
    if not metrics:
        return None
    methods = [m for m in stats.names() if m in set(rows["method"])]
    colours = style.palette(stats.names())
    lines = {m: LINES[place // 4 % len(LINES)] for place, m in enumerate(methods)}
    fig, axes, room = style.panels(len(metrics), style.COLUMNS, 1.75)
    for axis, metric in zip(axes, metrics, strict=True):
        mine = rows[rows["metric"] == metric]
        for method, curve in mine.groupby("method", sort=False):
            look = {"color": colours[method], "linestyle": lines[method], "linewidth": 1.1}
            axis.plot(curve["threshold"], curve["share"], **look)
        # Where every curve is flat there is nothing to see.
        moving = mine.loc[mine["share"].between(0.001, 0.999), "threshold"]
        if len(moving):
            axis.set_xlim(min(0.0, moving.min()), 1.05 * moving.max())
        axis.set_ylim(-0.02, 1.02)
        axis.set_title(names.metric_head(metric))
        axis.grid(True)
        axis.locator_params(axis="x", nbins=5)
    fig.supylabel("share of trainings and scenes as good")
    handles = [Line2D([], [], color=colours[m], linestyle=lines[m], label=m) for m in methods]
    style.legend(fig, room, handles)
    return fig


def critical_difference(stats: data.Statistics) -> Any:
    """Return a rank diagram per headline metric (Demsar 2006), from the statistics' `ranks`.

    None where no metric ranks three methods.
    """
    rows = stats.frame("ranks")
    if rows is None:
        return None
    keep = (rows["split"] == stats.split()) & (rows["subset"] == "all")
    rows = rows[keep & rows["metric"].isin(names.HEADLINE) & rows["critical_difference"].notna()]
    metrics = [m for m in names.HEADLINE if m in set(rows["metric"])]
    if not metrics:
        return None
    most = int(rows.groupby("metric").size().max())
    fig, axes, _ = style.panels(len(metrics), 2, 0.75 + 0.1 * most)
    for axis, metric in zip(axes, metrics, strict=True):
        rank_axis(axis, rows[rows["metric"] == metric])
        axis.set_title(names.metric_label(metric))
    return fig


def rank_axis(axis: Any, rows: pd.DataFrame) -> None:
    """Draw mean ranks on a line, best at the left; bars join what the critical difference cannot.

    `rows` has a row a method with `method`, `mean_rank` and one `critical_difference`.
    """
    rows = rows.sort_values(["mean_rank", "method"], kind="stable")
    ranks, methods = rows["mean_rank"].to_numpy(), list(rows["method"])
    count, width = len(methods), float(rows["critical_difference"].iloc[0])
    axis.plot([1, count], [0, 0], color=style.INK, linewidth=0.8)
    for tick in range(1, count + 1):
        axis.plot([tick, tick], [0, 0.35], color=style.INK, linewidth=0.8)
        axis.text(tick, 0.5, str(tick), ha="center", va="bottom", fontsize=6)
    bars = cliques(ranks, width)
    for place, (first, last) in enumerate(bars):
        y = -0.45 - 0.4 * place
        ends = [ranks[first] - 0.05, ranks[last] + 0.05]
        axis.plot(ends, [y, y], color=style.BETTER, linewidth=2.2, solid_capstyle="butt")
    top = -0.9 - 0.4 * len(bars)
    left = (count + 1) // 2
    for place, (rank, name) in enumerate(zip(ranks, methods, strict=True)):
        first = place < left
        y = top - STEP * (place if first else count - 1 - place)
        end = 0.8 if first else count + 0.2
        axis.plot([rank, rank, end], [0, y, y], color=style.UNSURE, linewidth=0.6, zorder=0)
        side = {"ha": "right" if first else "left", "va": "center", "fontsize": 6}
        axis.text(end + (-0.05 if first else 0.05), y, f"{name}  {rank:.1f}", **side)
    axis.plot([1, 1 + width], [1.9, 1.9], color=style.INK, linewidth=1.4)
    axis.text(1 + width / 2, 2.05, f"critical difference {width:.2f}", ha="center", fontsize=6)
    room = 1.1 * (count - 1)  # a third of the panel at each side, for the names
    axis.set_xlim(1 - room, count + room)
    axis.set_ylim(top - STEP * left, 3.2)
    axis.set_axis_off()


def cliques(ranks: np.ndarray, width: float) -> list[tuple[int, int]]:
    """Return (first, last) of the longest runs of sorted ranks [k] that span less than `width`.

    >>> cliques(np.array([1.0, 1.5, 2.2, 3.9]), 1.0)
    [(0, 1), (1, 2)]
    """
    runs: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = int(np.searchsorted(ranks, ranks[first] + width, side="left")) - 1
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs
