"""Learning curves from models/<method>/<seed>/losses.parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from metrics.present import names, style

NOT_LOSSES = {"step", "stage", "seed", "seconds", "learning_rate", "lr", "grad_norm", "epoch"}


def learning_curves(models_dir: Path) -> Any:
    """Return a panel per loss term with a line per method and seed, or None without losses.

    A file holds a row per logged step: `step`, optionally `stage`, and a numeric column per term;
    or rows of `step`, `term`, `value`.
    """
    runs = _read(models_dir)
    if not runs:
        return None
    terms = list(dict.fromkeys(c for _, run in runs for c in run if c not in NOT_LOSSES))
    terms = sorted(terms, key=lambda term: (term not in ("total", "loss"), terms.index(term)))
    methods = names.method_order([method for method, _ in runs])
    colours = style.palette(methods)
    rows = -(-len(terms) // 3)
    fig, axes = style.figure(rows, 3, style.WIDTH, 1.6 * rows + 0.3)
    flat = list(axes.ravel())
    for axis in flat[len(terms) :]:
        axis.set_visible(False)
    for axis, term in zip(flat, terms, strict=False):
        _panel(axis, term, runs, colours)
    handles = [flat[0].plot([], [], color=colours[m], label=m)[0] for m in methods]
    fig.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return fig


def _panel(
    axis: Any, term: str, runs: list[tuple[str, pd.DataFrame]], colours: dict[str, Any]
) -> None:
    positive = True
    for method, run in runs:
        if term not in run:
            continue
        values = run[term].dropna()
        if values.empty:
            continue
        positive &= bool((values > 0).all())
        smooth = values.rolling(max(1, len(values) // 40), min_periods=1).median()
        axis.plot(run.loc[values.index, "step"], smooth, color=colours[method], linewidth=0.8)
    stages = [run for _, run in runs if "stage" in run and run["stage"].nunique() > 1]
    if stages:
        start = stages[0].loc[stages[0]["stage"] == stages[0]["stage"].max(), "step"].min()
        axis.axvline(start, color=style.UNSURE, linewidth=0.6, linestyle=":")
    if positive:
        axis.set_yscale("log")
        style.plain_log(axis.yaxis)
    axis.set_title(term)
    axis.grid(True)
    axis.set_axisbelow(True)


def _read(models_dir: Path) -> list[tuple[str, pd.DataFrame]]:
    runs = []
    for file in sorted(models_dir.glob("*/*/losses.parquet")):
        rows = pd.read_parquet(file)
        if {"term", "value"} <= set(rows.columns):
            index = [c for c in ("step", "stage") if c in rows]
            rows = rows.pivot_table(index=index, columns="term", values="value").reset_index()
        numeric = rows.select_dtypes("number")
        if "step" not in numeric:
            numeric = numeric.assign(step=range(len(numeric)))
        runs.append((file.parent.parent.name, numeric))
    return runs
