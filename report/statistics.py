"""The statistics folder of a study as one object, and the stamps that tables and figures carry."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metrics.files import InputError, read_json, sha256_file
from metrics.statistics.measures import reason_for_metric
from metrics.statistics.moments import TRAININGS_AND_SCENES
from metrics.statistics.table import CELLS_FILE, METHODS_FILE
from report.config import ReportConfig

STAMP = "stamp.txt"
# What `metrics.gate.gate` returned, next to the statistics folder.
GATE_FILE = "gate.json"


@dataclass(frozen=True)
class Statistics:
    """The files that `metrics.statistics.compare.write` wrote, and how the study reports them."""

    folder: Path
    estimates: pd.DataFrame
    differences: pd.DataFrame
    methods: dict[str, dict[str, Any]]
    config: ReportConfig
    # What `metrics.gate.gate` returned; {} where the gate was not run.
    gate: dict[str, dict[str, dict[str, Any]]]

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The cell means (method, split, subset, metric, seed, scene, value), read on demand."""
        rows = read_parquet(self.folder / CELLS_FILE)
        return rows[rows["kind"] != "pooled"]

    @cached_property
    def stamp(self) -> str:
        """The stamp of this study's tables and figures, which manifest.json holds too."""
        return stamp_of_study(self.folder)

    @cached_property
    def claims(self) -> pd.DataFrame:
        """The declared tests of each claim with its verdict, the config's claims first."""
        rows = read_parquet(self.folder / "claims.parquet")
        places = {(claim.family, claim.name): k for k, claim in enumerate(self.config.claims)}
        keys = zip(rows["family"], rows["claim"], strict=True)
        rank = [places.get(key, len(places)) for key in keys]
        return rows.iloc[np.argsort(rank, kind="stable")].reset_index(drop=True)

    def frame(self, name: str) -> pd.DataFrame | None:
        """Return a table such as "ranks" or "collapses", None where it was not written."""
        file = self.folder / f"{name}.parquet"
        return read_parquet(file) if file.exists() else None

    @cached_property
    def _rows(self) -> dict[tuple[str, str, str, str], Any]:
        keys = self.estimates[["method", "split", "subset", "metric"]].itertuples(index=False)
        return dict(zip(map(tuple, keys), self.estimates.itertuples(), strict=True))

    def estimate(self, method: str, split: str, subset: str, metric: str) -> Any:
        """Return one row of the estimates, or None where the method has no such score."""
        return self._rows.get((method, split, subset, metric))

    @cached_property
    def method_names(self) -> list[str]:
        """The methods in the order of rows."""
        return self.config.order_methods([*self.estimates["method"].unique(), *self.methods])

    @cached_property
    def splits(self) -> list[str]:
        """The scored splits in the order of columns."""
        return self.config.order_splits(self.estimates["split"].unique())

    @cached_property
    def main_split(self) -> str:
        """The split that tables and figures show: the config's, else the first scored one."""
        return self.splits[0] if self.splits else self.config.main_split

    @cached_property
    def headline(self) -> pd.DataFrame:
        """The estimates of the headline metrics over all items of the main split."""
        return self.headline_rows(self.estimates)

    def headline_rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of the headline metrics over all items of the main split."""
        keep = (rows["split"] == self.main_split) & (rows["subset"] == "all")
        return rows[keep & rows["metric"].isin(self.config.headline)]

    @cached_property
    def headline_metrics(self) -> list[str]:
        """The headline metrics that the main split has scores of, in their order."""
        return self.headline_in(self.headline)

    def headline_in(self, rows: pd.DataFrame) -> list[str]:
        """Return the headline metrics that occur in a table, in their order."""
        return [metric for metric in self.config.headline if metric in set(rows["metric"])]

    def tests(self, family: str) -> pd.DataFrame:
        """Return the differences of a family for new trainings and new scenes."""
        rows = self.differences
        return rows[(rows["family"] == family) & (rows["question"] == TRAININGS_AND_SCENES)]

    def reason(self, method: str, metric: str) -> str:
        """Return why a method has no score on a metric, as the method declares it."""
        facts = self.methods.get(method, {})
        reason = facts.get("skipped") or reason_for_metric(facts.get("reasons", {}), metric)
        return reason or "not produced"


def load(stats_dir: str | Path, config: ReportConfig) -> Statistics:
    """Read a statistics folder.

    An estimate without a number (a method that no scene scored for every seed) is left out.

    Raises:
        InputError: a file is missing or damaged.
    """
    folder = Path(stats_dir)
    methods, gate = folder / METHODS_FILE, folder.parent / GATE_FILE
    return Statistics(
        folder,
        read_estimates(folder),
        read_parquet(folder / "differences.parquet"),
        read_json(methods) if methods.exists() else {},
        config,
        read_json(gate) if gate.exists() else {},
    )


def read_estimates(folder: Path) -> pd.DataFrame:
    """Return the estimates of a statistics folder that have a number."""
    return read_parquet(folder / "estimates.parquet").dropna(subset=["mean"])


def stamp_of_study(folder: Path) -> str:
    """Return the stamp of the numbers in a statistics folder.

    Costs (methods.json) do not count, so that two equal runs have one stamp.
    """
    return stamp_of(sorted(folder.glob("*.parquet")))


def stamp_of(files: Iterable[Path]) -> str:
    """Return 16 hex digits of the sha256 over the names and hashes of files, in their order.

    The stamp on a lone table or figure leads to the manifest of its run, and so to the code, data
    and environment that made it.
    """
    listing = "".join(f"{file.name} {sha256_file(file)}\n" for file in files)
    return hashlib.sha256(listing.encode()).hexdigest()[:16]


def write_stamp(folder: Path, stamp: str) -> None:
    """Write the stamp of a folder whose figures do not carry the study's stamp."""
    (folder / STAMP).write_text(f"{stamp}\n", encoding="utf-8")


def read_stamps(results: Path) -> dict[str, str]:
    """Return {folder: stamp} of the folders under `results` that have a stamp of their own."""
    return {
        file.parent.name: file.read_text(encoding="utf-8").strip()
        for file in sorted(results.glob(f"*/{STAMP}"))
    }


def read_parquet(
    file: str | Path, columns: list[str] | None = None, stage: str = "compare"
) -> pd.DataFrame:
    """Read a table that the workflow's `stage` writes.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        return pd.read_parquet(file, columns=columns)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({error}); run the {stage} stage") from error
