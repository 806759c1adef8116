"""Corrupt a submission in one place, and list the faults that the validator reports."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from metrics.submission.validate import validate
from metrics.truth import Truth

SCENE = "toy-0000"


def sealed(folder: Path) -> None:
    """Bring the manifest's sha256 up to date."""
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != "manifest.json" and path.is_file() and not path.is_symlink()
    }
    manifest(folder, files=digests)


def manifest(folder: Path, **changes: Any) -> None:
    """Change keys of the manifest."""
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def faults(folder: Path, truth: Path | None = None) -> list[str]:
    """Return every fault as a line."""
    report = validate(folder, None if truth is None else Truth(truth))
    assert all(fault.fix and fault.what for fault in report.faults)
    return [str(fault) for fault in report.faults]


def only_fault(folder: Path, truth: Path | None = None) -> str:
    """Return the fault of a submission that has one."""
    found = faults(folder, truth)
    assert len(found) == 1, found
    return found[0]


def corrupt_tensor(folder: Path, name: str, value: np.ndarray | None) -> None:
    """Put another array in a tensor's place, or remove it."""
    path = folder / "geometry.safetensors"
    tensors = load_file(path)
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    save_file(tensors, path)
    sealed(folder)


def corrupt_row(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Let `change` alter the first row of a JSON-lines file in place."""
    row = json.loads((folder / name).read_text().splitlines()[0])
    change(row)
    exchange_row(folder, name, row)


def exchange_row(folder: Path, name: str, row: Any) -> None:
    """Put another value in the place of a JSON-lines file's first row."""
    path = folder / name
    _, *rest = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(row), *rest]) + "\n")
    sealed(folder)
