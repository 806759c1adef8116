"""The experiment in one small JSON file, for `dvc metrics` and for scripts."""

from __future__ import annotations

from pathlib import Path

from metrics.files import InputError, write_json

COLUMNS = ("split", "method", "subset", "metric", "mean")


def write_summary(estimates: Path, path: Path) -> None:
    """Write {split: {method: {metric: mean over all scenes and seeds}}} of the estimates' table.

    `estimates` is Parquet, a row a method, split, subset and metric; subsets are left out.
    """
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(estimates, columns=list(COLUMNS)).to_pylist()
    except (OSError, ValueError) as error:
        raise InputError(f"{estimates}: not a table of estimates; run `compare` again") from error
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in sorted(rows, key=lambda row: tuple(row[name] for name in COLUMNS[:4])):
        mean = row["mean"]
        if row["subset"] == "all" and mean is not None and mean == mean:
            of_method = found.setdefault(row["split"], {}).setdefault(row["method"], {})
            of_method[row["metric"]] = round(mean, 6)
    write_json(path, found)
