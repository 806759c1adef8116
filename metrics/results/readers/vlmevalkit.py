"""Judged result tables of VLMEvalKit, xlsx or tsv.

VLMEvalKit writes `<model>/T<date>_G<commit>/<model>_<dataset>_<judge>_result.xlsx` (also tsv): one
row for each question with `index`, `question`, `answer`, `prediction` and the score of the row,
`hit` or `score`; video data sets have a column `video`. The table names no model: it is that of the
folder whose name the file's name begins with, or `NAME=FILE`.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from metrics.files import InputError
from metrics.results.long_table import (
    CLUSTER_COLUMNS,
    SCORE_FIELDS,
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
    split_seed,
    stack_metrics,
)
from metrics.results.readers.plain_table import columns_of, read_table

if TYPE_CHECKING:
    import pandas as pd

_ZIP_MAGIC = b"PK\x03\x04"
_WORKBOOK = "xl/workbook.xml"


class JudgedTable(Reader):
    """One judged table."""

    name = "a judged table of VLMEvalKit"
    priority = 20

    def recognise(self, path: Path) -> bool:
        """Return whether a file is a workbook, or a table with an index and predictions."""
        if not begins_with(path, _ZIP_MAGIC):
            return {"index", "prediction"} <= set(columns_of(path))
        try:
            with zipfile.ZipFile(path) as archive:
                return _WORKBOOK in archive.namelist()
        except (zipfile.BadZipFile, OSError):
            return False

    def read(self, source: Source, options: Options) -> LongTable:
        """Return the scores of the questions."""
        import pandas as pd

        file, table = str(source.path), _read(source.path)
        if not {"index", "prediction"} <= set(table.columns):
            raise InputError(
                f"{file}: has no columns index and prediction, so VLMEvalKit did not write it; "
                "write it as a CSV"
            )
        scores = [name for name in SCORE_FIELDS if name in table]
        if not scores or table.empty:
            raise InputError(
                f"{file}: holds predictions without scores; give the judged table, whose name ends "
                "in _result"
            )
        require_columns(options, table.columns, file)
        seed = options.seed_column or find_column(table.columns, (SEED_COLUMN,))
        cluster = options.cluster or _cluster_column(table)
        method, task = _method_and_task(source)
        stated = seed_of_path(source.path) or split_seed(method)[1] or UNSTATED
        names = pd.DataFrame(
            {
                "method": source.method or split_seed(method)[0],
                "seed": stated if seed is None else as_names(table[seed], file),
                "cluster": as_names(table[cluster or "index"], file),
                "item": as_names(table["index"], file),
            }
        )
        rows = stack_metrics(names, {f"{task}/{name}": table[name] for name in scores})
        rows["value"] = as_values(rows["value"], rows, file)
        return LongTable(file, rows, cluster)


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    if not begins_with(path, _ZIP_MAGIC):
        return read_table(path)
    try:
        return pd.read_excel(path, engine="openpyxl", keep_default_na=False)
    except ImportError as error:
        raise InputError(
            f"{path}: reading xlsx needs openpyxl; pip install 'g2vlm[xlsx]', or save it as TSV"
        ) from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read ({error}); write the table again") from error


def _cluster_column(table: pd.DataFrame) -> str | None:
    """Return the column of clusters; images that are held as base64 are no names."""
    names = [
        name
        for name in table.columns
        if name not in ("image", "image_path") or table[name].astype("str").str.len().max() <= 256
    ]
    return find_column(names, CLUSTER_COLUMNS)


def _method_and_task(source: Source) -> tuple[str, str]:
    """Return the model and the data set with its judge, from the names of file and folders."""
    stem = source.path.stem.removesuffix("_result")
    folders = [folder.name for folder in source.path.absolute().parents if folder.name]
    model = next((name for name in folders if stem.startswith(f"{name}_")), None)
    if model is None and source.method and stem.startswith(f"{source.method}_"):
        model = source.method
    if model is None and source.method is None:
        raise InputError(
            f"{source.path}: no folder names the model with which the file's name begins; write "
            f"NAME={source.path.name}"
        )
    task = stem if model is None else stem.removeprefix(f"{model}_")
    return source.method or str(model), split_seed(task)[0]
