"""Read files that a stranger wrote: regular, of bounded size, and every fault in one line.

Nothing here unpickles, follows a link, or allocates what a header merely promises.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metrics.files import InputError
from metrics.schemas import printable, schema_faults, short_repr

MEBIBYTE = 1 << 20
# Largest sizes in bytes. A thousand scenes of a million points each fit.
LIMITS = {
    "manifest.json": 16 * MEBIBYTE,
    "geometry.safetensors": 32 * 1024 * MEBIBYTE,
    "objects.jsonl": 512 * MEBIBYTE,
    "relations.jsonl": 512 * MEBIBYTE,
    "grounding.jsonl": 512 * MEBIBYTE,
    "answers.jsonl": 512 * MEBIBYTE,
    "captions.jsonl": 512 * MEBIBYTE,
    "retrieval.json": 64 * MEBIBYTE,
    "retrieval.safetensors": 4 * 1024 * MEBIBYTE,
}
LONGEST_ROW = 16 * MEBIBYTE
LARGEST_HEADER = 16 * MEBIBYTE
MOST_ELEMENTS = 1 << 28
# The keys that name a row's item, by file.
KEYS = {
    "objects.jsonl": ("scene",),
    "relations.jsonl": ("scene",),
    "grounding.jsonl": ("scene", "query"),
    "answers.jsonl": ("scene", "question"),
    "captions.jsonl": ("scene",),
}
_DTYPES = frozenset({"F16", "F32", "F64", "BOOL"} | {f"{k}{n}" for k in "IU" for n in (8, 16, 32)})
_DTYPES |= {"I64", "U64"}


class Invalid(InputError):
    """One item of a submission cannot be used; it is scored as failed and the rest goes on."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a submission, where, and what to do about it.

    Attributes:
        file: name inside the submission's folder; row: line of it, from 1, or None.
        item: scene, scene/query or tensor, "" for the whole file.
        what: the fault; mend: what to do.
    """

    file: str
    row: int | None
    item: str
    what: str
    mend: str

    def __str__(self) -> str:
        places = [f"row {self.row}" if self.row is not None else "", self.item]
        place = ", ".join(part for part in places if part)
        return f"{self.file}: {place + ': ' if place else ''}{self.what}; {self.mend}"


@dataclass
class Rows:
    """What a JSON-lines file holds.

    `items`: sound rows as (row number, value) by key; `spoiled`: why an item cannot be used;
    `faults`: everything wrong with the file, in the order of its rows.
    """

    items: dict[tuple[str, ...], tuple[int, dict[str, Any]]] = field(default_factory=dict)
    spoiled: dict[tuple[str, ...], Fault] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


class NoNumber:
    """What `parse` puts where a file says NaN or Infinity, which are no JSON."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


