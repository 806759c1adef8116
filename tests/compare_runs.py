"""Compare two finished experiments value by value: `python -m tests.compare_runs BEFORE AFTER`.

Used after a refactoring, which must leave every value of scores, statistics and tables equal to the
bit. Tensors, tables and JSON are compared by content, so the order of keys and the compression of
a file do not count. What may differ is listed in `EXEMPT`: measured times, hashes of code, and the
wording of pages, whose numbers must agree all the same. Exits with 1 on any other difference.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

# Files and JSON keys whose values depend on the clock, the machine or the text of the code.
EXEMPT_FILES = re.compile(
    r"^(logs|benchmarks|checkpoints)/|(^|/)(manifest|cost)\.json$|crate\.zip$|"
    r"^report\.html$|^tables/cost\.|^verification\.|stamp|\.(pdf|png)$|^figures/cost"
)
EXEMPT_KEYS = {
    "cost",
    "costs",
    "code",
    "key",
    "stamp",
    "description",
    "reasons",
    "wall_seconds",
    "seconds",
}
EXEMPT_COLUMNS = {"note", "wall_seconds", "cpu_seconds", "seconds", "question", "caption", "label"}
NUMBER = re.compile(r"[-−]?\d+(?:[.,]\d+)*|\.\d+")


def differences(before: Path, after: Path) -> Iterator[str]:
    """Yield one line for each file that is missing or differs."""
    names = [
        {p.relative_to(f).as_posix() for p in f.rglob("*") if p.is_file()} for f in (before, after)
    ]
    names = [{name for name in found if not EXEMPT_FILES.search(name)} for found in names]
    for name in sorted(names[0] - names[1]):
        yield f"{name}: only before"
    for name in sorted(names[1] - names[0]):
        yield f"{name}: only after"
    for name in sorted(names[0] & names[1]):
        fault = compare_files(before / name, after / name)
        if fault:
            yield f"{name}: {fault}"


def compare_files(before: Path, after: Path) -> str:
    """Return how two files of one name differ, "" where their values are equal."""
    readers = {
        ".safetensors": _tensors,
        ".parquet": _parquet,
        ".csv": _csv,
        ".json": _json,
        ".jsonl": lambda path: [
            _without_exempt(json.loads(line)) for line in path.read_text("utf-8").splitlines()
        ],
        ".md": _numbers,
        ".tex": _numbers,
        ".txt": _numbers,
    }
    read = readers.get(before.suffix, Path.read_bytes)
    if before.read_bytes() == after.read_bytes():
        return ""
    return _difference(read(before), read(after))


def _difference(before: Any, after: Any, place: str = "") -> str:
    """Return the first place where two values differ; NaN equals NaN, bits count, not closeness."""
    if isinstance(before, dict) and isinstance(after, dict):
        if before.keys() != after.keys():
            return f"{place or 'keys'}: {sorted(map(str, before.keys() ^ after.keys()))[:4]}"
        pairs = [(str(key), before[key], after[key]) for key in before]
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            return f"{place or 'length'}: {len(before)} and {len(after)}"
        pairs = [(str(row), a, b) for row, (a, b) in enumerate(zip(before, after, strict=True))]
    elif isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        same = before.dtype == after.dtype and before.shape == after.shape
        same = same and before.tobytes() == after.tobytes()
        return "" if same else f"{place}: arrays differ"
    else:
        both_nan = before != before and after != after
        same = type(before) is type(after) and (before == after or both_nan)
        return "" if same else f"{place}: {str(before)[:60]!r} and {str(after)[:60]!r}"
    for key, a, b in pairs:
        if fault := _difference(a, b, f"{place}/{key}"):
            return fault
    return ""


def _tensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(path)


def _json(path: Path) -> Any:
    """Return a JSON document; that of a model without its key, which hashes code."""
    document = json.loads(path.read_text("utf-8"))
    if path.name == "config.json" and document.get("format") == "g2vlm-model":
        document["key"] = None
    return _without_exempt(document)


def _parquet(path: Path) -> dict[str, list[Any]]:
    import pyarrow.parquet as pq

    columns = pq.read_table(path).to_pydict()
    return {name: values for name, values in columns.items() if name not in EXEMPT_COLUMNS}


def _csv(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [{k: v for k, v in row.items() if k not in EXEMPT_COLUMNS} for row in rows]


def _numbers(path: Path) -> list[str]:
    numbers = NUMBER.findall(path.read_text(encoding="utf-8"))
    # .05 and 0.05 are one number.
    return [f"0{number}" if number.startswith(".") else number for number in numbers]


def _without_exempt(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_exempt(v) for k, v in value.items() if k not in EXEMPT_KEYS}
    return [_without_exempt(item) for item in value] if isinstance(value, list) else value


def main() -> int:
    """Print every difference and a count by kind of file."""
    parser = argparse.ArgumentParser(prog="python -m tests.compare_runs", description=__doc__)
    parser.add_argument("before", type=Path, help="results folder from before the change")
    parser.add_argument("after", type=Path, help="results folder from after it")
    folders = parser.parse_args()
    found = list(differences(folders.before, folders.after))
    print("\n".join(found))
    names = [p.relative_to(folders.before).as_posix() for p in folders.before.rglob("*")]
    compared = Counter(Path(n).suffix for n in names if not EXEMPT_FILES.search(n) and "." in n)
    print(f"{len(found)} differences; compared {dict(compared.most_common())}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
