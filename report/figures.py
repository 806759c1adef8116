"""Every figure of a study's scores as pdf and png: `write_figures`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from metrics.files import atomic_path
from report import data, intervals, profiles, scatter, style

GENERALISATION_SPLITS = ("test_asset", "test_scene")


def write_figures(
    stats_dir: str | Path, out_dir: str | Path, config: dict[str, Any] | None = None
) -> list[Path]:
    """Write every figure that there are numbers for as pdf and png; returns the files.

    `config` is the experiment's `statistics` section: reference, generalisation.
    """
    stats, config = data.load(stats_dir), config or {}
    splits = config.get("generalisation", {}).get("splits", GENERALISATION_SPLITS)
    makers: dict[str, Callable[[], Any]] = {
        "forest": lambda: intervals.forest(stats, config.get("reference", "full")),
        "distributions": lambda: intervals.distributions(stats),
        "profiles": lambda: profiles.profiles(stats),
        "critical_difference": lambda: profiles.critical_difference(stats),
        "robustness": lambda: scatter.robustness(stats, tuple(splits)),
        "generalisation": lambda: intervals.contrasts(stats, "generalisation"),
        "data_efficiency": lambda: intervals.contrasts(stats, "data_efficiency"),
        "cost_quality": lambda: scatter.cost_quality(stats),
    }
    with atomic_path(out_dir, folder=True) as folder:
        for name, make in makers.items():
            fig = make()
            if fig is not None:
                style.save(fig, folder, name, stats.stamp)
    return sorted(Path(out_dir).iterdir())
