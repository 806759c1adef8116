"""The statistics folder as one object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from metrics.files import InputError, read_json
from metrics.present.names import HEADLINE, method_order
from metrics.statistics.moments import TRAININGS_AND_SCENES

MAIN_SPLIT = "test_scene"


@dataclass(frozen=True)
class Statistics:
    """What `metrics.statistics.compare.write` wrote; `cells` is read on demand."""

    folder: Path
    estimates: pd.DataFrame
    differences: pd.DataFrame
    methods: dict[str, dict[str, Any]]

    def cells(self) -> pd.DataFrame:
        """Return the cell means (method, split, subset, metric, seed, scene, value)."""
        return _parquet(self.folder / "cells.parquet")

    def names(self) -> list[str]:
        """Return the methods in order."""
        return method_order([*self.estimates["method"].unique(), *self.methods])

    def headline(self, split: str = MAIN_SPLIT) -> pd.DataFrame:
        """Return estimates of the headline metrics over all items of a split."""
        rows = self.estimates
        keep = (rows["split"] == split) & (rows["subset"] == "all")
        return rows[keep & rows["metric"].isin(HEADLINE)]

    def tests(self, family: str) -> pd.DataFrame:
        """Return a family's rows that answer the headline question."""
        rows = self.differences
        return rows[(rows["family"] == family) & (rows["question"] == TRAININGS_AND_SCENES)]

    def split(self) -> str:
        """Return the split that tables show: test_scene, else the first there is."""
        splits = sorted(self.estimates["split"].unique())
        return MAIN_SPLIT if MAIN_SPLIT in splits or not splits else splits[0]


def load(stats_dir: str | Path) -> Statistics:
    """Read a statistics folder; raises InputError naming the file that is missing."""
    folder = Path(stats_dir)
    methods = folder / "methods.json"
    return Statistics(
        folder,
        _parquet(folder / "estimates.parquet"),
        _parquet(folder / "differences.parquet"),
        read_json(methods) if methods.exists() else {},
    )


def _parquet(file: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({error}); run the compare stage") from error
