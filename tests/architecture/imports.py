"""The import graph of the project's own modules, read from their source."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import networkx as nx

from tests.paths import REPOSITORY

PACKAGES = ("g2vlm", "metrics", "report", "baselines", "viewer")


@cache
def modules(root: Path = REPOSITORY) -> dict[str, Path]:
    """Return {dotted name: file} of every module of the five packages."""
    files = {}
    for package in PACKAGES:
        for path in (root / package).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            files[name] = path
    return files


@cache
def import_graph(root: Path = REPOSITORY) -> nx.DiGraph:
    """Return a graph with an edge from each module to every project module that it imports.

    Imports inside functions count. `from package import name` is an edge to the submodule `name`
    where there is one, else to the package.
    """
    files = modules(root)
    graph = nx.DiGraph()
    graph.add_nodes_from(files)
    for name, path in files.items():
        for target in _imported(path, name, files):
            if target != name:
                graph.add_edge(name, target)
    return graph


def _imported(path: Path, name: str, files: dict[str, Path]) -> set[str]:
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    targets: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                submodule = f"{stem}.{alias.name}"
                targets.add(submodule if submodule in files else stem)
    return targets & files.keys()


def only_reexports(path: Path) -> bool:
    """Return whether an `__init__.py` holds nothing but its docstring, imports and `__all__`."""
    if path.name != "__init__.py":
        return False
    for node in ast.parse(path.read_bytes()).body:
        exports = isinstance(node, ast.Assign) and [
            target.id for target in node.targets if isinstance(target, ast.Name)
        ] == ["__all__"]
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not (exports or docstring or isinstance(node, ast.Import | ast.ImportFrom)):
            return False
    return True
