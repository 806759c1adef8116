"""Compare a fresh run with the committed reference, cell by cell of the estimates table.

Another processor sums in another order, and training amplifies that: an honest rerun gives other
numbers. A cell has drifted only if its difference exceeds the declared tolerance by more than
training noise explains, judged over the whole table at once.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import digamma, polygamma

from metrics.files import InputError
from metrics.registry import METRICS
from metrics.statistics.effects import ALPHA
from metrics.statistics.families import benjamini_hochberg
from metrics.statistics.table import CELLS_FILE
from report.statistics import read_estimates, read_parquet

CELL = ["method", "split", "subset", "metric"]
ESTIMATES_FILE = "estimates.csv"
# Largest difference of a fresh estimate by the metric's unit, declared before any comparison.
SCORE, METRES, SQUARE_METRES, DETERMINISTIC = 0.01, 0.002, 0.0004, 1e-6
# Largest difference as a share of the reference, so that a small value cannot fall to zero.
RELATIVE = 0.1
STATUSES = ("identical", "reproduced", "within noise", "drifted", "missing", "new")
IDENTICAL, REPRODUCED, NOISE, DRIFTED, MISSING, NEW = STATUSES
# Most degrees of freedom that the cells of a table lend one of them. Subsets share trainings, so
# that cells seem to agree more than they do; in simulations with more, up to 15% of tables failed.
MOST_PRIOR_DF = 6.0


def tolerance(metric: str, reference: float, deterministic: bool = False) -> float:
    """Return the largest difference that still counts as reproduced, in the metric's unit.

    >>> tolerance("fscore@5cm", 0.6), tolerance("chamfer_l1_m", 0.1), tolerance("spq@0.5", 0.02)
    (0.01, 0.002, 0.002)
    """
    if deterministic:
        return DETERMINISTIC
    unit = METRICS[metric].unit if metric in METRICS else ""
    limit = {"m": METRES, "m2": SQUARE_METRES}.get(unit, SCORE)
    return min(limit, RELATIVE * abs(reference))


def seed_means(cells: pd.DataFrame) -> pd.DataFrame:
    """Return one row a cell and seed: its mean, the number of scenes and a hash of their names.

    Args:
        cells: the table of `metrics.statistics.compare`.

    Returns:
        Columns method, split, subset, metric, seed, mean, scenes, scenes_hash. The mean is over
        scenes; a pooled metric has its pooled value.
    """
    key = [*CELL, "seed"]
    pooled = cells[cells["kind"] == "pooled"][[*key, "value"]]
    by_scene = cells[cells["kind"] != "pooled"].sort_values("scene", kind="stable")
    found = (
        by_scene.groupby(key, sort=True)
        .agg(
            mean=("value", "mean"),
            scenes=("scene", "size"),
            scenes_hash=("scene", lambda scenes: _hash_names(tuple(scenes))),
        )
        .reset_index()
        .merge(pooled, on=key, how="left")
    )
    found["mean"] = found["value"].fillna(found["mean"])
    return found.drop(columns="value")


@cache
def _hash_names(names: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]


def load_fresh(stats_dir: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the estimates and seed means of a run's statistics folder."""
    folder = Path(stats_dir)
    return read_estimates(folder), seed_means(read_parquet(folder / CELLS_FILE))


