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
                style.save(fig, folder, name)
    return sorted(Path(out_dir).iterdir())


def coverage(file: Path) -> Any:
    """Return the coverage of each interval in the settings of `metrics.statistics.simulate`."""
    if not file.exists():
        return None
    rows = pd.read_csv(file)
    order = list(rows["interval"].unique())
    fig, axes, _ = style.panels(1, 1, 0.6 + 0.3 * len(order))
    axis = axes[0]
    axis.axvspan(0.93, 0.99, color=style.BAND, zorder=0)
    generator = np.random.default_rng(0)
    for y, name in enumerate(order):
        values = rows.loc[rows["interval"] == name, "coverage"].to_numpy()
        jitter = y + generator.uniform(-0.2, 0.2, len(values))
        colour = style.WORSE if name.startswith("naive") else style.BETTER
        axis.plot(values, jitter, ".", markersize=4, color=colour, alpha=0.7)
    style.method_rows(axis, order, True)
    axis.locator_params(axis="x", nbins=10)
    axis.set_xlabel("share of studies whose 95% interval holds the truth")
    return fig
