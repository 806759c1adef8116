"""Score tables of this project, read next to results of other harnesses."""

from __future__ import annotations

from pathlib import Path

from metrics.files import InputError
from metrics.results.long_table import (
    COLUMNS,
    LongTable,
    Options,
    Reader,
    Source,
    begins_with,
)
from metrics.results.readers.plain_table import PARQUET_MAGIC, columns_of
from metrics.rows import ALL

_REQUIRED = {"method", "seed", "scene", "metric", "value"}


class ScoreTable(Reader):
    """A table that `python -m metrics score` writes, or one with its columns."""

    name = "a score table of this project"
    priority = 10

    def recognise(self, path: Path) -> bool:
        """Return whether a table has the scorer's columns, scenes and whole numbers as seeds."""
        columns = set(columns_of(path))
        if not columns >= _REQUIRED or columns & {"item", "cluster"}:
            return False
        import pandas as pd

        if begins_with(path, PARQUET_MAGIC):
            import pyarrow as pa
            import pyarrow.parquet as pq

            kind = pq.read_schema(path).field("seed").type
            return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
        try:
            seeds = pd.read_csv(path, usecols=["seed"])["seed"]
        except ValueError:  # whoever reads it as a score table says what is wrong
            return True
        return pd.api.types.is_numeric_dtype(seeds)

    def read(self, source: Source, options: Options) -> LongTable:
        """Return the scores of items over all queries; pooled metrics have none."""
        from metrics.statistics.table import check_rows, read_scores

        file = str(source.path)
        if options.cluster or options.seed_column:
            raise InputError(
                f"{file}: a score table has its scenes and seeds in the columns scene and seed; "
                "leave out --cluster and --seed-column"
            )
        table = check_rows(read_scores(source.path), file)
        splits = sorted(table["split"].unique())
        if len(splits) > 1:
            raise InputError(f"{file}: holds the splits {', '.join(splits)}; give one split a file")
        pooled = sorted(table.loc[table["kind"] != "item", "metric"].unique())
        table = table[(table["kind"] == "item") & (table["subset"] == ALL)]
        if table.empty:
            raise InputError(f"{file}: no metric has scores of items; compare it by itself")
        rows = table.rename(columns={"scene": "cluster", "query": "item"})
        rows = rows.astype({"seed": "int64", "value": "float64"}).astype(
            {name: "str" for name in COLUMNS if name != "value"}
        )
        if source.method:
            rows = rows.assign(method=source.method)
        notes = ()
        if pooled:
            notes = (f"{file}: metrics pooled over scenes left out: {', '.join(pooled)}",)
        return LongTable(file, rows[list(COLUMNS)].reset_index(drop=True), "scene", notes=notes)