def load_reference(folder: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the committed estimates and seed means.

    Raises:
        InputError: a file is missing or lacks columns.
    """
    file = Path(folder) / ESTIMATES_FILE
    try:
        # Names may look like numbers or like "NA".
        estimates = pd.read_csv(
            file,
            dtype=dict.fromkeys(CELL, str),
            keep_default_na=False,
            na_values={c: [""] for c in ("mean", "ci_low", "ci_high", "df")},
        )
        estimates[[*CELL, "mean", "n_seeds"]]
    except FileNotFoundError as error:
        raise InputError(f"{file}: no such file; `make reference` writes it") from error
    except (ValueError, KeyError) as error:
        raise InputError(f"{file}: not a reference table ({error}); write it again") from error
    return estimates, seed_means(read_parquet(Path(folder) / CELLS_FILE, stage="reference"))


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
        reference), tolerance, noise_sd (standard deviation of the difference of two honest runs),
        p and p_adjusted of a difference beyond the tolerance, status, and `noise` in words where
        noise cannot be judged. Such a cell has drifted if it lies outside its tolerance.
    """
    columns = [*CELL, "mean", "n_seeds"]
    rows = (
        reference[0][columns]
        .merge(fresh[0][columns], on=CELL, how="outer", suffixes=("_was", "_is"))
        .merge(training_noise(reference[1], fresh[1]), on=CELL, how="left")
        .sort_values(CELL, kind="stable", ignore_index=True)
    )
    gap = rows["mean_is"] - rows["mean_was"]
    fixed = (rows["n_seeds_was"] == 0) & (rows["n_seeds_is"] == 0)
    allowed = np.array(
        [
            tolerance(*cell)
            for cell in zip(rows["metric"], rows["mean_was"].fillna(0.0), fixed, strict=True)
        ]
    )
    out = rows[CELL].assign(
        reference=rows["mean_was"], fresh=rows["mean_is"], difference=gap, tolerance=allowed
    )
    out["noise_sd"] = rows["noise_sd"].where(~fixed)
    excess = np.maximum(gap.abs() - allowed, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # How far beyond the tolerance the difference lies, in standard deviations of the noise.
        out["p"] = 2 * stats.t.sf(excess / out["noise_sd"], rows["noise_df"])
    out["p_adjusted"] = benjamini_hochberg(out["p"].to_numpy(np.float64))
    out["status"] = np.select(
        [
            *(rows["mean_is"].isna(), rows["mean_was"].isna(), gap == 0, gap.abs() <= allowed),
            out["p_adjusted"] >= ALPHA,
        ],
        [MISSING, NEW, IDENTICAL, REPRODUCED, NOISE],
        DRIFTED,
    )
    words = rows["noise"].fillna("").mask(fixed, "deterministic")
    out["noise"] = words.where(out["status"] == DRIFTED, "")
    return out


def training_noise(was: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Return the noise of trainings in the difference of two runs, for each of their cells.

    Args:
        was, now: seed means of the reference and of the fresh run.

    Returns:
        Columns method, split, subset, metric, noise_sd, noise_df, and noise: why they are NaN. The
        variance comes from the reference's trainings alone, so that trainings that collapse in the
        fresh run do not excuse themselves. As few trainings give it, the cells of a metric share
        what they have in common (`moderated_variance`).
    """
    old, new = (
        _by_cell(means).rename(columns=lambda name, end=end: name + end)
        for means, end in ((was, "_was"), (now, "_is"))
    )
    both = old.join(new, how="inner").reset_index()
    both["noise_df"] = both["noise_sd"] = np.nan
    repeated = both[both["seeds_was"] > 1]
    variance, df = moderated_variance(
        repeated["variance_was"].to_numpy(),
        repeated["seeds_was"].to_numpy() - 1.0,
        pd.factorize(repeated["metric"])[0],
    )
    share = 1 / repeated["seeds_was"] + 1 / repeated["seeds_is"]
    both.loc[repeated.index, "noise_sd"] = np.sqrt(variance * share)
    both.loc[repeated.index, "noise_df"] = df
    other_scenes = both["scenes_hash_was"] != both["scenes_hash_is"]
    both["noise"] = np.select(
        [other_scenes, both["seeds_was"] < 2, ~(both["noise_sd"] > 0)],
        ["other scenes", "one training: noise unknown", "nothing varies"],
        "more than training noise",
    )
    unknown = other_scenes | ~(both["noise_sd"] > 0)
    both.loc[unknown, ["noise_sd", "noise_df"]] = np.nan
    return both[[*CELL, "noise_sd", "noise_df", "noise"]]


def _by_cell(means: pd.DataFrame) -> pd.DataFrame:
    """Return variance and number of seeds, and the scenes, of each cell."""
    return means.groupby(CELL).agg(
        variance=("mean", "var"), seeds=("mean", "size"), scenes_hash=("scenes_hash", "first")
    )


def moderated_variance(
    variance: np.ndarray, df: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return variances f64 [n] that lend each other degrees of freedom, and the new ones f64 [n].

    The true variances of a group are taken to follow a scaled inverse chi-square distribution. Its
    degrees of freedom d0, at most `MOST_PRIOR_DF`, come from the spread of the observed ones on
    the log scale over all groups, its scale from those of the group. Each variance is then its
    average with that scale, weighted by df and d0.

    Args:
        variance: f64 [n], sample variances; zeros count as a small share of the median.
        df: f64 [n], their degrees of freedom, at least 1.
        groups: i64 [n], the group of each, 0, 1, ...

    Source: Smyth, Linear models and empirical Bayes methods for assessing differential expression
        in microarray experiments, 2004, section 6.2.
    """
    free = len(variance) - len(np.unique(groups))
    if free < 1 or not (variance > 0).any():
        return variance, df
    # The median of all may be 0 where most cells do not vary.
    floor = 1e-5 * np.median(variance[variance > 0])
    logs = np.log(np.maximum(variance, floor)) - digamma(df / 2) + np.log(df / 2)
    mean = np.bincount(groups, logs) / np.bincount(groups)
    spread = np.square(logs - mean[groups]).sum() / free - polygamma(1, df / 2).mean()
    prior_df = MOST_PRIOR_DF
    if spread > 0:
        prior_df = min(2 * _inverse_trigamma(spread), MOST_PRIOR_DF)
    scale = np.exp(mean[groups] + digamma(prior_df / 2) - np.log(prior_df / 2))
    total = prior_df + df
    return (prior_df * scale + df * variance) / total, total


def _inverse_trigamma(value: float) -> float:
    """Return the y > 0 with trigamma(y) = value, by Newton's method (Smyth 2004, appendix)."""
    if value > 1e7:
        return float(1 / np.sqrt(value))
    if value < 1e-6:
        return 1 / value
    y = 0.5 + 1 / value
    for _ in range(50):
        trigamma = polygamma(1, y)
        step = trigamma * (1 - trigamma / value) / polygamma(2, y)
        y += step
        if -step / y < 1e-8:
            break
    return float(y)


def failed(rows: pd.DataFrame) -> bool:
    """Return whether a cell drifted or is missing."""
    return bool(rows["status"].isin([DRIFTED, MISSING]).any())


def summary(rows: pd.DataFrame, worst: int = 10) -> str:
    """Return the counts in a line, then the drifted cells farthest off and the missing ones."""
    counts = rows["status"].value_counts()
    totals = (f"{counts[status]} {status}" for status in STATUSES if status in counts)
    lines = [", ".join(totals) or "nothing to compare"]
    drifted = rows[rows["status"] == DRIFTED]
    # What noise cannot explain at all comes first.
    order = drifted["p_adjusted"].fillna(0.0).sort_values(kind="stable").index
    for row in drifted.loc[order[:worst]].itertuples():
        p = "" if np.isnan(row.p_adjusted) else f" (adjusted p {row.p_adjusted:.2g})"
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