def parse(text: str | bytes) -> Any:
    """Parse JSON; raises ValueError for whatever cannot be parsed, however deep or long."""
    try:
        return json.loads(text, parse_constant=NoNumber)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def regular_file(path: Path) -> bool:
    """Say whether there is a file to read; raises `Invalid` for one that must not be read."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise Invalid(f"{path}: cannot be read ({error.strerror}); see its rights") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a link" if stat.S_ISLNK(found.st_mode) else "no regular file"
        raise Invalid(f"{path}: is {kind}; put the file itself there")
    limit = LIMITS.get(path.name, MEBIBYTE)
    if found.st_size > limit:
        raise Invalid(
            f"{path}: has {found.st_size / MEBIBYTE:.0f} MiB, the limit is "
            f"{limit / MEBIBYTE:.0f} MiB; write less, or fewer scenes"
        )
    return True


def read_object(path: Path, part: str) -> tuple[dict[str, Any], list[Fault]]:
    """Return a JSON file's object and its faults by the schema's part; {} if it is none."""

    def fault(what: str, mend: str) -> Fault:
        return Fault(path.name, None, "", what, mend)

    try:
        if not regular_file(path):
            return {}, [fault("no such file", "write it beside the others")]
        value = parse(path.read_bytes())
    except Invalid as error:
        return {}, [from_error(error, path)]
    except (ValueError, OSError) as error:
        return {}, [
            fault(f"not valid JSON ({short_repr(str(error))})", "write it again as UTF-8 JSON")
        ]
    faults = [fault(what, mend) for what, mend in schema_faults(part, value)]
    return (value if isinstance(value, dict) else {}), faults


def from_error(error: Invalid, path: Path) -> Fault:
    """Return the fault of a file that must not be read."""
    what, _, mend = str(error).removeprefix(f"{path}: ").rpartition("; ")
    return Fault(path.name, None, "", what, mend)


def read_rows(path: Path) -> Rows:
    """Read and check a JSON-lines file; a faulty row spoils its own item alone."""
    found = Rows()
    try:
        if not regular_file(path):
            return found
        with path.open("rb") as handle:
            for number, line in _lines(handle):
                _take_row(found, path.name, number, line)
    except Invalid as error:
        found.faults.append(from_error(error, path))
    except OSError as error:
        found.faults.append(Fault(path.name, None, "", str(error), "see its rights"))
    return found


def _lines(handle: Any) -> Iterator[tuple[int, bytes | None]]:
    """Yield (number, line) of what is not blank; None for a line that is too long to parse."""
    number, whole = 0, True
    while line := handle.readline(LONGEST_ROW + 1):
        started, whole = whole, line.endswith(b"\n") or len(line) <= LONGEST_ROW
        number += started
        if started and (line.strip() or not whole):
            yield number, line if whole else None


def _take_row(found: Rows, name: str, number: int, line: bytes | None) -> None:
    keys, part = KEYS[name], name.removesuffix(".jsonl")
    if line is None:
        limit = LONGEST_ROW // MEBIBYTE
        found.faults.append(
            Fault(name, number, "", f"longer than {limit} MiB", "write fewer items in it")
        )
        return
    try:
        row = parse(line)
    except ValueError as error:
        what = f"not valid JSON ({short_repr(str(error))})"
        found.faults.append(Fault(name, number, "", what, "write one JSON object a line"))
        return
    problems = schema_faults(part, row)
    if part == "objects" and not problems:
        problems = _loose_ends(row)
    named = isinstance(row, dict) and all(isinstance(row.get(key), str) for key in keys)
    key = tuple(row[key] for key in keys) if named else ()
    item = label(keys, key) if named else ""
    faults = [Fault(name, number, item, what, mend) for what, mend in problems]
    if named and (key in found.items or key in found.spoiled):
        faults.append(Fault(name, number, item, "is written twice", "write each item once"))
    found.faults += faults
    if faults and named:
        found.items.pop(key, None)
        found.spoiled[key] = faults[0]
    elif named:
        found.items[key] = number, row


def label(keys: tuple[str, ...], key: tuple[str, ...]) -> str:
    """Return an item's name for a fault, printable: "scene a, query r00"."""
    return ", ".join(f"{name} {printable(part)}" for name, part in zip(keys, key, strict=True))


def _loose_ends(row: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the triplets whose ends are no objects of the row."""
    count = len(row["objects"])
    return [
        (
            f"triplets[{place}]: {short_repr(triplet)} names no object",
            "index the row's objects, from 0",
        )
        for place, triplet in enumerate(row.get("triplets") or [])
        if max(triplet[0], triplet[2]) >= count
    ]


class Tensors:
    """Arrays of a safetensors file, each loaded when asked."""

    def __init__(self, path: Path, handle: Any) -> None:
        self.path, self._handle = path, handle
        self._names = frozenset(handle.keys())

    def keys(self) -> frozenset[str]:
        """Return the names of all arrays."""
        return self._names

    def get_tensor(self, name: str) -> np.ndarray:
        """Return one array; raises `Invalid` for a type NumPy lacks or too many elements."""
        part = self._handle.get_slice(name)
        shape, kind = part.get_shape(), part.get_dtype()
        if kind not in _DTYPES:
            raise Invalid(f"{self.path}: {short_repr(name)} is {kind}; write F32, I32, I16 or U8")
        if max(shape, default=1) > MOST_ELEMENTS or math.prod(shape) > MOST_ELEMENTS:
            raise Invalid(f"{self.path}: {short_repr(name)} is {shape}; write at most 2^28 numbers")
        return self._handle.get_tensor(name)


def open_tensors(path: Path) -> Tensors | None:
    """Open a safetensors file, None if there is none; raises `Invalid` for one that is broken."""
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as handle:
            header = int.from_bytes(handle.read(8), "little")
        if header > LARGEST_HEADER:
            raise Invalid(
                f"{path}: promises a header of {header / MEBIBYTE:.0f} MiB, the limit is "
                f"{LARGEST_HEADER // MEBIBYTE} MiB; write fewer tensors"
            )
        return Tensors(path, safe_open(path, framework="numpy"))
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError) as error:
        said = str(error).encode("ascii", "backslashreplace").decode()[:200]
        raise Invalid(f"{path}: not a safetensors file ({said}); write it again") from error
