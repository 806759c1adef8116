"""Per-sample logs of lm-evaluation-harness and lmms-eval (`--log_samples`).

lm-evaluation-harness 0.4 writes `samples_<task>_<date>.jsonl` with `results_<date>.json` next to
it, lmms-eval `<date>_samples_<task>.jsonl` with `<date>_results.json`. A row holds `doc_id`,
`doc_hash`, the responses and one key for each metric of the task; lm-evaluation-harness also lists
these keys in `metrics` and writes a row for each `filter`. lmms-eval leaves `doc` out, but tasks
whose metrics are aggregated from records (VSI-Bench, MMSI-Bench) put a record in each metric's
key, often the same one in all of them.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from metrics.files import InputError, read_json
from metrics.results.long_table import (
    CLUSTER_COLUMNS,
    SCORE_FIELDS,
    UNSTATED,
    LongTable,
    Options,
    Reader,
    Source,
    as_values,
    is_name,
    seed_of_path,
    split_seed,
)

# (name of a samples file, name of the results file next to it)
_LAYOUTS = (
    (
        re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl"),
        "results_{date}.json",
    ),
    (re.compile(r"(?P<date>\d{8}_\d{6})_samples_(?P<task>.+)\.jsonl"), "{date}_results.json"),
)
# Keys of a row that hold no metric, for logs without the key `metrics`.
_NO_METRIC = {
    *("doc_id", "doc", "target", "arguments", "input", "resps", "filtered_resps", "filter"),
    *("metrics", "doc_hash", "prompt_hash", "target_hash", "token_counts", "input_media"),
}
_VERSIONS = re.compile(r"0\.4(\.|$)")
_SCORES = frozenset(SCORE_FIELDS)
_LONGEST_LINE = 1 << 28
_CONVERT = "log the samples with lm_eval 0.4 or lmms-eval, or write them as a CSV"


@dataclass
class _Columns:
    """The long table while a log is read, with what was left out."""

    clusters: list[str]
    items: list[str]
    metrics: list[str]
    values: list[float]
    skipped: set[str]


class SampleLog(Reader):
    """One file of samples."""

    name = "samples of lm_eval or lmms-eval"
    priority = 30

    def recognise(self, path: Path) -> bool:
        """Return whether the first row is the JSON object of a sample."""
        with path.open("rb") as handle:
            if handle.peek(1)[:1] != b"{":
                return False
            line = handle.readline(_LONGEST_LINE)
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return False
        return "doc_id" in row and bool({"doc_hash", "resps", "filtered_resps"} & row.keys())

    def read(self, source: Source, options: Options) -> LongTable:
        """Return the metrics with a number for each sample."""
        import pandas as pd

        file = str(source.path)
        task, beside = _task_and_results(source.path)
        results = read_json(beside, _CONVERT) if beside else {}
        if not isinstance(results, dict):
            raise InputError(f"{beside}: holds no results; {_CONVERT}")
        version = results.get("lm_eval_version")
        if isinstance(version, str) and version[:1].isdigit() and not _VERSIONS.match(version):
            raise InputError(f"{beside}: is of lm_eval {version}, which is not known; {_CONVERT}")
        if options.seed_column is not None:
            raise InputError(
                f"{file}: a log of samples has no seed column; state the seed in the file's name "
                "or folder, as in seed3/, and leave out --seed-column"
            )
        method, seed = _method_and_seed(source, results)
        found, cluster = _read_rows(source.path, options)
        rows = pd.DataFrame(
            {
                "method": method,
                "seed": seed,
                "cluster": pd.Series(found.clusters, dtype="str"),
                "item": pd.Series(found.items, dtype="str"),
                "metric": pd.Categorical(found.metrics),
                "value": pd.Series(found.values, dtype="float64"),
            }
        )
        if rows.empty:
            raise InputError(
                f"{file}: no metric has a number for each sample"
                f"{_listed(found.skipped)}; write the scores as a CSV"
            )
        rows["metric"] = rows["metric"].cat.rename_categories(lambda metric: f"{task}/{metric}")
        rows["value"] = as_values(rows["value"], rows, file)
        notes = []
        if found.skipped:
            notes.append(
                f"{file}: metrics without a number for each sample left out: "
                f"{', '.join(sorted(found.skipped))}"
            )
        return LongTable(file, rows, cluster, _directions(results, task, rows), tuple(notes))


def _listed(names: set[str]) -> str:
    return f" ({', '.join(sorted(names))})" if names else ""


def _task_and_results(path: Path) -> tuple[str, Path | None]:
    """Return the task of a log and its results file; a renamed log takes the only one there is."""
    for pattern, beside in _LAYOUTS:
        found = pattern.fullmatch(path.name)
        if found:
            results = path.with_name(beside.format(date=found["date"]))
            if results.is_file():
                return found["task"], results
            return found["task"], None
    results_here = sorted(path.parent.glob("*results*.json"))
    return split_seed(path.stem)[0], results_here[0] if len(results_here) == 1 else None


def _method_and_seed(source: Source, results: dict[str, Any]) -> tuple[str, str]:
    config = results.get("config")
    model = results.get("model_name") or (config.get("model") if isinstance(config, dict) else None)
    name, seed = split_seed(model) if isinstance(model, str) else ("", None)
    method = source.method or name
    if not method:
        raise InputError(
            f"{source.path}: no results file next to it names the model; copy it there, or write "
            f"NAME={source.path.name}"
        )
    return method, seed_of_path(source.path) or seed or UNSTATED


def _directions(results: dict[str, Any], task: str, rows: Any) -> dict[str, bool]:
    """Return the directions that the results file states, by the table's names of metrics."""
    stated = results.get("higher_is_better")
    of_task = stated.get(task) if isinstance(stated, dict) else None
    if not isinstance(of_task, dict):
        return {}
    directions = {}
    for metric in rows["metric"].cat.categories:
        base = metric.removeprefix(f"{task}/").rsplit(",", 1)[0]
        if isinstance(of_task.get(base), bool):
            directions[metric] = of_task[base]
    return directions


