"""Read untrusted files safely, and describe every fault in one line.

A file must be regular and of bounded size. Nothing here unpickles, follows a link, or allocates
memory for data that only a header announces.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metrics.files import InputError, decode_utf8, one_line, parse_json, unreadable
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
# The format's tensors have at most three; NumPy holds at most 64.
MOST_AXES = 8
# The keys that identify the item of a row, by file.
KEYS = {
    "objects.jsonl": ("scene",),
    "relations.jsonl": ("scene",),
    "grounding.jsonl": ("scene", "query"),
    "answers.jsonl": ("scene", "question"),
    "captions.jsonl": ("scene",),
}
_DTYPES = frozenset({"F16", "F32", "F64", "BOOL"} | {f"{k}{n}" for k in "IU" for n in (8, 16, 32)})
_DTYPES |= {"I64", "U64"}


@dataclass(frozen=True)
class Fault:
    """One fault of a submission.

    Attributes:
        file: name inside the submission's folder.
        row: line of a JSON-lines file, from 1, or None.
        item: the scene, query or tensor concerned, "" for the whole file.
        what: what is wrong.
        fix: how to fix it.
    """

    file: str
    row: int | None
    item: str
    what: str
    fix: str

    def __str__(self) -> str:
        row = "" if self.row is None else f"row {self.row}"
        place = ", ".join(part for part in (row, self.item) if part)
        return f"{self.file}: {place + ': ' if place else ''}{self.what}; {self.fix}"


class Invalid(InputError):
    """One item of a submission cannot be used. It is scored as failed; all others still count."""

    def __init__(self, folder: Path, fault: Fault) -> None:
        super().__init__(f"{folder}/{fault}")
        self.fault = fault


@dataclass
class Rows:
    """The contents of a JSON-lines file.

    Attributes:
        items: {key of an item: (row number, value)} of the valid rows.
        invalid: {key of an item: why it cannot be used}.
        faults: everything that is wrong with the file, in the order of its rows.
    """

    items: dict[tuple[str, ...], tuple[int, dict[str, Any]]] = field(default_factory=dict)
    invalid: dict[tuple[str, ...], Fault] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


class NoNumber:
    """Stands for NaN or Infinity in a parsed file; JSON has neither, so no schema accepts it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


def parse(data: bytes) -> Any:
    """Parse JSON in UTF-8; raises `ValueError` for whatever cannot be read in one way alone."""
    return parse_json(decode_utf8(data), NoNumber)


