"""The long table of scores, read, checked and folded into seed x scene blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metrics.files import InputError, read_json
from metrics.statistics import moments

COLUMNS = ["method", "seed", "split", "scene", "query", "subset", "metric", "value"]
KEY = ["split", "subset", "metric"]
CELL = [*KEY, "method", "seed", "scene"]
SUCCESS = ["method", *KEY]
DEFAULTS = {"query": "", "subset": "all", "split": "test", "kind": "item", "succeeded": True}


@dataclass(frozen=True)
class ScoreTable:
    """Scores with queries already averaged.

    `cells`: split, subset, metric, method, seed, scene, value (a mean over queries, or the
    pseudo-value of a pooled metric), sorted by these, names as categories; `pooled`: (split,
    subset, metric) -> {(method, seed): pooled value}; `success`: method, split, subset, metric,
    items, succeeded, succeeded_sum; `methods`: per method what its sidecars say ("stochastic",
    "produces", "reasons", "costs", "floors").
    """

    cells: pd.DataFrame
    pooled: dict[tuple[str, str, str], dict[tuple[str, int], float]]
    success: pd.DataFrame
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """One method's cells on one metric: `values` [S, N], `theta` [S] or None, names, notes."""

    method: str
    values: np.ndarray
    theta: np.ndarray | None
    seeds: tuple[int, ...]
    scenes: tuple[str, ...]
    stochastic: bool
    note: str = ""

    def summary(self, scenes: tuple[str, ...] | None = None) -> moments.Cells:
        """Return the sums of the moments, over `scenes` alone where given."""
        return moments.summarise(self.over(scenes), self.theta, self.stochastic)

    def over(self, scenes: tuple[str, ...] | None) -> np.ndarray:
        """Return the cells [S, len(scenes)] in that order of scenes, all of them for None."""
        if scenes is None or scenes == self.scenes:
            return self.values
        where = {scene: column for column, scene in enumerate(self.scenes)}
        return self.values[:, [where[scene] for scene in scenes]]


def load(source: str | Path | pd.DataFrame, config: dict[str, Any] | None = None) -> ScoreTable:
    """Read a scores folder (method/seed/split.parquet), one parquet or csv file, or a frame.

    `config["deterministic"]` names the methods without a seed axis where no sidecar says so.
    Raises InputError for missing columns, values that are not finite, or repeated rows.
    """
    folded = _Folded()
    methods: dict[str, dict[str, Any]] = {}
    if isinstance(source, pd.DataFrame):
        folded.add(source, "the table")
    else:
        files = _files(Path(source))
        for file in files:
            expected = None if file == Path(source) else file.parent.parent.name
            folded.add(_read(file), str(file), expected)
        methods = _sidecars(files)
    for name in (config or {}).get("deterministic", []):
        methods.setdefault(name, {})["stochastic"] = False
    where = "the table" if isinstance(source, pd.DataFrame) else str(source)
    return ScoreTable(folded.cells(where), folded.pooled, folded.success(), methods)


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    files = sorted(source.glob("*/*/*.parquet"))
    if not files:
        raise InputError(f"{source}: no scores (method/seed/split.parquet); run the score stage")
    return files


