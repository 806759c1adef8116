"""Means, intervals and differences of results that other harnesses wrote.

The estimators are those of `metrics.statistics`: items are averaged within a cluster, and the cells
(seed, cluster) go through the two-way moments. Where clusters are unknown each item is one, and the
question says "items" in place of "scenes".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metrics.files import InputError, atomic_path
from metrics.results.directions import (
    Directions,
    check_named,
    find_bounds,
    find_directions,
    names_of,
)
from metrics.results.long_table import NAMES, UNSTATED, LongTable, Options

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from metrics.statistics.moments import Bounds
    from metrics.statistics.table import Block

ESTIMATE_COLUMNS = [
    *("metric", "method", "mean", "ci_low", "ci_high", "df", "item_mean", "n_seeds", "n_scenes"),
    *("n_items", "question", "estimator", "note"),
]
DIFFERENCE_COLUMNS = [
    *("metric", "method_a", "method_b", "mean_a", "mean_b", "difference", "ci_low", "ci_high"),
    *("df", "p", "p_adjusted", "adjustment", "dz", "prob_improvement", "question", "estimator"),
    *("n_seeds_a", "n_seeds_b", "n_scenes", "n_items", "note"),
]
UNKNOWN_CLUSTERS = (
    "scenes are unknown, so each item counts as independent: if items share scenes, the true "
    "intervals are wider (name the column by --cluster)"
)


@dataclass(frozen=True)
class MetricFacts:
    """What holds for all methods of a metric.

    Attributes:
        name: of the metric.
        higher_is_better: its direction.
        clusters: columns that named the clusters, None where each item is one.
    """

    name: str
    higher_is_better: bool
    clusters: str | None


@dataclass(frozen=True)
class Comparison:
    """The statistics of a set of results.

    Attributes:
        metrics: facts of each metric, in the order of their names.
        estimates: `ESTIMATE_COLUMNS`, one row for each metric and method.
        differences: `DIFFERENCE_COLUMNS`, method a minus the reference b.
        notes: what was left out, one sentence each.
        reference: method that the others are compared with, or None.
    """

    metrics: tuple[MetricFacts, ...]
    estimates: pd.DataFrame
    differences: pd.DataFrame
    notes: tuple[str, ...]
    reference: str | None


@dataclass(frozen=True)
class _Scores:
    """One method's scores on one metric.

    Attributes:
        values: f64 [S, I], a row for each seed; items that every seed has.
        items: i64 [I], codes of the items, increasing.
        clusters: i64 [I], codes of their clusters.
        seeds: S codes of the seeds.
        lost: number of items that some seeds lack.
    """

    values: np.ndarray
    items: np.ndarray
    clusters: np.ndarray
    seeds: tuple[int, ...]
    lost: int


def compare_files(
    files: list[str],
    reference: str | None,
    options: Options,
    directions: Directions,
    metrics: list[str] | None = None,
) -> Comparison:
    """Read files of any known kind and compare their methods.

    Args:
        files: `FILE` or `NAME=FILE`.
        reference: method that all others are compared with; None for means alone.
        options: names of columns.
        directions: which metrics are better when higher or lower.
        metrics: the metrics to compare, as named by `names_of`; None for all.

    Raises:
        InputError: a file cannot be read, or the files do not belong together.
    """
    from metrics.results.readers import parse_source, read

    return compare(
        [read(parse_source(file), options) for file in files], reference, directions, metrics
    )


def compare(
    tables: list[LongTable],
    reference: str | None,
    directions: Directions,
    metrics: list[str] | None = None,
) -> Comparison:
    """Return the statistics of long tables; arguments and errors as of `compare_files`."""
    import pandas as pd

    for table in tables:
        _refuse_repeated_items(table)
    _refuse_second_files(tables)
    everything = sorted({metric for table in tables for metric in table.metrics})
    chosen = everything
    if metrics:
        check_named(metrics, everything, "--metrics")
        chosen = [m for m in everything if set(names_of(m)) & set(metrics)]
    higher = find_directions(chosen, tables, directions)
    rows = _joined(tables, chosen)
    methods = rows["method"].cat.categories
    if reference is not None and reference not in methods:
        files = ", ".join(table.file for table in tables)
        raise InputError(f"{files}: no method {reference!r}; choose from {', '.join(methods)}")
    facts, estimates, differences = [], [], []
    notes = [note for table in tables for note in table.notes]
    for metric, part in rows.groupby("metric", observed=True, sort=True):
        used = [table for table in tables if metric in table.metrics]
        fact = MetricFacts(metric, higher[metric], _clusters(metric, used))
        bounds = find_bounds(metric, higher[metric], _ranges(part, tables))
        facts.append(fact)
        means, gaps = _compare_metric(fact, part, bounds, reference)
        estimates += means
        differences += gaps
        if reference is not None and reference not in {row["method"] for row in means}:
            notes.append(f"{metric}: no differences, since {reference} has no scores of it")
    return Comparison(
        tuple(facts),
        pd.DataFrame(estimates).reindex(columns=ESTIMATE_COLUMNS),
        _adjusted(pd.DataFrame(differences).reindex(columns=DIFFERENCE_COLUMNS)),
        tuple(notes),
        reference,
    )


def write(comparison: Comparison, folder: str | Path) -> None:
    """Write estimates and differences as Parquet; the folder appears whole."""
    with atomic_path(folder, folder=True) as path:
        for name in ("estimates", "differences"):
            getattr(comparison, name).to_parquet(path / f"{name}.parquet", index=False)


def _refuse_repeated_items(table: LongTable) -> None:
    codes = table.rows[list(NAMES)].apply(lambda column: column.astype("category").cat.codes)
    repeated = codes.duplicated()
    if repeated.any():
        row = table.rows[repeated].iloc[0]
        raise InputError(
            f"{table.file}: item {row['item']} of {row['method']}, seed {row['seed']}, has two "
            f"rows of {row['metric']}; keep one row for each item"
        )


def _refuse_second_files(tables: list[LongTable]) -> None:
    """Raise `InputError` where two files hold scores of one method, seed and metric."""
    first: dict[tuple[str, str, str], str] = {}
    for table in tables:
        held = table.rows[["method", "seed", "metric"]].drop_duplicates()
        for key in held.itertuples(index=False, name=None):
            if key in first:
                method, seed, metric = key
                stated = "no seed" if seed == UNSTATED else f"seed {seed}"
                raise InputError(
                    f"{table.file}: holds {metric} of {method}, {stated}, as does {first[key]}; "
                    "state seeds in the names of files or folders (seed0, seed1), or give the "
                    "methods different names by NAME=FILE"
                )
            first[key] = table.file


def _joined(tables: list[LongTable], metrics: list[str]) -> pd.DataFrame:
    """Return the rows of the metrics: categories, f64 values, and an integer for each item."""
    import pandas as pd

    parts = []
    for place, table in enumerate(tables):
        rows = table.rows[table.rows["metric"].isin(metrics)]
        parts.append(rows.astype({"metric": "str"}).assign(file=place))
    rows = pd.concat(parts, ignore_index=True)
    for name in ("method", "seed", "cluster", "metric"):
        rows[name] = rows[name].astype("category")
    # Names of items may repeat in another cluster.
    item = rows["item"].astype("category").cat
    joint = rows["cluster"].cat.codes.to_numpy("int64") * len(item.categories)
    rows["item"] = joint + item.codes.to_numpy("int64")
    return rows


def _clusters(metric: str, tables: list[LongTable]) -> str | None:
    """Return the columns that named the clusters of a metric, None where there are none."""
    known = [table for table in tables if table.cluster is not None]
    unknown = [table for table in tables if table.cluster is None]
    if known and unknown:
        raise InputError(
            f"{unknown[0].file}: {metric} has no scenes here, but {known[0].cluster} in "
            f"{known[0].file}; add that column, or name one by --cluster"
        )
    return ", ".join(dict.fromkeys(str(t.cluster) for t in known)) if known else None


def _ranges(part: pd.DataFrame, tables: list[LongTable]) -> dict[str, tuple[float, float]]:
    """Return the smallest and the largest score of each method, named by file and method."""
    grouped = part.groupby(["file", "method"], observed=True)["value"].agg(["min", "max"])
    return {
        f"{tables[place].file} ({method})": (float(low), float(high))
        for (place, method), low, high in zip(
            grouped.index, grouped["min"], grouped["max"], strict=True
        )
    }


def _compare_metric(
    fact: MetricFacts, part: pd.DataFrame, bounds: Bounds | None, reference: str | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of one metric: means of all methods, and differences to the reference."""
    from metrics.statistics.pairwise_differences import mean_row

    names = [str(name) for name in part["cluster"].cat.categories]
    scores = {
        str(method): _grid(rows)
        for method, rows in part.groupby("method", observed=True, sort=True)
    }
    estimates = []
    for method, found in scores.items():
        row = mean_row(_block(method, found, names), bounds)
        row["note"] = _join(_in_units(row["note"], fact), _lost_note(found))
        row |= {"metric": fact.name, "method": method, "n_items": len(found.items)}
        row["item_mean"] = float(found.values.mean()) if found.values.size else float("nan")
        estimates.append(row | {"question": _in_units(row["question"], fact)})
    if reference is None or reference not in scores:
        return estimates, []
    rivals = {name: found for name, found in scores.items() if name != reference}
    base, differences = scores[reference], []
    for method, found in rivals.items():
        row = _difference(method, found, reference, base, names, fact, bounds)
        differences.append(
            row | {"metric": fact.name, "question": _in_units(row["question"], fact)}
        )
    return estimates, differences


