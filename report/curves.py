"""Learning curves from models/<method>/<seed>/losses.parquet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.lines import Line2D

from report import names, style

NOT_LOSSES = {"step", "stage", "seed", "seconds", "learning_rate", "lr", "grad_norm", "epoch"}

# A loss that falls by less than this factor is read more easily on plain numbers.
FALL = 8

Runs = list[tuple[str, pd.DataFrame]]


def learning_curves(runs: Runs, parts: bool = False) -> Any:
    """Return a panel per loss term with a line per method and seed, or None without losses.

    The terms are the total and what it weighs, or with `parts` what those are sums of (names with
    a slash).
    """
    terms = list(dict.fromkeys(c for _, run in runs for c in run if c not in NOT_LOSSES))
    terms = [term for term in terms if ("/" in term) == parts]
    if not terms:
        return None
    terms = sorted(terms, key=lambda term: (term not in ("total", "loss"), terms.index(term)))
    methods = names.method_order([method for method, _ in runs])
    colours = style.palette(methods)
    columns = 4 if parts else style.COLUMNS
    fig, axes, room = style.panels(len(terms), columns, 1.35 if parts else 1.65)
    for axis, term in zip(axes, terms, strict=True):
        _panel(axis, term, runs, colours)
    style.label_below(axes, columns, "step")
    style.legend(fig, room, [Line2D([], [], color=colours[m], label=m) for m in methods])
    return fig


def _panel(axis: Any, term: str, runs: Runs, colours: dict[str, Any]) -> None:
    low, high = float("inf"), 0.0
    for method, run in runs:
        if term not in run:
            continue
        # A step whose batch holds nothing for a term logs it as zero: not a loss that was reached.
        values = run[term].dropna()
        values = values[values != 0]
        if values.empty:
            continue
        smooth = values.rolling(max(1, len(values) // 40), min_periods=1).median()
        low, high = min(low, smooth.min()), max(high, smooth.max())
        axis.plot(run.loc[values.index, "step"], smooth, color=colours[method], linewidth=0.8)
    stages = [run for _, run in runs if "stage" in run and run["stage"].nunique() > 1]
    if stages:
        start = stages[0].loc[stages[0]["stage"] == stages[0]["stage"].max(), "step"].min()
        axis.axvline(start, color=style.UNSURE, linewidth=0.6, linestyle=":")
    if low > 0 and high > FALL * low:
        axis.set_yscale("log")
        style.plain_log(axis.yaxis)
    axis.set_title(term)
    axis.grid(True)


def read_losses(files: Iterable[Path]) -> Runs:
    """Return (method, losses) of each models/<method>/<seed>/losses.parquet.

    A file holds a row per logged step: `step`, optionally `stage`, and a numeric column per term;
    or rows of `step`, `term`, `value`.
    """
    runs = []
    for file in files:
        rows = pd.read_parquet(file)
        if {"term", "value"} <= set(rows.columns):
            index = [c for c in ("step", "stage") if c in rows]
            rows = rows.pivot_table(index=index, columns="term", values="value").reset_index()
        numeric = rows.select_dtypes("number")
        if "step" not in numeric:
            numeric = numeric.assign(step=range(len(numeric)))
        runs.append((file.parent.parent.name, numeric))
    return runs
