"""The runnable examples in the docstrings of g2vlm/."""

import doctest
import importlib

import pytest

from tests.architecture.imports import modules

WITH_EXAMPLES = sorted(
    name
    for name, path in modules().items()
    if name.startswith("g2vlm.") and ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_docstring_examples_pass(name):
    pytest.importorskip("torch")
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0 and result.failed == 0