def _grid(rows: pd.DataFrame) -> _Scores:
    """Return the scores of one method; items that some of its seeds lack are left out."""
    import numpy as np

    seeds, row = np.unique(rows["seed"].cat.codes.to_numpy(), return_inverse=True)
    items, first, column = np.unique(
        rows["item"].to_numpy("int64"), return_index=True, return_inverse=True
    )
    values = np.full((len(seeds), len(items)), np.nan)  # (S, I)
    values[row, column] = rows["value"].to_numpy("float64")
    complete = np.isfinite(values).all(0)
    return _Scores(
        values[:, complete],
        items[complete],
        rows["cluster"].cat.codes.to_numpy("int64")[first][complete],
        tuple(int(seed) for seed in seeds),
        int((~complete).sum()),
    )


def _block(
    method: str,
    scores: _Scores,
    names: list[str],
    keep: np.ndarray | None = None,
) -> Block:
    """Return the means over the items of each cluster.

    Args:
        method: its name.
        scores: of the method.
        names: of all clusters, by code.
        keep: bool [I], the items of the method that are averaged; None for all.
    """
    import numpy as np

    from metrics.statistics.table import Block

    kept = slice(None) if keep is None else keep
    used, into, counts = np.unique(scores.clusters[kept], return_inverse=True, return_counts=True)
    means = [np.bincount(into, row, len(used)) / counts for row in scores.values[:, kept]]
    values = np.array(means).reshape(len(scores.seeds), len(used))  # (S, N)
    return Block(
        method, values, None, scores.seeds, tuple(names[code] for code in used), stochastic=True
    )


