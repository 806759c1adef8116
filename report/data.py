"""The statistics folder as one object."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from metrics.files import InputError, read_json, sha256_file
from metrics.statistics.moments import TRAININGS_AND_SCENES
from report.names import HEADLINE, REAL_ROOMS, method_order

MAIN_SPLIT = "test_scene"
STAMP = "stamp.txt"


@dataclass(frozen=True)
class Statistics:
    """What `metrics.statistics.compare.write` wrote; the cell means are read on demand."""

    folder: Path
    estimates: pd.DataFrame
    differences: pd.DataFrame
    methods: dict[str, dict[str, Any]]

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The cell means (method, split, subset, metric, seed, scene, value)."""
        return read_parquet(self.folder / "cells.parquet")

    @cached_property
    def stamp(self) -> str:
        """What this study's tables and figures carry and manifest.json names: `stamp_of_study`."""
        return stamp_of_study(self.folder)

    def frame(self, name: str) -> pd.DataFrame | None:
        """Return "ranks", "profiles" or "retention"; None where the comparison wrote none."""
        file = self.folder / f"{name}.parquet"
        return read_parquet(file) if file.exists() else None

    @cached_property
    def _found(self) -> dict[tuple[str, str, str, str], Any]:
        keys = self.estimates[["method", "split", "subset", "metric"]].itertuples(index=False)
        return dict(zip(map(tuple, keys), self.estimates.itertuples(), strict=True))

    def estimate(self, method: str, split: str, subset: str, metric: str) -> Any:
        """Return one row of the estimates, or None where the method has no such score."""
        return self._found.get((method, split, subset, metric))

    def names(self) -> list[str]:
        """Return the methods in order."""
        return method_order([*self.estimates["method"].unique(), *self.methods])

    def headline(self, split: str = MAIN_SPLIT) -> pd.DataFrame:
        """Return estimates of the headline metrics over all items of a split."""
        rows = self.estimates
        keep = (rows["split"] == split) & (rows["subset"] == "all")
        return rows[keep & rows["metric"].isin(HEADLINE)]

    def headline_metrics(self) -> list[str]:
        """Return the headline metrics that this study has scores of, in their order."""
        found = set(self.headline(self.split())["metric"])
        return [name for name in HEADLINE if name in found]

    def tests(self, family: str) -> pd.DataFrame:
        """Return a family's rows that answer the headline question."""
        rows = self.differences
        return rows[(rows["family"] == family) & (rows["question"] == TRAININGS_AND_SCENES)]

    def split(self) -> str:
        """Return the split that tables show: test_scene, else the first there is."""
        splits = self.splits()
        return splits[0] if splits else MAIN_SPLIT

    def splits(self) -> list[str]:
        """Return the scored splits, the main one first and the one without tests last."""

        def place(name: str) -> tuple[bool, bool, str]:
            return name != MAIN_SPLIT, name == REAL_ROOMS, name

        return sorted(self.estimates["split"].unique(), key=place)

    def reason(self, method: str, metric: str) -> str:
        """Return why a method has no score on a metric, in its own words where it said so."""
        reasons = self.methods.get(method, {}).get("reasons", {})
        task = HEADLINE[metric].task if metric in HEADLINE else _task(metric)
        return reasons.get(metric) or reasons.get(task) or "not produced"


def _task(metric: str) -> str:
    from metrics.registry import METRICS

    return METRICS[metric].task if metric in METRICS else ""


def load(stats_dir: str | Path) -> Statistics:
    """Read a statistics folder; raises InputError naming the file that is missing.

    An estimate without a number (a method that no scene scored for every seed) is left out.
    """
    folder = Path(stats_dir)
    methods = folder / "methods.json"
    return Statistics(
        folder,
        read_parquet(folder / "estimates.parquet").dropna(subset=["mean"]),
        read_parquet(folder / "differences.parquet"),
        read_json(methods) if methods.exists() else {},
    )


def stamp_of_study(folder: Path) -> str:
    """Return the stamp of a study's numbers.

    Costs (methods.json) stay outside: two equal runs have one stamp.
    """
    return stamp_of(sorted(folder.glob("*.parquet")))


def stamp_of(files: Iterable[Path]) -> str:
    """Return 16 hex digits of the sha256 over the names and sha256 of files, in their order.

    A lone table or picture leads by it to the manifest of its run, and so to code, data and
    environment.
    """
    said = "".join(f"{file.name} {sha256_file(file)}\n" for file in files)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def write_stamp(folder: Path, stamp: str) -> None:
    """Leave in a folder of pictures the stamp that they carry, where it is not the study's."""
    (folder / STAMP).write_text(f"{stamp}\n", encoding="utf-8")


def read_stamps(results: Path) -> dict[str, str]:
    """Return {folder: stamp} of the folders under `results` whose pictures carry their own."""
    files = sorted(results.glob(f"*/{STAMP}"))
    return {file.parent.name: file.read_text(encoding="utf-8").strip() for file in files}


def read_parquet(
    file: str | Path, columns: list[str] | None = None, stage: str = "compare"
) -> pd.DataFrame:
    """Read a table that `stage` wrote; raises InputError where it is missing or damaged."""
    try:
        return pd.read_parquet(file, columns=columns)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({error}); run the {stage} stage") from error