def _parse(line: bytes) -> Any:
    """Return the value of a row; the standard library reads NaN and what else is not strict."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the value of each row."""
    with path.open("rb") as handle:
        for number, line in enumerate(handle, 1):
            # `metrics.files.parse_json` checks more and is ten times slower; here a value is used
            # as a number or a name only.
            try:
                row = _parse(line)
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"{path}: row {number} is not valid JSON ({error}); log the samples again"
                ) from error
            if not isinstance(row, dict) or "doc_id" not in row or "doc_hash" not in row:
                raise InputError(
                    f"{path}: row {number} has no doc_id or doc_hash: a log of an unknown version; "
                    f"{_CONVERT}"
                )
            yield number, row


def _read_rows(path: Path, options: Options) -> tuple[_Columns, str | None]:
    """Return the columns of a log and the name of its clusters, None where they are unknown."""
    clusters, items, metrics, values = [], [], [], []
    skipped: set[str] = set()
    place: tuple[str, str] | None = None
    for number, row in _rows(path):
        keys = row.get("metrics")
        if not isinstance(keys, list):
            keys = [key for key in row if key not in _NO_METRIC]
        if number == 1:
            place = _cluster_place(path, row, keys, options)
        item = str(row["doc_id"])
        cluster = item if place is None else _cluster(path, number, row, place)
        name = row.get("filter")
        for metric, value in _scores(path, number, row, keys, skipped):
            clusters.append(cluster)
            items.append(item)
            metrics.append(metric if name is None or name == "none" else f"{metric},{name}")
            values.append(value)
    half = skipped & {metric.rsplit(",", 1)[0] for metric in set(metrics)}
    if half:
        raise InputError(
            f"{path}: {sorted(half)[0]} is a number in some rows only; log the samples again"
        )
    found = _Columns(clusters, items, metrics, _as_floats(values), skipped)
    return found, None if place is None else place[1]


def _as_floats(values: list[float]) -> list[float]:
    """Return numbers as floats; infinity, which is refused, for integers that do not fit."""
    try:
        return list(map(float, values))
    except OverflowError:
        return [math.inf if abs(value) > sys.float_info.max else float(value) for value in values]


def _records(row: dict[str, Any], keys: list[str]) -> dict[str, dict[str, Any]]:
    """Return the objects of a row that can name its cluster, by key, "" for the row itself."""
    inner = ["doc", *keys]
    return {"": row} | {key: row[key] for key in inner if isinstance(row.get(key), dict)}


def _cluster_place(
    path: Path, row: dict[str, Any], keys: list[str], options: Options
) -> tuple[str, str] | None:
    """Return the object and the name that hold a row's cluster; None where no rule finds one."""
    records = _records(row, keys)
    for name in (options.cluster,) if options.cluster else CLUSTER_COLUMNS:
        for key, record in records.items():
            if is_name(record.get(name)):
                return key, name
    if options.cluster:
        known = sorted({n for r in records.values() for n, v in r.items() if is_name(v)})
        raise InputError(
            f"{path}: row 1 has no {options.cluster!r}; name one of {', '.join(known)} by --cluster"
        )
    return None


def _cluster(path: Path, number: int, row: dict[str, Any], place: tuple[str, str]) -> str:
    key, name = place
    record = row.get(key) if key else row
    value = record.get(name) if isinstance(record, dict) else None
    if value is None and key:
        # Records of another metric hold the cluster in tasks with one metric a question type.
        others = (r.get(name) for r in row.values() if isinstance(r, dict))
        value = next((v for v in others if v is not None), None)
    if not is_name(value):
        raise InputError(f"{path}: row {number} has no {name}; name another key by --cluster")
    return str(value)


def _scores(
    path: Path, number: int, row: dict[str, Any], keys: list[str], skipped: set[str]
) -> list[tuple[str, float]]:
    """Return the name and the number of each score of a row."""
    # A log can hold a million rows: a list is faster than a generator.
    scores, records = [], {}
    for key in keys:
        value = row.get(key)
        if isinstance(value, (int, float)):
            scores.append((key, value))
        elif isinstance(value, dict):
            records[key] = value
        elif value is None:
            raise InputError(f"{path}: row {number} has no {key}; log the samples again")
        else:
            skipped.add(key)
    if len(records) > 1:
        held = list(records.values())
        if held.count(held[0]) == len(held):
            # One record under the names of all metrics, each of which averages a part of the rows.
            records = {"": held[0]}
    for key, record in records.items():
        fields = [
            name for name in _SCORES.intersection(record) if isinstance(record[name], (int, float))
        ]
        if not fields and key:
            skipped.add(key)
        for name in fields:
            metric = f"{key}.{name}" if key and len(fields) > 1 else key or name
            scores.append((metric, record[name]))
    return scores
