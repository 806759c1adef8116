"""A hash of the project's own code that a job runs, collected by following its imports.

Snakemake reruns a job when its script changes, but not when a package that the script imports
changes. So every rule has this hash among its `params`.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("g2vlm", "metrics", "report", "baselines", "viewer")
DATA_SUFFIXES = {".json", ".csv", ".txt", ".yaml", ".html", ".j2", ".css", ".js"}
# These two cannot change a result: `job` sends a script's output to the log, turns errors into one
# line and measures times; `progress` prints lines. What they import counts, such as `devices`,
# which sets the number of threads and the GPU.
LOG_ONLY = ("g2vlm.run.job", "g2vlm.run.progress")


@cache
def code_hash(*sources: str) -> str:
    """Return a short sha256 over every project file that the sources import, directly or not.

    Imports inside functions count. Data files (tables, templates) in a module's folder count, and
    those in subfolders that hold no modules.

    Args:
        sources: dotted names of modules, or paths of scripts relative to the project's root.
    """
    total = hashlib.sha256()
    for path in sorted(closure(sources)):
        total.update(str(path.relative_to(ROOT)).encode() + b"\0" + _file_hash(path))
    return total.hexdigest()[:16]


def closure(sources: tuple[str, ...]) -> set[Path]:
    """Return the files of the sources and of all that they import, with the data files."""
    files: set[Path] = set()
    visited: set[str] = set()
    waiting = list(sources)
    while waiting:
        name = waiting.pop()
        path = _locate(name)
        if path is None or name in visited:
            continue
        visited.add(name)
        if name not in LOG_ONLY:
            files.add(path)
            files.update(_data_files(path.parent))
        waiting.extend(_imports(path, name))
    return files


def _locate(name: str) -> Path | None:
    """Return the file of a project's module or script, or None for anything else."""
    if name.endswith(".py"):
        return ROOT / name
    if name.split(".")[0] not in PACKAGES:
        return None
    stem = ROOT.joinpath(*name.split("."))
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
    if "pkgutil" in names:
        names += _discovered(path, module, names)
    return tuple(names)


def _discovered(path: Path, module: str, names: list[str]) -> list[str]:
    """Return the modules that a file imports through `pkgutil`.

    They are those of its own package, for an `__init__.py`, and of the packages that it names.
    """
    parents = {module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1)}
    packages = {name: _locate(name) for name in set(names) - parents}
    if path.name == "__init__.py":
        packages[module] = path
    return [
        f"{package}.{child.stem}"
        for package, place in packages.items()
        if place is not None and place.name == "__init__.py"
        for child in place.parent.glob("*.py")
        if child.name != "__init__.py"
    ]


@cache
def _data_files(folder: Path) -> tuple[Path, ...]:
    files: list[Path] = []
    for path in folder.iterdir():
        if path.suffix in DATA_SUFFIXES:
            files.append(path)
        elif path.is_dir() and path.name != "__pycache__" and not list(path.rglob("*.py")):
            files += _data_files(path)
    return tuple(files)


@cache
def _file_hash(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()
