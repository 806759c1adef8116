"""Every figure of a study's scores. A function with `@FIGURES.add` is a figure."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from metrics.files import atomic_path
from metrics.registry import METRICS
from metrics.statistics.effects import ALPHA
from metrics.statistics.measures import higher_is_better
from metrics.statistics.moments import TRAININGS_AND_SCENES
from report import style, text
from report.config import ReportConfig
from report.statistics import Statistics, load
from report.tables import cost

FIGURES = style.Figures()
# The metrics of the figure of cost and quality.
QUALITY = ("fscore@5cm", "ref_acc@0.25", "answer_score")
LINES = ("-", "--", "-.", ":")
# Distance between two names below a rank axis, in units of the axis.
NAME_STEP = 0.9


def write_figures(stats_dir: str | Path, out_dir: str | Path, config: ReportConfig) -> list[Path]:
    """Write every figure that the study has numbers for as pdf and png; return the files."""
    stats = load(stats_dir, config)
    with atomic_path(out_dir, folder=True) as folder:
        FIGURES.save(folder, stats.stamp, stats)
    return sorted(Path(out_dir).iterdir())


# ---- intervals -----------------------------------------------------------------------------------


@FIGURES.add(
    "forest",
    "Differences from the reference",
    "The reference minus every other method on the headline metrics, with 95% intervals for "
    "new trainings and new scenes. Right of zero the reference is better; filled dots are "
    "declared tests, hollow ones exploratory, and colour shows what is separable after "
    "correction.",
)
def forest(stats: Statistics) -> Any:
    """Return a panel per metric: reference minus each method, with the sign that right is better.

    None where the study has no such difference with an interval.
    """
    rows = stats.headline_rows(stats.differences)
    keep = (rows["question"] == TRAININGS_AND_SCENES) & rows["ci_low"].notna()
    keep &= rows["method_a"] == stats.config.reference
    keep &= rows["method_b"] != stats.config.lower_bound
    return _forest(stats, rows[keep])


def _forest(stats: Statistics, rows: pd.DataFrame) -> Any:
    metrics = stats.config.order_metrics(rows["metric"])
    if not metrics:
        return None
    methods = [m for m in stats.method_names if m in set(rows["method_b"])]
    labels = [_label(stats, method) for method in methods]
    fig, axes, unused = style.panels(len(metrics), style.COLUMNS, 0.75 + 0.16 * len(methods))
    for place, (axis, metric) in enumerate(zip(axes, metrics, strict=True)):
        _forest_panel(axis, rows[rows["metric"] == metric], methods)
        axis.set_title(text.metric_label(metric))
        style.method_rows(axis, labels, place % style.COLUMNS == 0)
    colours = {
        "separable, better": style.BETTER,
        "separable, worse": style.WORSE,
        "not separable": style.UNSURE,
    }
    dot = {"linestyle": "", "marker": "o", "markersize": 4, "color": style.INK}
    handles = [
        *(Line2D([], [], color=c, linewidth=1.4, label=name) for name, c in colours.items()),
        Line2D([], [], label="declared test", markerfacecolor=style.INK, **dot),
        Line2D([], [], label="exploratory", markerfacecolor="white", **dot),
    ]
    style.legend(fig, unused, handles, columns=5)
    return fig


def _forest_panel(axis: Any, rows: pd.DataFrame, methods: list[str]) -> None:
    axis.axvline(0, color=style.INK, linewidth=0.6, zorder=1)
    for row in rows.itertuples():
        y = methods.index(row.method_b)
        sign = 1 if higher_is_better(row.metric) else -1
        value = sign * row.difference
        ends = sorted((sign * row.ci_low, sign * row.ci_high))
        separable = style.BETTER if value > 0 else style.WORSE
        colour = separable if row.p_adjusted < ALPHA else style.UNSURE
        axis.plot(ends, [y, y], color=colour, linewidth=1.4, solid_capstyle="butt", zorder=2)
        face = "white" if row.family == "exploratory" else colour
        axis.plot(value, y, "o", markersize=4, color=colour, markerfacecolor=face, zorder=3)


@FIGURES.add(
    "distributions",
    "Scenes and trainings",
    "Scene scores (mean over trainings), each training’s mean, and the 95% interval of the "
    "mean, cut at the panel’s edge where two or three trainings leave it wider than the data. "
    "Deterministic methods have one diamond.",
)
def distributions(stats: Statistics) -> Any:
    """Return a panel per metric: scenes, trainings and the interval of every method."""
    cells = stats.headline_rows(stats.cells)
    cells = cells[cells["method"] != stats.config.upper_bound]
    metrics = stats.headline_in(cells)
    methods = [m for m in stats.method_names if m in set(cells["method"])]
    labels = [_label(stats, method) for method in methods]
    if not metrics:
        return None
    fig, axes, unused = style.panels(len(metrics), style.COLUMNS, 0.55 + 0.16 * len(methods))
    generator = np.random.default_rng(0)
    for place, (axis, metric) in enumerate(zip(axes, metrics, strict=True)):
        by_method = dict(list(cells[cells["metric"] == metric].groupby("method")))
        for y, method in enumerate(methods):
            if method in by_method:
                row = stats.estimate(method, stats.main_split, "all", metric)
                _strip(axis, y, by_method[method], row, generator)
        pooled = " (pseudo-values)" if metric in METRICS and METRICS[metric].pooled else ""
        axis.set_title(text.metric_label(metric) + pooled)
        _limit_to_dots(axis)
        style.method_rows(axis, labels, place % style.COLUMNS == 0)
    style.legend(
        fig,
        unused,
        [
            Line2D([], [], linestyle="", marker=".", color=style.PALE, label="a scene"),
            Line2D([], [], linestyle="", marker="D", ms=3, color=style.WORSE, label="training"),
            Line2D([], [], color=style.INK, linewidth=1.6, label="95% interval of the mean"),
        ],
    )
    return fig


def _strip(axis: Any, y: int, cells: pd.DataFrame, row: Any, generator: Any) -> None:
    scenes = cells.groupby("scene")["value"].mean().to_numpy()
    seeds = cells.groupby("seed")["value"].mean().to_numpy()
    jitter = y + generator.uniform(-0.28, 0.28, len(scenes))
    axis.plot(scenes, jitter, ".", markersize=1.8, color=style.PALE, zorder=1, rasterized=True)
    if row is not None and np.isfinite(row.ci_low):
        ends = [row.ci_low, row.ci_high]
        axis.plot(ends, [y, y], color=style.INK, linewidth=1.6, solid_capstyle="butt", zorder=2)
    axis.plot(seeds, np.full(len(seeds), y), "D", markersize=2.6, color=style.WORSE, zorder=3)


def _limit_to_dots(axis: Any) -> None:
    """Set the range by scenes and trainings: an interval from two trainings may be very wide."""
    values = np.concatenate(
        [line.get_xdata() for line in axis.lines if line.get_linestyle() == "None"]
    )
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 0.05
    axis.set_xlim(low - margin, high + margin)


# ---- whole distributions and ranks ---------------------------------------------------------------


@FIGURES.add(
    "profiles",
    "Performance profiles",
    "The share of (training, scene) pairs that are at least as good as the score on the axis, "
    "so that one lucky mean does not hide bad scenes. Higher curves are better.",
)
def profiles(stats: Statistics) -> Any:
    """Return a panel per metric: the share of trainings and scenes at least as good as the axis.

    The upper bound is left out. None where the statistics hold no profiles.
    """
    rows = stats.frame("profiles")
    if rows is None:
        return None
    keep = (rows["split"] == stats.main_split) & (rows["method"] != stats.config.upper_bound)
    rows = rows[keep & rows["metric"].isin(stats.config.headline)]
    metrics = stats.headline_in(rows)
    if not metrics:
        return None
    methods = [m for m in stats.method_names if m in set(rows["method"])]
    colours = style.palette(stats.method_names)
    lines = {m: LINES[place // 4 % len(LINES)] for place, m in enumerate(methods)}
    fig, axes, unused = style.panels(len(metrics), style.COLUMNS, 1.75)
    for axis, metric in zip(axes, metrics, strict=True):
        own = rows[rows["metric"] == metric]
        for method, curve in own.groupby("method", sort=False):
            x, y = curve["threshold"], curve["share"]
            axis.plot(x, y, color=colours[method], linestyle=lines[method], linewidth=1.1)
        # The range ends where every curve is flat.
        moving = own.loc[own["share"].between(0.001, 0.999), "threshold"]
        if len(moving):
            axis.set_xlim(min(0.0, moving.min()), 1.05 * moving.max())
        axis.set(ylim=(-0.02, 1.02), title=text.metric_head(metric))
        axis.grid(True)
        axis.locator_params(axis="x", nbins=5)
    fig.supylabel("share of trainings and scenes as good")
    style.legend(
        fig,
        unused,
        [
            Line2D([], [], color=colours[m], linestyle=lines[m], label=_label(stats, m))
            for m in methods
        ],
    )
    return fig


@FIGURES.add(
    "critical_difference",
    "Ranks and critical differences",
    "Mean ranks over scenes, rank 1 best, for these checkpoints. Methods on one bar differ by "
    "less than Nemenyi’s critical difference at 0.05.",
)
def critical_difference(stats: Statistics) -> Any:
    """Return a rank diagram per headline metric; None where no metric ranks three methods.

    Source: Demsar, "Statistical comparisons of classifiers over multiple data sets", 2006.
    """
    rows = stats.frame("ranks")
    if rows is None:
        return None
    rows = stats.headline_rows(rows).dropna(subset=["critical_difference"])
    metrics = stats.headline_in(rows)
    if not metrics:
        return None
    height = 0.75 + 0.1 * rows["metric"].value_counts().max()
    fig, axes, _ = style.panels(len(metrics), 2, height)
    for axis, metric in zip(axes, metrics, strict=True):
        own = rows[rows["metric"] == metric]
        _rank_axis(axis, own.assign(method=[_label(stats, m) for m in own["method"]]))
        axis.set_title(text.metric_label(metric))
    return fig


def _rank_axis(axis: Any, rows: pd.DataFrame) -> None:
    """Draw mean ranks on a line, best at the left, and a bar under each group of close ranks.

    Args:
        axis: matplotlib axis.
        rows: one row a method with `method`, `mean_rank` and one shared `critical_difference`.
    """
    rows = rows.sort_values(["mean_rank", "method"], kind="stable")
    ranks, methods = rows["mean_rank"].to_numpy(), list(rows["method"])
    count, width = len(methods), float(rows["critical_difference"].iloc[0])
    axis.plot([1, count], [0, 0], color=style.INK, linewidth=0.8)
    for tick in range(1, count + 1):
        axis.plot([tick, tick], [0, 0.35], color=style.INK, linewidth=0.8)
        axis.text(tick, 0.5, str(tick), ha="center", va="bottom", fontsize=6)
    groups = close_groups(ranks, width)
    for place, (first, last) in enumerate(groups):
        y = -0.45 - 0.4 * place
        ends = [ranks[first] - 0.05, ranks[last] + 0.05]
        axis.plot(ends, [y, y], color=style.BETTER, linewidth=2.2, solid_capstyle="butt")
    # The better half of the names is at the left, from the top; the other half mirrors it.
    top = -0.9 - 0.4 * len(groups)
    left_count = (count + 1) // 2
    for place, (rank, name) in enumerate(zip(ranks, methods, strict=True)):
        left = place < left_count
        y = top - NAME_STEP * (place if left else count - 1 - place)
        end = 0.8 if left else count + 0.2
        axis.plot([rank, rank, end], [0, y, y], color=style.UNSURE, linewidth=0.6, zorder=0)
        side = {"ha": "right" if left else "left", "va": "center", "fontsize": 6}
        axis.text(end + (-0.05 if left else 0.05), y, f"{name}  {rank:.1f}", **side)
    axis.plot([1, 1 + width], [1.9, 1.9], color=style.INK, linewidth=1.4)
    axis.text(1 + width / 2, 2.05, f"critical difference {width:.2f}", ha="center", fontsize=6)
    names_width = 1.1 * (count - 1)  # a third of the panel at each side
    axis.set(xlim=(1 - names_width, count + names_width), ylim=(top - NAME_STEP * left_count, 3.2))
    axis.set_axis_off()


def close_groups(ranks: np.ndarray, width: float) -> list[tuple[int, int]]:
    """Return (first, last) of the longest runs of sorted ranks f64 [N] that span less than `width`.

    >>> close_groups(np.array([1.0, 1.5, 2.2, 3.9]), 1.0)
    [(0, 1), (1, 2)]
    """
    runs: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = int(np.searchsorted(ranks, ranks[first] + width, side="left")) - 1
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs


# ---- two quantities against each other -----------------------------------------------------------


@FIGURES.add(
    "robustness",
    "Furniture never seen in training",
    "Means on scenes with held-out furniture (up) against means on scenes with known furniture "
    "(right), with 95% intervals. On the diagonal nothing is lost.",
)
def robustness(stats: Statistics) -> Any:
    """Return means on held-out furniture (up) against those on known furniture (right).

    None where one of the two splits was not scored.
    """
    held_out, known = stats.config.generalisation_splits
    if not {held_out, known} <= set(stats.splits):
        return None
    metrics, methods = stats.headline_metrics, _compared(stats)
    colours, shapes = style.palette(stats.method_names), style.markers(stats.method_names)
    fig, axes, unused = style.panels(len(metrics), style.COLUMNS, 2.1)
    drawn: set[str] = set()
    for axis, metric in zip(axes, metrics, strict=True):
        for method in methods:
            x, y = (stats.estimate(method, split, "all", metric) for split in (known, held_out))
            if x is not None and y is not None:
                _cross(axis, x, y, colours[method], shapes[method])
                drawn.add(method)
        _diagonal(axis)
        axis.set_title(text.metric_head(metric))
    style.label_below(axes, style.COLUMNS, known)
    fig.supylabel(held_out)
    style.legend(fig, unused, _handles(stats, [m for m in methods if m in drawn], colours, shapes))
    return fig


def _compared(stats: Statistics) -> list[str]:
    """Return the methods without the two controls that bound the scale."""
    return [
        method
        for method in stats.method_names
        if method not in (stats.config.lower_bound, stats.config.upper_bound)
    ]


def _cross(axis: Any, x: Any, y: Any, colour: Any, shape: str) -> None:
    line = {"color": colour, "linewidth": 0.7, "alpha": 0.6}
    axis.plot([x.ci_low, x.ci_high], [y.mean, y.mean], **line)
    axis.plot([x.mean, x.mean], [y.ci_low, y.ci_high], **line)
    axis.plot(x.mean, y.mean, shape, color=colour, markersize=4.5, zorder=3)


def _diagonal(axis: Any) -> None:
    values = np.array([line.get_xydata()[0] for line in axis.lines if line.get_marker() != "None"])
    margin = 0.12 * float(np.ptp(values)) or 0.05
    low, high = float(values.min()) - margin, float(values.max()) + margin
    axis.plot([low, high], [low, high], color=style.UNSURE, linewidth=0.6, zorder=0)
    axis.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axis.locator_params(nbins=4)
    axis.grid(True)


def _handles(
    stats: Statistics, methods: list[str], colours: dict[str, Any], shapes: dict[str, str]
) -> list[Any]:
    line = {"linestyle": "", "markersize": 5}
    return [
        Line2D([], [], marker=shapes[m], color=colours[m], label=_label(stats, m), **line)
        for m in methods
    ]


def _label(stats: Statistics, method: str) -> str:
    return stats.config.sealed.label(method)


@FIGURES.add(
    "generalisation",
    "How the gap changes on held-out furniture",
    "The reference’s lead on held-out furniture minus its lead on known furniture, with 95% "
    "intervals; right of zero the lead grows.",
)
def generalisation(stats: Statistics) -> Any:
    """Return a panel per metric: how each lead changes on held-out furniture."""
    return _forest(stats, stats.tests("generalisation").dropna(subset=["ci_low"]))


@FIGURES.add(
    "data_efficiency",
    "How the gap changes with less data",
    "The reference’s lead with a tenth of the training scenes minus its lead with all of them, "
    "with 95% intervals; right of zero the lead grows.",
)
def data_efficiency(stats: Statistics) -> Any:
    """Return a panel per metric: how each lead changes with less training data."""
    return _forest(stats, stats.tests("data_efficiency").dropna(subset=["ci_low"]))


@FIGURES.add(
    "cost_quality",
    "Cost and quality",
    "Inference seconds a scene against quality, with 95% intervals. Left and up is better.",
)
def cost_quality(stats: Statistics) -> Any:
    """Return inference seconds against the metrics of QUALITY; None where no seconds are known."""
    seconds = cost(stats).numbers.set_index("method")["seconds_per_scene"].dropna()
    metrics = [metric for metric in QUALITY if metric in stats.headline_metrics]
    methods = [method for method in _compared(stats) if method in seconds.index]
    if not metrics or not methods:
        return None
    colours, shapes = style.palette(stats.method_names), style.markers(stats.method_names)
    fig, axes, _ = style.panels(len(metrics), len(metrics), 2.7)
    for axis, metric in zip(axes, metrics, strict=True):
        for method in methods:
            row = stats.estimate(method, stats.main_split, "all", metric)
            if row is not None:
                x, colour = seconds[method], colours[method]
                axis.plot([x, x], [row.ci_low, row.ci_high], color=colour, linewidth=1)
                axis.plot(x, row.mean, shapes[method], color=colour, markersize=5)
        axis.set(xscale="log", title=text.metric_label(metric))
        style.plain_log(axis.xaxis)
        axis.grid(True)
    style.label_below(axes, len(metrics), "seconds a scene")
    style.legend(fig, None, _handles(stats, methods, colours, shapes))
    return fig