def regular_file(path: Path) -> bool:
    """Return whether there is a file to read; raises `Invalid` for one that must not be read."""
    try:
        reason = unreadable(path, LIMITS.get(path.name, MEBIBYTE), links=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise _invalid_file(path, what, "check its permissions") from error
    if reason:
        fix = "write fewer scenes" if reason.startswith("larger") else "put the file itself there"
        raise _invalid_file(path, reason, fix)
    return True


def _invalid_file(path: Path, what: str, fix: str) -> Invalid:
    return Invalid(path.parent, Fault(path.name, None, "", what, fix))


def read_object(path: Path, part: str) -> tuple[dict[str, Any], list[Fault]]:
    """Return the object in a JSON file, {} if there is none, and its faults by the schema part."""

    def fault(what: str, fix: str) -> Fault:
        return Fault(path.name, None, "", what, fix)

    try:
        if not regular_file(path):
            return {}, [fault("no such file", "write it next to the others")]
        value = parse(path.read_bytes())
    except Invalid as error:
        return {}, [error.fault]
    except (ValueError, OSError) as error:
        what = f"not valid JSON ({short_repr(str(error))})"
        return {}, [fault(what, "write it again as UTF-8 JSON")]
    faults = [fault(what, fix) for what, fix in schema_faults(part, value)]
    if not faults:
        # The schema leaves the values of `thresholds` and more keys of `cost` open.
        faults = [
            fault(f"{place} is {number!r}", "give a finite number")
            for place, number in _not_finite(value)
        ]
    return (value if isinstance(value, dict) else {}), faults


def _not_finite(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (place, number) of what JSON cannot hold: NaN, and numbers beyond a double's range."""
    if isinstance(value, NoNumber) or (isinstance(value, float) and not math.isfinite(value)):
        yield place, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _not_finite(item, f"{place}.{printable(key)}".lstrip("."))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _not_finite(item, f"{place}[{index}]")


def read_rows(path: Path) -> Rows:
    """Read and check a JSON-lines file. A fault in a row makes only that row's item invalid."""
    rows = Rows()
    try:
        if not regular_file(path):
            return rows
        with path.open("rb") as handle:
            for number, line in _lines(handle):
                _add_row(rows, path.name, number, line)
    except Invalid as error:
        rows.faults.append(error.fault)
    except OSError as error:
        rows.faults.append(Fault(path.name, None, "", str(error), "check its permissions"))
    return rows


def _lines(handle: Any) -> Iterator[tuple[int, bytes | None]]:
    """Yield (number, line) of each line that is not blank; None for one too long to parse."""
    number, complete = 0, True
    while line := handle.readline(LONGEST_ROW + 1):
        # What follows an incomplete piece is the rest of the same line.
        starts, complete = complete, line.endswith(b"\n") or len(line) <= LONGEST_ROW
        number += starts
        if starts and (line.strip() or not complete):
            yield number, line if complete else None


def _add_row(rows: Rows, file: str, number: int, line: bytes | None) -> None:
    """Check one line of a JSON-lines file and add its item or its faults."""
    if line is None:
        what = f"longer than {LONGEST_ROW // MEBIBYTE} MiB"
        rows.faults.append(Fault(file, number, "", what, "write fewer items in it"))
        return
    try:
        row = parse(line)
    except ValueError as error:
        what = f"not valid JSON ({short_repr(str(error))})"
        rows.faults.append(Fault(file, number, "", what, "write one JSON object a line"))
        return
    part = file.removesuffix(".jsonl")
    problems = schema_faults(part, row)
    if part == "objects" and not problems:
        count = len(row["objects"])
        problems = [
            (
                f"triplets[{place}]: {short_repr(triplet)} names no object",
                "index the row's objects, from 0",
            )
            for place, triplet in enumerate(row.get("triplets") or [])
            if max(triplet[0], triplet[2]) >= count
        ]
    keys = KEYS[file]
    if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in keys):
        # The row names no item, so it has problems, and there is no item to mark as invalid.
        rows.faults += [Fault(file, number, "", what, fix) for what, fix in problems]
        return
    key = tuple(row[key] for key in keys)
    if key in rows.items or key in rows.invalid:
        problems = [*problems, ("is written twice", "write each item once")]
    if problems:
        faults = [Fault(file, number, label(file, key), what, fix) for what, fix in problems]
        rows.faults += faults
        rows.items.pop(key, None)
        rows.invalid[key] = faults[0]
    else:
        rows.items[key] = number, row


def label(file: str, key: tuple[str, ...]) -> str:
    """Return an item of a JSON-lines file as printable text: "scene a, query r00"."""
    parts = zip(KEYS[file], key, strict=True)
    return ", ".join(f"{name} {printable(part)}" for name, part in parts)


def scene_label(scene: str) -> str:
    """Return a scene as printable text: "scene a"."""
    return f"scene {printable(scene)}"


class Tensors:
    """The arrays of a safetensors file, each loaded when it is asked for."""

    def __init__(self, path: Path, handle: Any) -> None:
        self.path, self._handle = path, handle
        self._names = frozenset(handle.keys())

    def keys(self) -> frozenset[str]:
        """Return the names of all arrays."""
        return self._names

    def get_tensor(self, name: str) -> np.ndarray:
        """Return one array; raises `Invalid` for a type NumPy lacks or too many elements."""
        part = self._handle.get_slice(name)
        shape, dtype = part.get_shape(), part.get_dtype()
        if dtype not in _DTYPES:
            what = f"{short_repr(name)} is {dtype}"
            raise _invalid_file(self.path, what, "write F32, I32, I16 or U8")
        if len(shape) > MOST_AXES:
            what = f"{short_repr(name)} has {len(shape)} axes"
            raise _invalid_file(self.path, what, "write tensors of one, two or three")
        if max(shape, default=1) > MOST_ELEMENTS or math.prod(shape) > MOST_ELEMENTS:
            what = f"{short_repr(name)} is {shape}"
            raise _invalid_file(self.path, what, "write at most 2^28 numbers")
        return self._handle.get_tensor(name)


def open_tensors(path: Path) -> Tensors | None:
    """Open a safetensors file, None if there is none; raises `Invalid` for a broken one."""
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as handle:
            size = int.from_bytes(handle.read(8), "little")
            if size > LARGEST_HEADER:
                raise _invalid_file(
                    path,
                    f"announces a header of {size / MEBIBYTE:.0f} MiB, "
                    f"the limit is {LARGEST_HEADER // MEBIBYTE} MiB",
                    "write fewer tensors",
                )
            header = handle.read(size)
        tensors = Tensors(path, safe_open(path, framework="numpy"))
        parse(header)  # the library takes the last of two tensors of one name
        return tensors
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, ValueError) as error:
        # The library's message repeats text of the file.
        reason = one_line(str(error)).encode("ascii", "backslashreplace").decode()[:200]
        raise _invalid_file(path, f"not a safetensors file ({reason})", "write it again") from error
