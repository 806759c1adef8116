"""Every figure of a study as pdf and png: `write_figures`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metrics.files import atomic_path
from metrics.present import curves, data, intervals, profiles, scatter, style
from metrics.statistics.simulate import COVERAGE

# What a simulated interval must reach: lowest, highest, and what it is a share of.
TARGETS = {
    "coverage": (0.93, 0.99, "share of studies whose 95% interval holds the truth"),
    "false_positives": (0.0, 0.06, "share that find a difference where there is none"),
}
GENERALISATION_SPLITS = ("test_asset", "test_scene")


def write_figures(
    stats_dir: str | Path,
    models_dir: str | Path | None,
    out_dir: str | Path,
    config: dict[str, Any] | None = None,
) -> list[Path]:
    """Write every figure that there are numbers for as pdf and png; returns the files.

    `config` is the experiment's `statistics` section: reference, generalisation.
    """
    stats, config = data.load(stats_dir), config or {}
    splits = config.get("generalisation", {}).get("splits", GENERALISATION_SPLITS)
    models = None if models_dir is None else Path(models_dir)
    makers: dict[str, Callable[[], Any]] = {
        "forest": lambda: intervals.forest(stats, config.get("reference", "full")),
        "distributions": lambda: intervals.distributions(stats),
        "profiles": lambda: profiles.profiles(stats),
        "critical_difference": lambda: profiles.critical_difference(stats),
        "robustness": lambda: scatter.robustness(stats, tuple(splits)),
        "generalisation": lambda: intervals.contrasts(stats, "generalisation"),
        "data_efficiency": lambda: intervals.contrasts(stats, "data_efficiency"),
        "cost_quality": lambda: scatter.cost_quality(stats),
        "learning_curves": lambda: models and curves.learning_curves(models),
        "learning_parts": lambda: models and curves.learning_curves(models, parts=True),
        "coverage": lambda: coverage(COVERAGE),
    }
    with atomic_path(out_dir, folder=True) as folder:
        for name, make in makers.items():
            fig = make()
            if fig is not None:
                style.save(fig, folder, name, stats.stamp)
    return sorted(Path(out_dir).iterdir())


def coverage(file: Path) -> Any:
    """Return coverage and false positives of each interval over the simulated settings.

    `file` is what `metrics.statistics.simulate` wrote; None where there is none.
    """
    if not file.exists():
        return None
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
