"""A hash of the project's own code that a job runs, found by following its imports.

Snakemake reruns a job when its script changes but not when a package that the script imports
does, so every rule carries this hash among its params.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("g2vlm", "metrics", "report", "baselines")
# Glue that moves files and prints progress: editing it changes no result.
GLUE = ("g2vlm.run",)


@cache
def code_hash(*modules: str) -> str:
    """Return a short sha256 over every project file that the modules import, directly or not.

    Imports inside functions count too. Data files lying in a package's own folder (tables,
    templates) count with any module of that folder.
    """
    total = hashlib.sha256()
    for path in sorted(closure(modules)):
        total.update(str(path.relative_to(ROOT)).encode() + b"\0" + _file_hash(path))
    return total.hexdigest()[:16]


def closure(modules: tuple[str, ...]) -> set[Path]:
    """Return the files of the modules, of what they import, and the data files beside them."""
    found: set[Path] = set()
    waiting = list(modules)
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in seen or module.startswith(GLUE):
            continue
        seen.add(module)
        path = _locate(module)
        if path is None:
            continue
        found.add(path)
        found.update(_resources(path.parent))
        waiting.extend(_imports(path, module))
    return found


def _locate(module: str) -> Path | None:
    """Return the file of a project module, or None for anything else."""
    if module.split(".")[0] not in PACKAGES:
        return None
    stem = ROOT.joinpath(*module.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _imports(path: Path, module: str) -> tuple[str, ...]:
    """Return the names that a file imports, as dotted modules that may or may not exist."""
    parts = module.split(".")
    package = parts if path.name == "__init__.py" else parts[:-1]
    names = [".".join(parts[:depth]) for depth in range(1, len(parts))]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names += [stem, *(f"{stem}.{alias.name}" for alias in node.names)]
    return tuple(names)


@cache
def _resources(folder: Path) -> tuple[Path, ...]:
    kinds = {".json", ".csv", ".txt", ".yaml", ".html", ".j2", ".css"}
    return tuple(path for path in folder.iterdir() if path.suffix in kinds)


@cache
def _file_hash(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()
