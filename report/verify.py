"""Compare a fresh run with the committed reference, cell by cell of the estimates table."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from metrics.files import InputError
from metrics.registry import METRICS
from metrics.statistics.effects import ALPHA
from report.statistics import read_estimates, read_parquet

CELL = ["method", "split", "subset", "metric"]
# Largest difference of a fresh estimate by the metric's unit, declared before any comparison.
SCORE, METRES, SQUARE_METRES, DETERMINISTIC = 0.01, 0.002, 0.0004, 1e-6
STATUSES = ("identical", "reproduced", "drifted", "missing", "new")
IDENTICAL, REPRODUCED, DRIFTED, MISSING, NEW = STATUSES


def tolerance(metric: str, deterministic: bool = False) -> float:
    """Return the largest difference that still counts as reproduced, in the metric's unit.

    >>> tolerance("fscore@5cm"), tolerance("chamfer_l1_m"), tolerance("spq@0.5", True)
    (0.01, 0.002, 1e-06)
    """
    if deterministic:
        return DETERMINISTIC
    unit = METRICS[metric].unit if metric in METRICS else ""
    return {"m": METRES, "m2": SQUARE_METRES}.get(unit, SCORE)


def seed_means(cells: pd.DataFrame) -> pd.DataFrame:
    """Return one row a cell and seed: the mean over scenes, their number and a hash of their names.

    Args:
        cells: the table of `metrics.statistics.compare`: queries averaged, pseudo-values where a
            metric is pooled.

    Returns:
        Columns method, split, subset, metric, seed, mean, scenes, scenes_hash.
    """
    groups = cells.sort_values("scene", kind="stable").groupby([*CELL, "seed"], sort=True)
    return groups.agg(
        mean=("value", "mean"),
        scenes=("scene", "size"),
        scenes_hash=("scene", lambda scenes: _hash_names(tuple(scenes))),
    ).reset_index()


@cache
def _hash_names(names: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]


def load_fresh(stats_dir: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the estimates and seed means of a run's statistics folder."""
    folder = Path(stats_dir)
    return read_estimates(folder), seed_means(read_parquet(folder / "cells.parquet"))


def load_reference(folder: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the committed estimates and seed means.

    Raises:
        InputError: a file is missing or lacks columns.
    """
    tables = []
    for name, column in (("estimates.csv", "n_seeds"), ("seeds.csv", "scenes_hash")):
        file = Path(folder) / name
        try:
            # Names may look like numbers or like "NA".
            table = pd.read_csv(
                file,
                dtype=dict.fromkeys([*CELL, "scenes_hash"], str),
                keep_default_na=False,
                na_values={c: [""] for c in ("mean", "ci_low", "ci_high", "df")},
            )
            table[[*CELL, "mean", column]]
        except FileNotFoundError as error:
            raise InputError(f"{file}: no such file; `make reference` writes it") from error
        except (ValueError, KeyError) as error:
            raise InputError(f"{file}: not a reference table ({error}); write it again") from error
        tables.append(table)
    return tables[0], tables[1]


def verify(
    reference: tuple[pd.DataFrame, pd.DataFrame], fresh: tuple[pd.DataFrame, pd.DataFrame]
) -> pd.DataFrame:
    """Compare two runs cell by cell.

    Intervals are not compared: one that holds the variance between scenes would pass real
    regressions.

    Args:
        reference, fresh: (estimates, seed means) of the two runs.

    Returns:
        One row a cell in a fixed order: the cell, reference, fresh, difference (fresh -
        reference), tolerance, status, p and noise. A drifted cell has Welch's p of the seed means
        where both runs have two or more seeds over the same scenes; `noise` interprets it.
    """
    columns = [*CELL, "mean", "n_seeds"]
    rows = (
        reference[0][columns]
        .merge(fresh[0][columns], on=CELL, how="outer", suffixes=("_was", "_is"))
        .sort_values(CELL, kind="stable", ignore_index=True)
    )
    gap = rows["mean_is"] - rows["mean_was"]
    fixed = (rows["n_seeds_was"] == 0) & (rows["n_seeds_is"] == 0)
    allowed = [tolerance(m, d) for m, d in zip(rows["metric"], fixed, strict=True)]
    out = rows[CELL].assign(
        reference=rows["mean_was"], fresh=rows["mean_is"], difference=gap, tolerance=allowed
    )
    out["status"] = np.select(
        [rows["mean_is"].isna(), rows["mean_was"].isna(), gap == 0, gap.abs() <= allowed],
        [MISSING, NEW, IDENTICAL, REPRODUCED],
        DRIFTED,
    )
    out["p"], out["noise"] = np.nan, ""
    was, now = ({cell: rows for cell, rows in run[1].groupby(CELL)} for run in (reference, fresh))
    for place in out.index[out["status"] == DRIFTED]:
        cell = tuple(out.loc[place, CELL])
        if cell in was and cell in now:
            out.loc[place, ["p", "noise"]] = training_noise(was[cell], now[cell])
    return out


def training_noise(was: pd.DataFrame, now: pd.DataFrame) -> tuple[float, str]:
    """Return Welch's p of the seed means of one cell in two runs, and its meaning in words.

    p is NaN where the runs cannot be compared: over other scenes, without variance, or with one
    training.
    """
    if set(was["scenes_hash"]) != set(now["scenes_hash"]):
        return np.nan, "other scenes"
    if was["mean"].nunique() < 2 and now["mean"].nunique() < 2:
        return np.nan, "nothing varies"
    if min(len(was), len(now)) < 2:
        return np.nan, "one training: not tested"
    p = float(stats.ttest_ind(was["mean"], now["mean"], equal_var=False).pvalue)
    return p, "training noise could" if p >= ALPHA else "more than training noise"


def failed(rows: pd.DataFrame) -> bool:
    """Return whether a cell drifted or is missing."""
    return bool(rows["status"].isin([DRIFTED, MISSING]).any())


def summary(rows: pd.DataFrame, worst: int = 10) -> str:
    """Return the counts in a line, then the drifted cells farthest off and the missing ones."""
    counts = rows["status"].value_counts()
    totals = (f"{counts[status]} {status}" for status in STATUSES if status in counts)
    lines = [", ".join(totals) or "nothing to compare"]
    drifted = rows[rows["status"] == DRIFTED]
    far = (drifted["difference"].abs() / drifted["tolerance"]).sort_values(
        ascending=False, kind="stable"
    )
    for row in drifted.loc[far.index[:worst]].itertuples():
        p = "" if np.isnan(row.p) else f" (p {row.p:.3f})"
        lines.append(
            f"drifted: {_name(row)}: {row.reference:.6g} -> {row.fresh:.6g}, allowed "
            f"{row.tolerance:g}; {row.noise}{p}"
        )
    gone = rows[rows["status"] == MISSING].head(worst)
    return "\n".join([*lines, *(f"missing: {_name(row)}" for row in gone.itertuples())])


def changed(was: dict[str, Any], now: dict[str, Any]) -> str:
    """Return what differs between the origins (manifests) of reference and fresh run, in words."""
    facts = {
        "code": ("code", "commit"),
        "data": ("data", "folder_md5"),
        "packages": ("environment", "lock_sha256"),
        "processor": ("machine", "cpu"),
    }
    changes = [
        name
        for name, (part, key) in facts.items()
        if was.get(part, {}).get(key) != now.get(part, {}).get(key)
    ]
    return f"differs from the reference: {', '.join(changes)}" if changes else "same origin"


def _name(row: Any) -> str:
    part = "" if row.subset == "all" else f"/{row.subset}"
    return f"{row.method} {row.metric}{part} on {row.split}"