def _read(file: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({error}); score it again") from error


class _Folded:
    """Tables added one by one: queries averaged, names replaced by numbers shared by all."""

    def __init__(self) -> None:
        self.pooled: dict[tuple[str, str, str], dict[tuple[str, int], float]] = {}
        self._names: dict[str, dict[str, int]] = {c: {} for c in CELL if c != "seed"}
        self._parts: list[dict[str, np.ndarray]] = []
        self._success: list[pd.DataFrame] = []

    def add(self, rows: pd.DataFrame, where: str, method: str | None = None) -> None:
        """Check one table and average its queries within (method, seed, scene).

        `method` is the only name of a method that the table may hold, if given.
        """
        rows = _checked(rows, where)
        others = set(rows["method"].unique()) - {method} if method else set()
        if others:
            raise InputError(f"{where}: holds scores of {sorted(others)[0]}; score {method} again")
        codes = {c: self._encode(c, rows[c]) for c in self._names}
        codes["seed"] = rows["seed"].to_numpy(np.int64)
        kind, query = (pd.factorize(rows[c], sort=True)[0] for c in ("kind", "query"))
        whole = _joint([*(codes[c] for c in CELL), kind, query])
        # Sums run in the order of the names, so that a table's own order leaves no trace.
        order = np.argsort(whole, kind="stable")
        repeated = np.flatnonzero(whole[order][1:] == whole[order][:-1])
        if len(repeated):
            _refuse_repeats(rows.iloc[order[repeated]], where)
        pooled = (rows["kind"] == "pooled").to_numpy(bool)
        self._add_pooled(rows[pooled], rows[(rows["kind"] == "pseudo").to_numpy(bool)], where)
        order = order[~pooled[order]]
        value, well = (rows[c].to_numpy()[order] for c in ("value", "succeeded"))
        self._add_items({c: codes[c][order] for c in CELL}, value, well)

    def _add_items(self, codes: dict[str, np.ndarray], value: np.ndarray, well: np.ndarray) -> None:
        """Average values within cells, and count successes within metrics."""
        _, first, into = np.unique(
            _joint([codes[c] for c in CELL]), return_index=True, return_inverse=True
        )
        part = {c: codes[c][first] for c in CELL}
        self._parts.append(part | {"value": np.bincount(into, value) / np.bincount(into)})
        _, first, into = np.unique(
            _joint([codes[c] for c in SUCCESS]), return_index=True, return_inverse=True
        )
        names = {c: list(self._names[c]) for c in SUCCESS}
        counted = {c: [names[c][k] for k in codes[c][first]] for c in SUCCESS} | {
            "items": np.bincount(into),
            "succeeded": np.bincount(into, well).astype(np.int64),
            "succeeded_sum": np.bincount(into, np.where(well, value, 0.0)),
        }
        self._success.append(pd.DataFrame(counted))

    def _encode(self, column: str, values: pd.Series) -> np.ndarray:
        codes, names = pd.factorize(values, sort=True)
        known = self._names[column]
        numbers = [known.setdefault(str(name), len(known)) for name in names]
        return np.asarray(numbers, np.int32)[codes]

    def _add_pooled(self, pooled: pd.DataFrame, pseudo: pd.DataFrame, where: str) -> None:
        if pooled.empty and pseudo.empty:
            return
        key = [*KEY, "method", "seed"]
        there, needed = (set(map(tuple, f[key].drop_duplicates().values)) for f in (pooled, pseudo))
        if there != needed:
            split, _, metric, method, seed = sorted(there ^ needed)[0]
            raise InputError(
                f"{where}: {metric} of {method}, seed {seed}, split {split} needs both its pooled "
                "value and its pseudo-values; score it again"
            )
        for row in pooled.itertuples():
            into = self.pooled.setdefault((row.split, row.subset, row.metric), {})
            into[row.method, int(row.seed)] = float(row.value)

    def cells(self, where: str) -> pd.DataFrame:
        """Return the cells of every table that was added, sorted; empties what is held."""
        columns, names = {}, {}
        for column in [*CELL, "value"]:
            columns[column] = np.concatenate([part.pop(column) for part in self._parts])
            if column in self._names:
                names[column] = sorted(self._names[column])
                rank = np.empty(len(names[column]), np.int32)
                rank[[self._names[column][n] for n in names[column]]] = np.arange(len(rank))
                columns[column] = rank[columns[column]]
                columns[column] = columns[column].astype(np.min_scalar_type(-len(rank)))
        joint = _joint([columns[c] for c in CELL])
        order = np.argsort(joint, kind="stable")
        joint = joint[order]
        repeated = np.flatnonzero(joint[1:] == joint[:-1])
        columns = {c: values[order] for c, values in columns.items()}
        frame = pd.DataFrame(
            {
                c: pd.Categorical.from_codes(columns.pop(c), names[c]) if c in names else columns[c]
                for c in [*CELL, "value"]
            },
            copy=False,
        )
        if len(repeated):
            _refuse_repeats(frame.iloc[repeated], where)
        return frame

    def success(self) -> pd.DataFrame:
        """Return items, successes and the sum of successful values a method and metric."""
        every = pd.concat(self._success, ignore_index=True)
        return every.groupby(SUCCESS, observed=True, sort=True).sum().reset_index()


def _checked(rows: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the table with its defaults filled in; raises InputError for what cannot be."""
    rows = rows.copy(deep=False)
    for column, value in DEFAULTS.items():
        if column not in rows:
            rows[column] = value
    missing = [c for c in COLUMNS if c not in rows]
    if missing:
        raise InputError(
            f"{where}: lacks the column {missing[0]}; columns are {', '.join(COLUMNS)}"
        )
    if rows.empty:
        raise InputError(f"{where}: has no rows; score it again")
    for column in ("query", "scene"):
        if rows[column].isna().any():
            rows[column] = rows[column].astype(object).where(rows[column].notna(), "")
    for column in ("method", "split", "subset", "metric"):
        if rows[column].isna().any():
            raise InputError(f"{where}: a row has no {column}; name it")
    seeds, values = (pd.to_numeric(rows[c], errors="coerce") for c in ("seed", "value"))
    if seeds.isna().any() or (seeds != seeds.round()).any():
        bad = rows["seed"][seeds.isna() | (seeds != seeds.round())].iloc[0]
        raise InputError(f"{where}: seed {bad} is not a whole number; number the trainings")
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
        "stands there twice; give each method its own name"
    )


def _joint(columns: list[np.ndarray]) -> np.ndarray:
    """Return an int64 a row, equal and ordered as the combinations of the columns [n] are."""
    joint = np.zeros(len(columns[0]), np.int64)
    reach = 1
    for column in columns:
        low = int(column.min(initial=0))
        width = int(column.max(initial=0)) - low + 1
        if reach * width >= 2**62:
            joint = np.unique(joint, return_inverse=True)[1]
            reach = int(joint.max(initial=0)) + 1
        joint *= width
        joint += column
        joint -= low
        reach *= width
    return joint


def _sidecars(files: list[Path]) -> dict[str, dict[str, Any]]:
    methods: dict[str, dict[str, Any]] = {}
    for file in files:
        sidecar = file.with_suffix(".json")
        if not sidecar.exists():
            continue
        said = read_json(sidecar)
        method, seed = file.parent.parent.name, file.parent.name
        into = methods.setdefault(
            method, {"costs": [], "produces": [], "reasons": {}, "floors": {}}
        )
        into["stochastic"] = bool(said.get("stochastic", True)) or into.get("stochastic", False)
        into["produces"] = sorted({*into["produces"], *said.get("produces", [])})
        into["reasons"] |= said.get("reasons") or {}
        into["floors"][file.stem] = said.get("floors") or {}
        into["costs"].append({"seed": seed, "split": file.stem, **(said.get("cost") or {})})
    return methods


def blocks(table: ScoreTable) -> Iterator[tuple[tuple[str, str, str], dict[str, Block]]]:
    """Yield ((split, subset, metric), {method: Block}) in sorted order."""
    cells = table.cells
    names = {c: list(cells[c].cat.categories) for c in CELL if c != "seed"}
    codes = {c: cells[c].cat.codes.to_numpy() for c in names} | {"seed": cells["seed"].to_numpy()}
    joint = _joint([codes[c] for c in KEY])
    edges = np.flatnonzero(np.diff(joint, prepend=-1, append=joint[-1:] + 1))
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        split, subset, metric = (str(names[c][codes[c][start]]) for c in KEY)
        key = (split, subset, metric)
        axes = [
            np.unique(codes[c][start:end], return_inverse=True) for c in ("method", "seed", "scene")
        ]
        grid = np.full([len(values) for values, _ in axes], np.nan)
        grid[tuple(into for _, into in axes)] = cells["value"].to_numpy()[start:end]
        scenes = np.array([names["scene"][k] for k in axes[2][0]], dtype=object)
        found = {}
        for values, code in zip(grid, axes[0][0], strict=True):
            method = str(names["method"][code])
            stochastic = table.methods.get(method, {}).get("stochastic", True)
            thetas = table.pooled.get(key, {})
            found[method] = _block(method, values, axes[1][0], scenes, thetas, stochastic, key)
        yield key, found


def _block(
    method: str,
    values: np.ndarray,
    seeds: np.ndarray,
    scenes: np.ndarray,
    thetas: dict[tuple[str, int], float],
    stochastic: bool,
    key: tuple[str, str, str],
) -> Block:
    trained = np.isfinite(values).any(1)
    values, numbers = values[trained], [int(s) for s in seeds[trained]]
    here = np.isfinite(values)
    complete = here.all(0)
    lost = int(here.any(0).sum() - complete.sum())
    note = f"{lost} scenes left out: not scored for every seed" if lost else ""
    values = values[:, complete]
    theta = None
    if (method, numbers[0]) in thetas:
        theta = np.array([thetas.get((method, seed), np.nan) for seed in numbers])
    if not stochastic and len(numbers) > 1:
        if np.abs(values - values[:1]).max(initial=0) > 1e-9:
            raise InputError(
                f"{method}: declared deterministic, but {key[2]} on {key[0]} differs between seeds;"
                " declare it stochastic"
            )
        values, numbers, theta = values[:1], numbers[:1], None if theta is None else theta[:1]
    names = tuple(str(s) for s in scenes[complete])
    return Block(method, values, theta, tuple(numbers), names, stochastic, note)