def _difference(
    method: str,
    found: _Scores,
    reference: str,
    base: _Scores,
    names: list[str],
    fact: MetricFacts,
    bounds: Bounds | None,
) -> dict[str, Any]:
    """Return the row of one method minus the reference, on the items that both have."""
    import numpy as np

    from metrics.statistics.pairwise_differences import differences, improvement

    common = np.intersect1d(found.items, base.items, assume_unique=True)
    sides = [
        _block(name, side, names, np.isin(side.items, common))
        for name, side in ((method, found), (reference, base))
    ]
    blocks = {block.method: block for block in sides}
    (row,) = differences(blocks, [(method, reference)], bounds=bounds)
    if not row["variance"] > 0:
        # Rounding alone varies.
        row["dz"] = float("nan")
    notes = [_in_units(row["note"], fact)]
    alone = (len(found.items) - len(common), len(base.items) - len(common))
    if any(alone):
        notes.append(
            f"compared on {len(common)} common items ({method} alone has {alone[0]} more, "
            f"{reference} alone {alone[1]}), with means {row['mean_a']:.4g} vs {row['mean_b']:.4g}"
        )
    return row | {
        "n_items": len(common),
        "prob_improvement": improvement(*sides, fact.higher_is_better),
        "note": _join(*notes),
    }


def _in_units(text: str, fact: MetricFacts) -> str:
    """Return a question or a note of the estimators, with items for scenes where each is one."""
    return text if fact.clusters else text.replace("scene", "item")


def _lost_note(found: _Scores) -> str:
    return f"{found.lost} items left out: not scored for every seed" if found.lost else ""


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _adjusted(differences: pd.DataFrame) -> pd.DataFrame:
    """Return the differences with p corrected within each metric and question."""
    from metrics.statistics.families import holm

    differences["adjustment"] = "Holm"
    for _, part in differences.groupby(["metric", "question"]):
        known = part.index[part["p"].notna()]
        differences.loc[known, "p_adjusted"] = holm(part.loc[known, "p"].to_numpy("float64"))
    return differences
