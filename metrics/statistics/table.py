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
CELL = ["method", *KEY, "seed", "scene"]
SUCCESS = ["method", *KEY]


@dataclass(frozen=True)
class ScoreTable:
    """Scores with queries already averaged.

    `cells`: method, split, subset, metric, seed, scene, value (a mean over queries, or the
    pseudo-value of a pooled metric); `pooled`: the same without scene, value the pooled estimate;
    `success`: method, split, subset, metric, items, succeeded, succeeded_sum; `methods`: per method
    what its sidecars say ("stochastic", "produces", "reasons", "costs", "floors").
    """

    cells: pd.DataFrame
    pooled: pd.DataFrame
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
        values = self.values
        if scenes is not None and scenes != self.scenes:
            where = {scene: column for column, scene in enumerate(self.scenes)}
            values = values[:, [where[scene] for scene in scenes]]
        return moments.summarise(values, self.theta, self.stochastic)


def load(source: str | Path | pd.DataFrame, config: dict[str, Any] | None = None) -> ScoreTable:
    """Read a scores folder (method/seed/split.parquet), one parquet or csv file, or a frame.

    `config["deterministic"]` names the methods without a seed axis where no sidecar says so.
    Raises InputError for missing columns, values that are not finite, or repeated rows.
    """
    if isinstance(source, pd.DataFrame):
        parts, methods = [_fold(source, "the table")], {}
    else:
        files = _files(Path(source))
        parts = [_fold(_read(file), str(file)) for file in files]
        methods = _sidecars(files)
    cells, pooled, success = (pd.concat([p[k] for p in parts], ignore_index=True) for k in range(3))
    _refuse_repeats(cells, CELL, source)
    _refuse_repeats(pooled, CELL[:-1], source)
    success = success.groupby(SUCCESS, observed=True, sort=True).sum().reset_index()
    for name in (config or {}).get("deterministic", []):
        methods.setdefault(name, {})["stochastic"] = False
    return ScoreTable(cells, pooled, success, methods)


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


def _fold(rows: pd.DataFrame, name: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Check one table and average its queries within (method, seed, scene)."""
    rows = rows.copy(deep=False)
    defaults = {"query": "", "subset": "all", "split": "test", "kind": "item", "succeeded": True}
    for column, value in defaults.items():
        if column not in rows:
            rows[column] = value
    missing = [c for c in COLUMNS if c not in rows]
    if missing:
        raise InputError(f"{name}: lacks the column {missing[0]}; columns are {', '.join(COLUMNS)}")
    rows[["query", "scene"]] = rows[["query", "scene"]].fillna("").astype(str)
    bad = ~np.isfinite(rows["value"].to_numpy(np.float64))
    if bad.any():
        row = rows[bad].iloc[0]
        raise InputError(
            f"{name}: {row['metric']} of {row['method']}, seed {row['seed']}, scene "
            f"{row['scene'] or '(pooled)'} is {row['value']}; score failures at the worst value"
        )
    rows["succeeded"] = rows["succeeded"].astype(bool)
    _refuse_repeats(rows, [*CELL, "query", "kind"], name)
    is_pooled = rows["kind"] == "pooled"
    items, pooled = rows[~is_pooled], rows[is_pooled]
    cells = items.groupby(CELL, observed=True, sort=True)["value"].mean().reset_index()
    counted = pd.DataFrame(
        {c: items[c] for c in SUCCESS}
        | {
            "items": 1,
            "succeeded": items["succeeded"].astype(int),
            "succeeded_sum": items["value"].where(items["succeeded"], 0.0),
        }
    )
    success = counted.groupby(SUCCESS, observed=True, sort=True).sum().reset_index()
    return cells, pooled[[*CELL[:-1], "value"]].reset_index(drop=True), success


def _refuse_repeats(rows: pd.DataFrame, key: list[str], name: Any) -> None:
    repeated = rows.duplicated(key)
    if repeated.any():
        row = rows[repeated].iloc[0]
        raise InputError(
            f"{name if isinstance(name, str | Path) else 'the table'}: {row['metric']} of "
            f"{row['method']}, seed {row['seed']}, split {row['split']} stands there twice; "
            "give each method its own name"
        )


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
    pooled = {key: rows for key, rows in table.pooled.groupby(KEY, observed=True)}
    for key, rows in table.cells.groupby(KEY, observed=True, sort=True):
        grid = rows.pivot(index=["method", "seed"], columns="scene", values="value")
        theta = pooled.get(key)
        thetas = None if theta is None else theta.set_index(["method", "seed"])["value"]
        found = {}
        for method in grid.index.get_level_values(0).unique():
            stochastic = table.methods.get(method, {}).get("stochastic", True)
            found[method] = _block(method, grid.loc[method], thetas, stochastic, key)
        yield key, found


def _block(
    method: str,
    grid: pd.DataFrame,
    thetas: pd.Series | None,
    stochastic: bool,
    key: tuple[str, str, str],
) -> Block:
    values = grid.to_numpy(np.float64)
    here = np.isfinite(values)
    scored_somewhere = here.any(0)
    complete = here.all(0)
    lost = int(scored_somewhere.sum() - complete.sum())
    note = f"{lost} scenes left out: not scored for every seed" if lost else ""
    seeds = tuple(int(s) for s in grid.index)
    values = values[:, complete]
    theta = None
    if thetas is not None and method in thetas.index.get_level_values(0):
        theta = thetas.loc[method].reindex(list(seeds)).to_numpy(np.float64)
        if np.isnan(theta).any():
            raise InputError(f"{method}: {key[2]} on {key[0]} lacks a pooled value; score it again")
    if not stochastic and len(seeds) > 1:
        if np.abs(values - values[:1]).max(initial=0) > 1e-9:
            raise InputError(
                f"{method}: declared deterministic, but {key[2]} on {key[0]} differs between seeds;"
                " declare it stochastic"
            )
        values, seeds, theta = values[:1], seeds[:1], None if theta is None else theta[:1]
    scenes = tuple(str(s) for s in grid.columns[complete])
    return Block(method, values, theta, seeds, scenes, stochastic, note)
