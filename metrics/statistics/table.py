"""Read and check the long table of scores, and fold it into seed x scene blocks."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from metrics.files import InputError, read_json
from metrics.schemas import printable, short_repr
from metrics.statistics import moments

COLUMNS = ["method", "seed", "split", "scene", "query", "subset", "metric", "value"]
KEY = ["split", "subset", "metric"]
CELL = [*KEY, "method", "seed", "scene"]
# What cells hold of the items that they average: how many there are, how many succeeded, how many
# belong to a query, and the mean of those that succeeded, NaN where all or none did.
COUNTS = ["items", "items_succeeded", "items_queried"]
MEAN_SUCCEEDED = "mean_of_succeeded"
CELLS_FILE, METHODS_FILE = "cells.parquet", "methods.json"
# Level of zstd for the cells; higher ones are slower and save 1%.
CELLS_LEVEL = 15
# Columns of text.
NAMES = ["method", "split", "scene", "query", "subset", "metric", "kind"]
SUCCESS = ["method", *KEY]
_SIDECAR = {"method": str, "stochastic": bool, "produces": list, "reasons": dict, "floors": dict}
_SIDECAR |= {"cost": dict}
DEFAULTS = {"query": "", "subset": "all", "split": "test", "kind": "item", "succeeded": True}


@dataclass(frozen=True)
class ScoreTable:
    """Scores with queries already averaged.

    Attributes:
        cells: columns split, subset, metric, method, seed, scene and value, sorted by these, names
            as categories; then `COUNTS` and `MEAN_SUCCEEDED`. A value is a mean over queries, or
            the pseudo-value of a pooled metric.
        pooled: {(split, subset, metric): {(method, seed): pooled value}}.
        methods: {method: what its sidecar files say}, with the keys "stochastic", "produces",
            "reasons", "costs" and "floors"; "skipped" says why a method has no scores.
    """

    cells: pd.DataFrame
    pooled: dict[tuple[str, str, str], dict[tuple[str, int], float]]
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)

    def frame(self) -> pd.DataFrame:
        """Return the cells, then the pooled values, as one table of scores; `load` reads it again.

        `kind` is "item" for a mean of items, "pseudo" for a pseudo-value, and "pooled" for the
        value of a training that its pseudo-values belong to.
        """
        pooled = [
            (*key, method, seed, "", value, *[0] * len(COUNTS), np.nan)
            for key, values in sorted(self.pooled.items())
            for (method, seed), value in sorted(values.items())
        ]
        rows = pd.DataFrame(pooled, columns=[*CELL, "value", *COUNTS, MEAN_SUCCEEDED])
        scenes = self.cells["scene"].cat
        more = [] if "" in scenes.categories else [""]
        cells = self.cells.assign(scene=scenes.add_categories(more))
        rows = rows.astype(dict(cells.dtypes))
        kind = np.full(len(cells) + len(rows), "item", object)
        # Both tables have the same categories, hence the same codes.
        keys = [
            [*(part[c].cat.codes.to_numpy(np.int64) for c in (*KEY, "method")), part["seed"]]
            for part in (cells, rows)
        ]
        joint = _joint_code([np.concatenate(pair) for pair in zip(*keys, strict=True)])
        kind[np.isin(joint, joint[len(cells) :])] = "pseudo"
        kind[len(cells) :] = "pooled"
        whole = pd.concat([cells, rows], ignore_index=True).assign(kind=pd.Categorical(kind))
        return whole[[*CELL, "kind", "value", *COUNTS, MEAN_SUCCEEDED]]

    def success(self) -> pd.DataFrame:
        """Return the sums over each method's cells of a metric.

        Columns method, split, subset, metric, items, succeeded and succeeded_sum, then queries and
        query_sum: number and sum of the items that have a query.
        """
        cells = self.cells
        items, succeeded, queried = (cells[name].to_numpy(np.int64) for name in COUNTS)
        value, of_succeeded = cells["value"].to_numpy(), cells[MEAN_SUCCEEDED].to_numpy()
        of_succeeded = np.where(np.isnan(of_succeeded), value, of_succeeded)
        columns = [cells[name].cat.codes.to_numpy(np.int64) for name in SUCCESS]
        first, into = _group(columns)
        counted = {name: cells[name].astype(str).iloc[first].to_numpy() for name in SUCCESS}
        return pd.DataFrame(
            counted
            | {
                "items": np.bincount(into, items).astype(np.int64),
                "succeeded": np.bincount(into, succeeded).astype(np.int64),
                "succeeded_sum": np.bincount(into, of_succeeded * succeeded),
                "queries": np.bincount(into, queried).astype(np.int64),
                "query_sum": np.bincount(into, value * queried),
            }
        )


@dataclass(frozen=True)
class Block:
    """One method's cells on one metric of a split and subset.

    Attributes:
        method: its name.
        values: f64 [S, N], a row for each training and a column for each scene.
        theta: f64 [S], pooled value of each training; None for a metric with a value a scene.
        seeds: S seeds.
        scenes: N names.
        stochastic: False for a method without randomness, which has one row.
        note: what was left out, or "".
    """

    method: str
    values: np.ndarray
    theta: np.ndarray | None
    seeds: tuple[int, ...]
    scenes: tuple[str, ...]
    stochastic: bool
    note: str = ""

    def summary(self, scenes: tuple[str, ...] | None = None) -> moments.Cells:
        """Return the sums that the moments need, over `scenes` or over all of them."""
        if scenes is None or scenes == self.scenes:
            return self._whole
        return moments.summarise(self.over(scenes), self.theta, self.stochastic)

    @cached_property
    def _whole(self) -> moments.Cells:
        return moments.summarise(self.values, self.theta, self.stochastic)

    def over(self, scenes: tuple[str, ...] | None) -> np.ndarray:
        """Return the cells f64 [S, len(scenes)] in that order of scenes; all cells for None."""
        if scenes is None or scenes == self.scenes:
            return self.values
        columns = {scene: column for column, scene in enumerate(self.scenes)}
        return self.values[:, [columns[scene] for scene in scenes]]


def load(source: str | Path | pd.DataFrame, deterministic: Collection[str] = ()) -> ScoreTable:
    """Read a table of scores and average its queries.

    Args:
        source: a scores folder (method/seed/split.parquet), one parquet or csv file, or a frame.
        deterministic: methods without a seed axis, where no sidecar file says so.

    Raises:
        InputError: columns are missing, values are not finite, or rows are repeated.
    """
    scores = _Accumulator()
    methods: dict[str, dict[str, Any]] = {}
    name = "the table"
    if isinstance(source, pd.DataFrame):
        scores.add(source, name)
    elif is_cells(Path(source)):
        path, name = Path(source), str(source)
        scores.add(read_scores(path), name)
        methods = _read_methods(path.with_name(METHODS_FILE))
    else:
        path, name = Path(source), str(source)
        files = [path] if path.is_file() else sorted(path.glob("*/*/*.parquet"))
        if not files:
            raise InputError(f"{path}: no scores (method/seed/split.parquet); run the score stage")
        methods = _sidecars(files)
        _add_files(scores, methods, files, path)
    for method in deterministic:
        methods.setdefault(method, {})["stochastic"] = False
    return ScoreTable(scores.cells(name), scores.pooled, methods)


def _add_files(
    scores: "_Accumulator", methods: dict[str, dict[str, Any]], files: list[Path], path: Path
) -> None:
    """Add the tables of a scores folder; a method whose tables have no rows is skipped."""
    filled, empty = set(), {}
    for file in files:
        rows, method = read_scores(file), file.parent.parent.name
        if rows.empty and len(files) > 1:
            empty[method] = file
            continue
        scores.add(rows, str(file), None if file == path else method)
        filled.add(method)
    if empty and not filled:
        raise InputError(f"{path}: no table has rows; score the submissions again")
    for method in sorted(empty.keys() - filled):
        methods.setdefault(method, {})["skipped"] = "its tables of scores have no rows"


def read_scores(file: Path) -> pd.DataFrame:
    """Read one table of scores, csv or parquet; raises InputError for any other file.

    Names of a parquet file are read as categories, without a string for each row.
    """
    try:
        if file.suffix == ".csv":
            return pd.read_csv(file)
        return pd.read_parquet(file, read_dictionary=NAMES)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: no score table ({error}); score the submission") from error


class _Accumulator:
    """Adds up tables one by one, so that a large study is never held as text.

    Queries are averaged at once, and names are replaced by integer codes that all tables share.
    """

    def __init__(self) -> None:
        self.pooled: dict[tuple[str, str, str], dict[tuple[str, int], float]] = {}
        self._names: dict[str, dict[str, int]] = {c: {} for c in CELL if c != "seed"}
        self._parts: list[dict[str, np.ndarray]] = []

    def add(self, rows: pd.DataFrame, where: str, method: str | None = None) -> None:
        """Check one table and average its queries within (method, seed, scene).

        Args:
            rows: the table.
            where: its name in messages.
            method: the only method that it may hold, or None.
        """
        rows = check_rows(rows, where)
        foreign = set(rows["method"].unique()) - {method} if method else set()
        if foreign:
            raise InputError(f"{where}: holds scores of {sorted(foreign)[0]}; score {method} again")
        codes = {c: self._encode(c, rows[c]) for c in self._names}
        codes["seed"] = rows["seed"].to_numpy(np.int64)
        kind, query = (_factorize(rows[c])[0] for c in ("kind", "query"))
        joint = _joint_code([*(codes[c] for c in CELL), kind, query])
        # Sums run in the order of the names, so that they do not depend on the order of the rows.
        order = np.argsort(joint, kind="stable")
        repeated = np.flatnonzero(joint[order][1:] == joint[order][:-1])
        if len(repeated):
            _refuse_repeats(rows.iloc[order[repeated]], where)
        pooled = (rows["kind"] == "pooled").to_numpy(bool)
        self._add_pooled(rows[pooled], rows[(rows["kind"] == "pseudo").to_numpy(bool)], where)
        order = order[~pooled[order]]
        value = rows["value"].to_numpy()[order]
        if set(COUNTS) <= set(rows):
            counts = _read_counts(rows.iloc[order], where)
        else:
            counts = {
                "items": np.ones(len(order), np.int64),
                "items_succeeded": rows["succeeded"].to_numpy(np.int64)[order],
                "items_queried": (rows["query"] != "").to_numpy(np.int64)[order],
                MEAN_SUCCEEDED: value,
            }
        self._add_items({c: codes[c][order] for c in CELL}, value, counts)

    def _add_items(
        self, codes: dict[str, np.ndarray], value: np.ndarray, counts: dict[str, np.ndarray]
    ) -> None:
        """Average values within cells, and count the items, successes and queries of each."""
        first, into = _group([codes[c] for c in CELL])
        cells = {c: codes[c][first] for c in CELL}
        cells["value"] = np.bincount(into, value) / np.bincount(into)
        for name in COUNTS:
            total = np.bincount(into, counts[name]).astype(np.int64)
            cells[name] = total.astype(np.min_scalar_type(int(total.max(initial=0))))
        good, items = counts["items_succeeded"], cells["items"]
        weight = np.bincount(into, good)
        with np.errstate(invalid="ignore"):
            # A product with a count and a division by it need not return the same number, so the
            # mean of a cell that comes as one row is not computed again.
            mean = np.bincount(into, np.where(good > 0, counts[MEAN_SUCCEEDED] * good, 0)) / weight
        mean = np.where(np.bincount(into) == 1, counts[MEAN_SUCCEEDED][first], mean)
        some = (cells["items_succeeded"] > 0) & (cells["items_succeeded"] < items)
        cells[MEAN_SUCCEEDED] = np.where(some, mean, np.nan)
        self._parts.append(cells)

    def _encode(self, column: str, values: pd.Series) -> np.ndarray:
        """Return a code i32 for each value of a column of names."""
        codes, names = _factorize(values)
        known = self._names[column]
        numbers = [known.setdefault(str(name), len(known)) for name in names]
        return np.asarray(numbers, np.int32)[codes]

    def _add_pooled(self, pooled: pd.DataFrame, pseudo: pd.DataFrame, where: str) -> None:
        if pooled.empty and pseudo.empty:
            return
        key = [*KEY, "method", "seed"]
        with_pooled, with_pseudo = _distinct(pooled, key), _distinct(pseudo, key)
        if with_pooled != with_pseudo:
            split, _, metric, method, seed = sorted(with_pooled ^ with_pseudo)[0]
            raise InputError(
                f"{where}: {metric} of {method}, seed {seed}, split {split} needs both its pooled "
                "value and its pseudo-values; score it again"
            )
        for *at, method, seed, value in zip(
            *(pooled[c].tolist() for c in (*key, "value")), strict=True
        ):
            self.pooled.setdefault(tuple(at), {})[method, int(seed)] = float(value)

    def cells(self, where: str) -> pd.DataFrame:
        """Return the sorted cells of all tables. It releases the parts, so call it once."""
        columns, names = {}, {}
        for column in [*CELL, "value", *COUNTS, MEAN_SUCCEEDED]:
            columns[column] = np.concatenate([part.pop(column) for part in self._parts])
            if column in self._names:
                names[column] = sorted(self._names[column])
                # Codes were given in order of appearance; renumber them in the order of the names.
                rank = np.empty(len(names[column]), np.int32)
                rank[[self._names[column][n] for n in names[column]]] = np.arange(len(rank))
                columns[column] = rank[columns[column]]
                columns[column] = columns[column].astype(np.min_scalar_type(-len(rank)))
        joint = _joint_code([columns[c] for c in CELL])
        order = np.argsort(joint, kind="stable")
        joint = joint[order]
        repeated = np.flatnonzero(joint[1:] == joint[:-1])
        columns = {c: values[order] for c, values in columns.items()}
        frame = pd.DataFrame(
            {
                c: pd.Categorical.from_codes(columns.pop(c), names[c]) if c in names else columns[c]
                for c in [*CELL, "value", *COUNTS, MEAN_SUCCEEDED]
            },
            copy=False,
        )
        if len(repeated):
            _refuse_repeats(frame.iloc[repeated], where)
        return frame


def _read_counts(rows: pd.DataFrame, where: str) -> dict[str, np.ndarray]:
    """Return the counts of cells that were written before; raises InputError for other ones."""
    counts = {}
    for name in (*COUNTS, MEAN_SUCCEEDED):
        given = rows[name] if name in rows else pd.Series(np.nan, rows.index)
        counts[name] = pd.to_numeric(given, errors="coerce").to_numpy(np.float64)
        if name in COUNTS:
            whole = (counts[name] >= 0) & (counts[name] <= 2**31) & (counts[name] % 1 == 0)
            if not whole.all():
                what = short_repr(given[~whole].iloc[0])
                raise InputError(f"{where}: {name} is {what}; write the cells again by compare")
            counts[name] = counts[name].astype(np.int64)
    if (counts["items_succeeded"] > counts["items"]).any():
        raise InputError(f"{where}: more items succeeded than there are; write the cells again")
    partly = (counts["items_succeeded"] > 0) & (counts["items_succeeded"] < counts["items"])
    if not np.isfinite(counts[MEAN_SUCCEEDED][partly]).all():
        raise InputError(f"{where}: a cell lacks its {MEAN_SUCCEEDED}; write the cells again")
    return counts


def is_cells(path: Path) -> bool:
    """Return whether a file holds the cells that `write_cells` wrote, next to `METHODS_FILE`."""
    if path.suffix != ".parquet" or not path.with_name(METHODS_FILE).is_file():
        return False
    try:
        return set(COUNTS) <= set(pq.read_schema(path).names)
    except (OSError, pa.ArrowInvalid):
        return False


def write_cells(cells: pd.DataFrame, file: Path) -> None:
    """Write the columns of `ScoreTable.frame` as parquet, small enough to be committed.

    The cells are sorted, so that names and counts take next to no space. Values are split into
    streams of their bytes, of which the sign and exponent repeat.
    """
    columns = pa.Table.from_pandas(cells, preserve_index=False).replace_schema_metadata(None)
    for place, name in enumerate(columns.column_names):
        if name in COUNTS:
            counts = columns[name].cast(pa.int32())
            columns = columns.set_column(place, pa.field(name, pa.int32()), counts)
    pq.write_table(
        columns,
        file,
        store_schema=False,
        compression="zstd",
        compression_level=CELLS_LEVEL,
        use_dictionary=[name for name in columns.column_names if name != "value"],
        column_encoding={"value": "BYTE_STREAM_SPLIT"},
    )


def _read_methods(file: Path) -> dict[str, dict[str, Any]]:
    """Return {method: facts} of a methods file that `metrics.statistics.compare.write` wrote."""
    methods = read_json(file, "write it again by compare")
    if not isinstance(methods, dict) or not all(isinstance(m, dict) for m in methods.values()):
        raise InputError(f"{file}: holds no facts of methods; write it again by compare")
    kinds = {"stochastic": bool, "produces": list, "reasons": dict, "floors": dict, "costs": list}
    for name, facts in methods.items():
        for key, kind in kinds.items():
            if key in facts and not isinstance(facts[key], kind):
                what = f"{key} of {printable(name)} is {short_repr(facts[key])}"
                raise InputError(f"{file}: {what}; write it again by compare")
    return methods


def check_rows(rows: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the table with default columns filled in; raises InputError for an invalid one."""
    rows = rows.assign(**{name: DEFAULTS[name] for name in DEFAULTS if name not in rows})
    missing = [c for c in COLUMNS if c not in rows]
    if missing:
        raise InputError(
            f"{where}: lacks the column {missing[0]}; columns are {', '.join(COLUMNS)}"
        )
    if rows.empty:
        raise InputError(f"{where}: has no rows; score it again")
    for column in COLUMNS:
        # Only columns that are no plain text or numbers are of this type.
        if rows[column].dtype == object:
            strange = ~rows[column].map(lambda value: value is None or np.isscalar(value))
            if strange.any():
                raise InputError(
                    f"{where}: {column} is {short_repr(rows[column][strange].iloc[0])}; give text "
                    "or numbers"
                )
    for column in ("query", "scene"):
        if rows[column].isna().any():
            rows[column] = rows[column].astype(object).where(rows[column].notna(), "")
    for column in SUCCESS:
        if rows[column].isna().any():
            raise InputError(f"{where}: a row has no {column}; name it")
    seeds, values = (pd.to_numeric(rows[c], errors="coerce") for c in ("seed", "value"))
    # Beyond 2^53 a float no longer holds every whole number.
    fractional = seeds.isna() | (seeds != seeds.round()) | (seeds.abs() > 2.0**53)
    if fractional.any():
        raise InputError(
            f"{where}: seed {rows['seed'][fractional].iloc[0]} is not a whole number; number the "
            "trainings"
        )
    bad_values = ~np.isfinite(values.to_numpy(np.float64))
    if bad_values.any():
        row = rows[bad_values].iloc[0]
        raise InputError(
            f"{where}: {row['metric']} of {row['method']}, seed {row['seed']}, scene "
            f"{row['scene'] or '(pooled)'} is {row['value']}; score failures at the worst value"
        )
    return rows.assign(seed=seeds, value=values, succeeded=rows["succeeded"].astype(bool))


