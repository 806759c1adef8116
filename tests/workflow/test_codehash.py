"""The hash that reruns a job when an imported package changes, and only then."""

import pytest

from g2vlm.run import codehash


@pytest.fixture
def tree(tmp_path, monkeypatch):
    files = {
        "g2vlm/__init__.py": "",
        "g2vlm/a.py": "from g2vlm.part import b\nimport numpy\n",
        "g2vlm/part/__init__.py": "",
        "g2vlm/part/b.py": "def late():\n    from ..other import thing\n",
        "g2vlm/part/table.csv": "x\n",
        "g2vlm/other.py": "thing = 1\n",
        "g2vlm/unused.py": "x = 1\n",
        "g2vlm/run/__init__.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(codehash, "ROOT", tmp_path)
    return tmp_path


def fresh_hash():
    for cached in (
        codehash._imports,
        codehash._resources,
        codehash._file_hash,
        codehash.code_hash,
    ):
        cached.cache_clear()
    return codehash.code_hash("g2vlm.a")


@pytest.mark.parametrize(
    "name", ["g2vlm/a.py", "g2vlm/part/b.py", "g2vlm/other.py", "g2vlm/part/table.csv"]
)
def test_what_is_imported_or_lies_beside_it_counts(tree, name):
    before = fresh_hash()
    (tree / name).write_text((tree / name).read_text() + "\n")
    assert fresh_hash() != before


@pytest.mark.parametrize("name", ["g2vlm/unused.py", "g2vlm/run/__init__.py"])
def test_what_is_not_imported_and_glue_do_not_count(tree, name):
    before = fresh_hash()
    (tree / name).write_text("y = 2\n")
    assert fresh_hash() == before


def test_scoring_runs_no_code_of_the_methods():
    files = codehash.closure(("metrics.score", "metrics.statistics.compare"))
    tops = {path.relative_to(codehash.ROOT).parts[0] for path in files}
    assert tops == {"metrics"}
