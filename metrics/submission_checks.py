"""Checks of what a submission holds, item by item; each fault is one line that says the mend."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from metrics.files import InputError, read_json
from metrics.relations import FAMILIES, PREDICATES
from metrics.submission_writer import (
    FORMAT,
    FRAME,
    MESH_KINDS,
    POSE_CONVENTION,
    TASKS,
    VERSION,
)


class Invalid(InputError):
    """One item of a submission cannot be used; it is scored as failed and the rest goes on."""


def read_manifest(path: Path) -> dict[str, Any]:
    manifest = read_json(path)
    if not isinstance(manifest, dict):
        raise InputError(f"{path}: not a JSON object; write it with SubmissionWriter")
    for key, wanted in (
        ("format", FORMAT),
        ("version", VERSION),
        ("units", "metre"),
        ("frame", FRAME),
        ("pose_convention", POSE_CONVENTION),
    ):
        if manifest.get(key) != wanted:
            raise InputError(f"{path}: {key} is {manifest.get(key)!r}; it must be {wanted!r}")
    for key, kind in (
        ("method", str),
        ("seed", int),
        ("split", str),
        ("stochastic", bool),
        ("produces", list),
    ):
        if not isinstance(manifest.get(key), kind):
            raise InputError(f"{path}: {key} is {manifest.get(key)!r}; give a {kind.__name__}")
    unknown = sorted(set(map(str, manifest["produces"])) - set(TASKS))
    if unknown:
        raise InputError(f"{path}: unknown tasks {unknown}; choose from {list(TASKS)}")
    if "mesh" in manifest["produces"] and manifest.get("mesh_kind") not in MESH_KINDS:
        raise InputError(f"{path}: a mesh without mesh_kind; choose from {list(MESH_KINDS)}")
    return manifest


def open_tensors(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    try:
        return safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file ({error}); write it again") from error


def check_rows(
    where: str, name: str, array: np.ndarray, length: int | None = None, floats: bool = False
) -> None:
    if array.ndim != 2 or array.shape[1] != 3 or length not in (None, len(array)):
        raise Invalid(f"{where}: {name} are {list(array.shape)}; give one row of 3 each")
    if floats and not (array.dtype.kind == "f" and np.isfinite(array).all()):
        raise Invalid(f"{where}: {name} are not all finite numbers; leave such rows out")
    if not floats and array.dtype.kind not in "iu":
        raise Invalid(f"{where}: {name} are not integers; write whole numbers")


def index_rows(
    path: Path, rows: Iterable[Any], keys: tuple[str, ...]
) -> dict[tuple, dict[str, Any]]:
    found: dict[tuple, dict[str, Any]] = {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or any(not isinstance(row.get(key), str) for key in keys):
            raise InputError(f"{path}: row {number} lacks {' or '.join(keys)}; name the item")
        key = tuple(row[key] for key in keys)
        if key in found:
            raise InputError(f"{path}: row {number} repeats {'/'.join(key)}; write each item once")
        found[key] = row
    return found


def check_box(where: str, value: Any) -> list[float]:
    good = isinstance(value, list) and len(value) == 6
    good = good and all(isinstance(number, int | float) for number in value)
    if not good or not all(map(math.isfinite, value)) or min(value[3:]) < 0:
        raise Invalid(f"{where}: {json.dumps(value)} is no box; give [cx,cy,cz,sx,sy,sz] in metres")
    return [float(number) for number in value]


def check_object(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("class"), str):
        raise Invalid(f"{where}: an object without a class; give box, class and score")
    score = value.get("score", 1.0)
    if not isinstance(score, int | float) or not math.isfinite(score):
        raise Invalid(f"{where}: score {score!r}; give a finite number")
    box = check_box(where, value.get("box"))
    return {"box": box, "class": value["class"], "score": float(score)}


def check_triplet(where: str, value: Any, count: int) -> tuple[int, str, int, float]:
    if not isinstance(value, list) or len(value) not in (3, 4) or value[1] not in PREDICATES:
        raise Invalid(f"{where}: {value!r} is no triplet; give [subject, predicate, object, score]")
    subject, predicate, other = value[:3]
    for end in (subject, other):
        if not isinstance(end, int) or isinstance(end, bool) or not 0 <= end < count:
            raise Invalid(f"{where}: triplet {value!r} names no object; index the objects list")
    return subject, predicate, other, float(value[3]) if len(value) == 4 else 1.0


def check_pair(where: str, value: Any) -> tuple[tuple[int, int], dict[str, str]]:
    if not isinstance(value, list) or len(value) != 3 or not isinstance(value[2], dict):
        raise Invalid(f"{where}: {value!r} is no pair; give [i, j, {{family: predicate}}]")
    for family, predicate in value[2].items():
        if family not in FAMILIES or predicate not in (*FAMILIES[family], "none"):
            raise Invalid(f"{where}: {family}={predicate!r}; choose from {FAMILIES}")
    return (int(value[0]), int(value[1])), value[2]
