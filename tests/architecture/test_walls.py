"""The walls between packages, read from the import graph: docs/architecture.md names them."""

from __future__ import annotations

import ast
import re

import networkx as nx
import pytest
import yaml

from tests.architecture.imports import import_graph, modules, only_reexports
from tests.paths import REPOSITORY

# (importing package, package that it must not import)
WALLS = [
    ("metrics", "g2vlm"),
    ("metrics", "baselines"),
    ("metrics", "report"),
    ("report", "g2vlm"),
    ("report", "baselines"),
    ("g2vlm", "report"),
    ("g2vlm", "baselines"),
    ("baselines", "report"),
    *(("viewer", other) for other in ("g2vlm", "metrics", "report", "baselines")),
    ("g2vlm.training", "g2vlm.inference"),
]
# Names that are also ordinary words: only a string that is the whole name counts.
ORDINARY_WORDS = {
    *("full", "oracle", "chance", "majority", "cpu", "gpu", "smoke", "real"),
    *("article", "contrasts", "causes"),
}


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@pytest.mark.parametrize(("package", "forbidden"), WALLS)
def test_package_does_not_import(package, forbidden):
    crossings = [
        f"{source} imports {target}"
        for source, target in import_graph().edges
        if inside(source, package) and inside(target, forbidden)
    ]
    assert crossings == []


def test_there_are_no_import_cycles():
    graph = import_graph()
    files = modules()
    graph = graph.subgraph([name for name in graph if not only_reexports(files[name])])
    cycles = [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1]
    assert cycles == []


def project_names() -> set[str]:
    """Return the names of methods, baselines, experiments and families of tests."""
    names = {path.stem for path in (REPOSITORY / "config" / "methods").glob("*.yaml")}
    names |= {path.parent.name for path in (REPOSITORY / "baselines").glob("*/method.py")}
    for path in (REPOSITORY / "config").glob("*.yaml"):
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        if "experiment" in config:  # config/seal.yaml is none
            names |= {config["experiment"]} | set(config.get("statistics", {}).get("families", {}))
    return names


def test_metrics_names_no_method_experiment_or_family():
    names = project_names()
    assert {"full", "oracle", "cpu", "article"} <= names
    word = re.compile(r"\b(" + "|".join(sorted(names - ORDINARY_WORDS)) + r")\b")
    faults = []
    for module, path in modules().items():
        if not inside(module, "metrics"):
            continue
        source = path.read_text(encoding="utf-8")
        faults += [f"{module}: {match[0]}" for match in word.finditer(source)]
        strings = {
            node.value
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        faults += [f"{module}: {name!r}" for name in sorted(strings & names)]
    assert faults == []
