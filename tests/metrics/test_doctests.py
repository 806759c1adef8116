"""The runnable examples in the docstrings of metrics/ and benchmarks/."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import metrics

MODULES = sorted(
    found.name
    for found in pkgutil.iter_modules(metrics.__path__, "metrics.")
    if not found.ispkg and found.name != "metrics.__main__"
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


@pytest.mark.parametrize(
    "name",
    ["answers", "boxes", "detection", "geometry", "given", "graph", "grounding", "retrieval"]
    + ["rendering", "solids", "voxels", "oriented", "rules", "summary"],
)
def test_modules_of_metrics_carry_examples(name):
    module = importlib.import_module(f"metrics.{name}")
    found = doctest.DocTestFinder(exclude_empty=True).find(module)
    assert sum(len(test.examples) for test in found) > 0
