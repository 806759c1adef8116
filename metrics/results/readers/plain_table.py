"""A plain table, CSV, TSV or Parquet, in long or in wide form.

Long form has the columns `method, seed, scene, item, metric, value`; wide form has one column for
each metric in place of the last two. Clusters, items and seeds may have other names, see
`metrics.results.long_table`.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from metrics.files import InputError
from metrics.results.long_table import (
    CLUSTER_COLUMNS,
    ITEM_COLUMNS,
    SEED_COLUMN,
    UNSTATED,
    LongTable,
    Options,
    Reader,
    Source,
    as_names,
    as_values,
    begins_with,
    find_column,
    require_columns,
    seed_of_path,
    stack_metrics,
)

if TYPE_CHECKING:
    import pandas as pd

PARQUET_MAGIC = b"PAR1"
# Cells of a column of numbers that hold none.
_BLANK = ["", "nan", "na", "n/a", "null", "none", "inf", "-inf", "infinity", "-infinity"]
_LONGEST_HEADER = 1 << 20


def columns_of(path: Path) -> tuple[str, ...]:
    """Return the names of the columns of a CSV, TSV or Parquet file; none for any other file."""
    if begins_with(path, PARQUET_MAGIC):
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return tuple(pq.read_schema(path).names)
        except (OSError, pa.ArrowInvalid):
            return ()
    try:
        header = _header(path)
        return tuple(next(csv.reader([header], delimiter=_separator(header)), ()))
    except (UnicodeDecodeError, csv.Error):
        return ()


def _header(path: Path) -> str:
    """Return the first line of a text file."""
    with path.open("rb") as handle:
        return handle.readline(_LONGEST_HEADER).decode("utf-8-sig").rstrip("\r\n")


def _separator(header: str) -> str:
    return "\t" if header.count("\t") > header.count(",") else ","


def read_table(path: Path) -> pd.DataFrame:
    """Return a CSV, TSV or Parquet file; columns that can be names as text.

    Raises:
        InputError: the file is malformed.
    """
    import pandas as pd

    columns = columns_of(path)
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise InputError(f"{path}: has two columns {twice!r}; rename one")
    try:
        if begins_with(path, PARQUET_MAGIC):
            return pd.read_parquet(path)
        names = {"method", "metric", SEED_COLUMN, *CLUSTER_COLUMNS, *ITEM_COLUMNS}
        return pd.read_csv(
            path,
            sep=_separator(_header(path)),
            dtype={name: "str" for name in columns if name in names},
            keep_default_na=False,
            encoding="utf-8-sig",
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); write the table again") from error


class PlainTable(Reader):
    """A table of results without the conventions of any harness."""

    name = "a CSV or Parquet table"
    priority = 90

    def recognise(self, path: Path) -> bool:
        """Return whether the columns name metrics and values, or methods or items."""
        columns = set(columns_of(path))
        known = {"method", *CLUSTER_COLUMNS, *ITEM_COLUMNS} & columns
        return {"metric", "value"} <= columns or (bool(known) and len(columns) > 1)

    def read(self, source: Source, options: Options) -> LongTable:
        """Return the table in long form."""
        import pandas as pd

        file, table = str(source.path), read_table(source.path)
        if table.empty:
            raise InputError(f"{file}: has no rows; write the table again")
        require_columns(options, table.columns, file)
        cluster = options.cluster or find_column(table.columns, CLUSTER_COLUMNS)
        item = find_column(table.columns, (name for name in ITEM_COLUMNS if name != cluster))
        seed = options.seed_column or find_column(table.columns, (SEED_COLUMN,))
        if item is None and cluster is None:
            raise InputError(
                f"{file}: has neither items nor scenes; add a column item and, where items share a "
                "scene, a column scene"
            )
        names = pd.DataFrame(
            {
                "method": _methods(table, source, file),
                "seed": seed_of_path(source.path) or UNSTATED
                if seed is None
                else as_names(table[seed], file),
                "cluster": as_names(table[cluster or item], file),
                "item": as_names(table[item or cluster], file),
            }
        )
        if {"metric", "value"} <= set(table.columns):
            rows = names.assign(metric=as_names(table["metric"], file), value=table["value"])
        else:
            taken = {"method", *ITEM_COLUMNS, *CLUSTER_COLUMNS, SEED_COLUMN, cluster, item, seed}
            rows = _stack(table, names, [c for c in table.columns if c not in taken], file)
        rows["value"] = as_values(rows["value"], rows, file)
        return LongTable(file, rows, cluster)


def _methods(table: pd.DataFrame, source: Source, file: str) -> pd.Series | str:
    if source.method:
        return source.method
    if "method" not in table:
        raise InputError(f"{file}: has no column method; add it, or write NAME={file}")
    return as_names(table["method"], file)


def _stack(
    table: pd.DataFrame, names: pd.DataFrame, candidates: list[str], file: str
) -> pd.DataFrame:
    """Return the rows of a wide table with one row for each metric."""
    metrics = [name for name in candidates if _holds_numbers(table[name])]
    if not metrics:
        raise InputError(f"{file}: no column holds numbers; add one column for each metric")
    return stack_metrics(names, {name: table[name] for name in metrics})


def _holds_numbers(values: pd.Series) -> bool:
    """Return whether a column holds numbers, also where some cells are blank or NaN."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values):
        return True
    numbers = pd.to_numeric(values, errors="coerce")
    if not numbers.notna().any():
        return False
    others = values[numbers.isna()].astype("str").str.strip().str.lower()
    return bool(others.isin(_BLANK).all())
