"""Figures of a study: differences, distributions, learning curves, cost against quality."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metrics.files import atomic_path
from metrics.present import data, names, style
from metrics.present.curves import learning_curves
from metrics.present.tables import cost
from metrics.statistics.compare import higher_is_better
from metrics.statistics.simulate import COVERAGE

CAPTIONS = {
    "forest": "Full against every other method on the headline metrics: 95% intervals for new "
    "trainings and new scenes. Right of zero full is better; blue and orange are separable after "
    "correction, grey is not; filled dots are declared tests, hollow ones exploratory.",
    "distributions": "Scene scores (small dots, mean over trainings), each training's mean "
    "(diamonds) and the 95% interval of the mean (bar). Deterministic methods have one diamond.",
    "learning_curves": "Losses over training steps, one line per seed. The vertical line is where "
    "joint training starts.",
    "cost_quality": "Inference seconds a scene against quality, with 95% intervals. Left and up is "
    "better.",
    "coverage": "Coverage of 95% intervals in simulated studies with known truth, one dot per "
    "setting. The band is the target, .93 to .99.",
}


def write_figures(
    stats_dir: str | Path,
    models_dir: str | Path | None,
    out_dir: str | Path,
    config: dict[str, Any] | None = None,
) -> list[Path]:
    """Write every figure that there are numbers for as pdf and png; returns the files."""
    stats = data.load(stats_dir)
    with atomic_path(out_dir, folder=True) as folder:
        made = {
            "forest": forest(stats, (config or {}).get("reference", "full")),
            "distributions": distributions(stats),
            "cost_quality": cost_quality(stats),
            "learning_curves": learning_curves(Path(models_dir)) if models_dir else None,
            "coverage": coverage(COVERAGE),
        }
        for name, fig in made.items():
            if fig is not None:
                style.save(fig, folder, name)
    return sorted(Path(out_dir).iterdir())


def _panels(count: int, columns: int, height: float) -> tuple[Any, list[Any]]:
    rows = -(-count // columns)
    fig, axes = style.figure(rows, columns, style.WIDTH, height * rows)
    flat = list(axes.ravel())
    for axis in flat[count:]:
        axis.set_visible(False)
    return fig, flat[:count]


def forest(stats: data.Statistics, reference: str) -> Any:
    """Return a panel per metric: reference minus each method, turned so that right is better."""
    rows = stats.differences
    keep = rows["question"] == data.TRAININGS_AND_SCENES
    keep &= (rows["split"] == stats.split()) & (rows["subset"] == "all")
    keep &= (rows["method_a"] == reference) & rows["metric"].isin(names.HEADLINE)
    keep &= rows["ci_low"].notna() & (rows["method_b"] != "chance")
    rows = rows[keep]
    metrics = [m for m in names.HEADLINE if m in set(rows["metric"])]
    if not metrics:
        return None
    methods = [m for m in stats.names() if m in set(rows["method_b"])]
    fig, axes = _panels(len(metrics), 3, 0.55 + 0.16 * len(methods))
    for place, (axis, metric) in enumerate(zip(axes, metrics, strict=True)):
        _forest_panel(axis, rows[rows["metric"] == metric], metric, methods, place % 3 == 0)
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
    axis.set_yticks(range(len(methods)), methods if labelled else [""] * len(methods))
    axis.set_ylim(len(methods) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
    axis.set_axisbelow(True)
    axis.locator_params(axis="x", nbins=4)


def distributions(stats: data.Statistics) -> Any:
    """Return a panel per metric: scenes, trainings and the interval of every method."""
    cells = stats.cells()
    keep = (cells["split"] == stats.split()) & (cells["subset"] == "all")
    cells = cells[keep & cells["metric"].isin(names.HEADLINE)]
    metrics = [m for m in names.HEADLINE if m in set(cells["metric"])]
    if not metrics:
        return None
    methods = [m for m in stats.names() if m in set(cells["method"]) and m != "oracle"]
    fig, axes = _panels(len(metrics), 3, 0.55 + 0.16 * len(methods))
    limits = stats.headline(stats.split()).set_index(["method", "metric"])
    generator = np.random.default_rng(0)
    for place, (axis, metric) in enumerate(zip(axes, metrics, strict=True)):
        rows = cells[cells["metric"] == metric]
        for y, method in enumerate(methods):
            mine = rows[rows["method"] == method]
            if len(mine):
                _strip(axis, y, mine, limits.loc[(method, metric)], generator)
        shift = " (pseudo-values)" if _is_pooled(metric) else ""
        axis.set_title(names.metric_label(metric) + shift)
        axis.set_yticks(range(len(methods)), methods if place % 3 == 0 else [""] * len(methods))
        axis.set_ylim(len(methods) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x")
        axis.set_axisbelow(True)
        axis.locator_params(axis="x", nbins=4)
    return fig


def _is_pooled(metric: str) -> bool:
    from metrics.registry import METRICS

    return metric in METRICS and bool(METRICS[metric].pooled)


def _strip(axis: Any, y: int, rows: pd.DataFrame, limit: Any, generator: Any) -> None:
    scenes = rows.groupby("scene")["value"].mean().to_numpy()
    seeds = rows.groupby("seed")["value"].mean().to_numpy()
    jitter = y + generator.uniform(-0.28, 0.28, len(scenes))
    axis.plot(scenes, jitter, ".", markersize=1.8, color="#B9CBDA", zorder=1, rasterized=True)
    if np.isfinite(limit["ci_low"]):
        ends = [limit["ci_low"], limit["ci_high"]]
        axis.plot(ends, [y, y], color=style.INK, linewidth=1.6, solid_capstyle="butt", zorder=2)
    axis.plot(seeds, np.full(len(seeds), y), "D", markersize=2.6, color=style.WORSE, zorder=3)


def cost_quality(stats: data.Statistics) -> Any:
    """Return inference seconds against F-score and reference accuracy."""
    seconds = cost(stats).numbers.set_index("method")["seconds_per_scene"].dropna()
    rows = stats.headline(stats.split())
    metrics = [m for m in ("fscore@5cm", "ref_acc@0.25") if m in set(rows["metric"])]
    methods = [m for m in stats.names() if m in seconds.index and m not in ("oracle", "chance")]
    if not metrics or not methods:
        return None
    colours = style.palette(methods)
    markers = "oDs^vP*X<>ph"
    fig, axes = _panels(len(metrics), len(metrics), 2.6)
    for axis, metric in zip(axes, metrics, strict=True):
        found = rows[rows["metric"] == metric].set_index("method")
        for place, method in enumerate(methods):
            if method not in found.index:
                continue
            row, x = found.loc[method], seconds[method]
            colour = colours[method]
            axis.plot([x, x], [row["ci_low"], row["ci_high"]], color=colour, linewidth=1)
            marker = markers[place % len(markers)]
            axis.plot(x, row["mean"], marker, color=colour, markersize=5, label=method)
        axis.set_xscale("log")
        style.plain_log(axis.xaxis)
        axis.set_xlabel("seconds a scene")
        axis.set_title(names.metric_label(metric))
        axis.grid(True)
        axis.set_axisbelow(True)
    handles: dict[str, Any] = {}
    for axis in axes:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    fig.legend(handles.values(), handles.keys(), loc="outside right upper", frameon=False)
    return fig


def coverage(file: Path) -> Any:
    """Return the coverage of each interval in the settings of `metrics.statistics.simulate`."""
    if not file.exists():
        return None
    rows = pd.read_csv(file)
    order = list(rows["interval"].unique())
    fig, axes = _panels(1, 1, 0.6 + 0.3 * len(order))
    axis = axes[0]
    axis.axvspan(0.93, 0.99, color="#DDE9F2", zorder=0)
    generator = np.random.default_rng(0)
    for y, name in enumerate(order):
        values = rows.loc[rows["interval"] == name, "coverage"].to_numpy()
        jitter = y + generator.uniform(-0.2, 0.2, len(values))
        colour = style.WORSE if name.startswith("naive") else style.BETTER
        axis.plot(values, jitter, ".", markersize=4, color=colour, alpha=0.7)
    axis.set_yticks(range(len(order)), order)
    axis.set_ylim(len(order) - 0.5, -0.5)
    axis.set_xlabel("share of studies whose 95% interval holds the truth")
    axis.grid(axis="x")
    axis.set_axisbelow(True)
    return fig
