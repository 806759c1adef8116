"""The runnable examples in the docstrings of metrics/ and benchmarks/."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import metrics

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(metrics.__path__, "metrics.")
    if not found.ispkg and found.name != "metrics.__main__"
)
WITH_EXAMPLES = [
    *("camera.depth", "camera.poses", "camera.protocols", "camera.trajectories"),
    *("language.answers", "language.grounding", "language.retrieval"),
    *("reconstruction.occupancy", "reconstruction.pointcloud", "reconstruction.rendering"),
    *("reconstruction.voxels", "rows", "scene_graph.boxes", "scene_graph.detection"),
    *("scene_graph.oriented", "scene_graph.rule_baseline", "scene_graph.spq"),
    "scene_graph.triplet_recall",
]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_pass(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_metric_modules_have_examples(name):
    module = importlib.import_module(f"metrics.{name}")
    found = doctest.DocTestFinder(exclude_empty=True).find(module)
    assert sum(len(test.examples) for test in found) > 0
