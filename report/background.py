"""Figures that no method's scores change: the data, how trainings went, what intervals hold.

They stand in a folder of their own, with a stamp of their own, so that a study which gains a
baseline does not draw them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metrics.files import atomic_path
from metrics.statistics.simulate import COVERAGE
from report import curves, data, datacard, style

# What a simulated interval must reach: lowest, highest, and what it is a share of.
TARGETS = {
    "coverage": (0.93, 0.99, "share of studies whose 95% interval holds the truth"),
    "false_positives": (0.0, 0.06, "share that find a difference where there is none"),
}


def write_background(
    losses: Iterable[str | Path], out_dir: str | Path, splits: Sequence[str | Path] = ()
) -> list[Path]:
    """Write the data's sheets, learning curves and the simulated coverage; returns the files.

    `losses` are models/<method>/<seed>/losses.parquet of every training; without one there are
    no learning curves. `splits` are folders of rendered scenes to show, captured rooms after the
    first; without one there are no sheets.
    """
    files, folders = sorted(map(Path, losses)), [Path(folder) for folder in splits]
    annotations = [file for folder in folders for file in sorted(folder.glob("*.jsonl"))]
    stamp = data.stamp_of([*files, COVERAGE, *annotations])
    runs = curves.read_losses(files)
    drawn = {
        "rooms": datacard.rooms_sheet(folders),
        "sentences": datacard.sentences_figure(folders[0]) if folders else None,
        "learning_curves": curves.learning_curves(runs),
        "learning_parts": curves.learning_curves(runs, parts=True),
        "coverage": coverage(COVERAGE),
    }
    with atomic_path(out_dir, folder=True) as folder:
        for name, fig in drawn.items():
            if fig is not None:
                style.save(fig, folder, name, stamp)
        data.write_stamp(folder, stamp)
    return sorted(Path(out_dir).iterdir())


def coverage(file: Path) -> Any:
    """Return coverage and false positives of each interval over the simulated settings.

    `file` is what `metrics.statistics.simulate` wrote.
    """
    rows = pd.read_csv(file)
    order = list(rows["interval"].unique())
    shown = [name for name in TARGETS if name in rows]
    fig, axes, _ = style.panels(len(shown), len(shown), 0.7 + 0.22 * len(order))
    generator = np.random.default_rng(0)
    for place, (axis, column) in enumerate(zip(axes, shown, strict=True)):
        low, high, label = TARGETS[column]
        axis.axvspan(low, high, color=style.BAND, zorder=0)
        for y, name in enumerate(order):
            values = rows.loc[rows["interval"] == name, column].to_numpy()
            jitter = y + generator.uniform(-0.2, 0.2, len(values))
            colour = style.WORSE if name.startswith("naive") else style.BETTER
            axis.plot(values, jitter, ".", markersize=3, color=colour, alpha=0.6)
        style.method_rows(axis, order, place == 0)
        axis.set_xlabel(label)
    return fig