def _refuse_repeats(repeated: pd.DataFrame, where: str) -> None:
    row = repeated.iloc[0]
    raise InputError(
        f"{where}: {row['metric']} of {row['method']}, seed {row['seed']}, split {row['split']} "
        "is in the table twice; give each method its own name"
    )


def _factorize(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return each value's place among the sorted names, -1 = none, and the names."""
    if not isinstance(values.dtype, pd.CategoricalDtype):
        return pd.factorize(values, sort=True)
    used = values.cat.remove_unused_categories().cat
    names = used.categories.to_numpy(object)
    order = np.argsort(names)
    # One more, for the code -1.
    rank = np.full(len(names) + 1, -1)
    rank[order] = np.arange(len(names))
    return rank[used.codes.to_numpy()], names[order]


def _joint_code(columns: list[np.ndarray]) -> np.ndarray:
    """Return a code i64 [n] for each row of integer columns [n].

    Codes are equal where the rows are, and ordered as the rows are, first column first. Sorting
    one integer is much faster than sorting rows of several columns.
    """
    joint = np.zeros(len(columns[0]), np.int64)
    reach = 1  # one more than the largest code possible so far
    for column in columns:
        low = int(column.min(initial=0))
        width = int(column.max(initial=0)) - low + 1
        if reach * width >= 2**62:
            # The next product would overflow: renumber the codes without gaps.
            joint = np.unique(joint, return_inverse=True)[1]
            reach = int(joint.max(initial=0)) + 1
        # In place, because a large study has a hundred million rows.
        joint *= width
        joint += column
        joint -= low
        reach *= width
    return joint


def _group(columns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the first row of each group of equal rows, and each row's group."""
    _, first, into = np.unique(_joint_code(columns), return_index=True, return_inverse=True)
    return first, into


def _distinct(rows: pd.DataFrame, columns: list[str]) -> set[tuple[Any, ...]]:
    """Return the distinct rows of some columns."""
    first, _ = _group([np.asarray(_factorize(rows[c])[0], np.int64) for c in columns])
    return set(zip(*(rows[c].iloc[first].tolist() for c in columns), strict=True))


def read_sidecar(path: Path) -> dict[str, Any]:
    """Return what the scorer wrote next to a table of scores.

    Raises:
        InputError: it is no such file, or one of its facts has another type.
    """
    facts = read_json(path, "score the submission again")
    if not isinstance(facts, dict):
        raise InputError(f"{path}: holds no facts of scores; score the submission again")
    for key, kind in _SIDECAR.items():
        value = facts.get(key)
        if value is None:
            facts.pop(key, None)
        elif not isinstance(value, kind):
            raise InputError(f"{path}: {key} is {short_repr(value)}; score the submission again")
    if not all(isinstance(task, str) for task in facts.get("produces", [])):
        raise InputError(f"{path}: produces holds no names; score the submission again")
    return facts


def _sidecars(files: list[Path]) -> dict[str, dict[str, Any]]:
    """Return what the json files next to the tables say of each method."""
    methods: dict[str, dict[str, Any]] = {}
    for file in files:
        sidecar = file.with_suffix(".json")
        if not sidecar.exists():
            continue
        facts = read_sidecar(sidecar)
        method, seed = file.parent.parent.name, file.parent.name
        into = methods.setdefault(
            method, {"costs": [], "produces": [], "reasons": {}, "floors": {}}
        )
        into["stochastic"] = facts.get("stochastic", True) or into.get("stochastic", False)
        into["produces"] = sorted({*into["produces"], *facts.get("produces", [])})
        into["reasons"] |= facts.get("reasons", {})
        into["floors"][file.stem] = facts.get("floors", {})
        into["costs"].append({"seed": seed, "split": file.stem, **facts.get("cost", {})})
    return methods


def blocks(table: ScoreTable) -> Iterator[tuple[tuple[str, str, str], dict[str, Block]]]:
    """Yield ((split, subset, metric), {method: Block}) in sorted order."""
    cells = table.cells
    names = {c: list(cells[c].cat.categories) for c in CELL if c != "seed"}
    codes = {c: cells[c].cat.codes.to_numpy() for c in names} | {"seed": cells["seed"].to_numpy()}
    joint = _joint_code([codes[c] for c in KEY])
    # The cells are sorted, so those of one metric are the rows between two changes of the code.
    edges = np.flatnonzero(np.diff(joint, prepend=-1, append=joint[-1:] + 1))
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        split, subset, metric = (str(names[c][codes[c][start]]) for c in KEY)
        key = (split, subset, metric)
        axes = [
            np.unique(codes[c][start:end], return_inverse=True) for c in ("method", "seed", "scene")
        ]
        grid = np.full([len(values) for values, _ in axes], np.nan)  # (methods, S, N)
        grid[tuple(into for _, into in axes)] = cells["value"].to_numpy()[start:end]
        scenes = np.array([names["scene"][k] for k in axes[2][0]], dtype=object)
        by_method = {}
        for values, code in zip(grid, axes[0][0], strict=True):
            method = str(names["method"][code])
            stochastic = table.methods.get(method, {}).get("stochastic", True)
            by_method[method] = _block(
                method, values, axes[1][0], scenes, table.pooled.get(key, {}), stochastic, key
            )
        yield key, by_method


def _block(
    method: str,
    values: np.ndarray,
    seeds: np.ndarray,
    scenes: np.ndarray,
    thetas: dict[tuple[str, int], float],
    stochastic: bool,
    key: tuple[str, str, str],
) -> Block:
    """Return one method's cells from its part [S, N] of the grid of all methods.

    Only seeds that the method has, and scenes that were scored for each of them, are kept.
    """
    trained = np.isfinite(values).any(1)
    values, numbers = values[trained], [int(s) for s in seeds[trained]]
    scored = np.isfinite(values)
    complete = scored.all(0)
    lost = int(scored.any(0).sum() - complete.sum())
    note = f"{lost} scenes left out: not scored for every seed" if lost else ""
    values = values[:, complete]
    pooled = np.array([thetas.get((method, seed), np.nan) for seed in numbers])
    theta = pooled if (method, numbers[0]) in thetas else None
    if not stochastic and len(numbers) > 1:
        if np.abs(values - values[:1]).max(initial=0) > 1e-9:
            raise InputError(
                f"{method}: declared deterministic, but {key[2]} on {key[0]} differs between seeds;"
                " declare it stochastic"
            )
        values, numbers, theta = values[:1], numbers[:1], None if theta is None else theta[:1]
    names = tuple(str(s) for s in scenes[complete])
    return Block(method, values, theta, tuple(numbers), names, stochastic, note)
