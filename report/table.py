"""What a printed table is made of: rows of text, unrounded numbers, a caption and footnotes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from report import data, names

RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Table:
    """A table: `text` as printed, `numbers` unrounded for csv, a caption and its footnotes.

    `name` is the file's stem and `title` what a reader sees; `groups` says that equal neighbours in
    the first column are one block, whose name is printed once.
    """

    name: str
    title: str
    text: pd.DataFrame
    numbers: pd.DataFrame
    caption: str
    notes: tuple[str, ...] = ()
    groups: bool = False


@dataclass
class Footnotes:
    """Footnotes in the order of their first use; equal texts share a number."""

    texts: list[str] = field(default_factory=list)

    def mark(self, text: str) -> str:
        """Return the dash of an empty cell with the raised number of its reason.

        >>> Footnotes().mark("not produced")
        '–¹'
        """
        if text not in self.texts:
            self.texts.append(text)
        return "–" + str(self.texts.index(text) + 1).translate(RAISED)

    def lines(self) -> tuple[str, ...]:
        """Return the footnotes, each with its raised number."""
        return tuple(
            f"{str(place).translate(RAISED)} {text}" for place, text in enumerate(self.texts, 1)
        )


def score(row: Any, letters: bool = True) -> str:
    """Return "mean ± half-width letters" of a row of the estimates, without what is not there."""
    mark = f" {row.tie_group}" if letters and row.tie_group else ""
    if np.isnan(row.ci_low):
        return names.number(row.mean) + mark
    return f"{names.number(row.mean)} ± {names.number((row.ci_high - row.ci_low) / 2)}{mark}"


def grid(
    stats: data.Statistics, split: str, metrics: Sequence[str], subset: str = "all"
) -> tuple[pd.DataFrame, Footnotes]:
    """Return metrics as rows, methods as columns, empty cells with their reasons as footnotes.

    Methods without any of the metrics are left out.
    """
    notes = Footnotes()
    methods = [
        m
        for m in stats.names()
        if any(stats.estimate(m, split, subset, metric) is not None for metric in metrics)
    ]
    lines = []
    for metric in metrics:
        line = {"Metric": names.metric_head(metric)}
        for method in methods:
            row = stats.estimate(method, split, subset, metric)
            line[method] = notes.mark(stats.reason(method, metric)) if row is None else score(row)
        lines.append(line)
    return pd.DataFrame(lines), notes
