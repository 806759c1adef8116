"""The hash that reruns a job when an imported package changes, and only then."""

import re
from pathlib import Path

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
        codehash._data_files,
        codehash._file_hash,
        codehash.code_hash,
    ):
        cached.cache_clear()
    return codehash.code_hash("g2vlm.a")


@pytest.mark.parametrize(
    "name", ["g2vlm/a.py", "g2vlm/part/b.py", "g2vlm/other.py", "g2vlm/part/table.csv"]
)
def test_imported_files_and_the_data_in_their_folders_count(tree, name):
    before = fresh_hash()
    (tree / name).write_text((tree / name).read_text() + "\n")
    assert fresh_hash() != before


@pytest.mark.parametrize("name", ["g2vlm/unused.py", "g2vlm/run/__init__.py"])
def test_what_is_not_imported_does_not_count(tree, name):
    before = fresh_hash()
    (tree / name).write_text("y = 2\n")
    assert fresh_hash() == before


def test_scoring_runs_no_code_of_the_methods():
    files = codehash.closure(("metrics.score", "metrics.statistics.compare"))
    tops = {path.relative_to(codehash.ROOT).parts[0] for path in files}
    assert tops == {"metrics"}


def test_data_in_a_subfolder_without_modules_counts(tree):
    before = fresh_hash()
    (tree / "g2vlm" / "part" / "tables").mkdir()
    (tree / "g2vlm" / "part" / "tables" / "more.csv").write_text("x\n")
    assert fresh_hash() != before


def test_the_frame_of_a_job_does_not_count_but_what_it_imports_does():
    files = codehash.closure(("workflow/scripts/train.py",))
    names = {path.relative_to(codehash.ROOT).as_posix() for path in files}
    assert {
        "workflow/scripts/train.py",
        "g2vlm/training/launch.py",
        "g2vlm/run/devices.py",
    } <= names
    assert not {"g2vlm/run/job.py", "g2vlm/run/progress.py"} & names


@pytest.mark.parametrize("script", sorted(Path("workflow/scripts").glob("*.py")), ids=str)
def test_every_rule_hashes_its_own_script(script):
    name = script.stem
    rules = "".join(path.read_text() for path in Path("workflow/rules").glob("*.smk"))
    own = re.compile(rf'job_code\(\s*"{name}"')
    assert own.search(rules)
    for rule in re.split(r"(?m)^ *rule ", rules):
        if f'"../scripts/{name}.py"' in rule:
            assert own.search(rule) or "baseline_code(" in rule


def test_modules_that_a_package_collects_by_itself_count():
    files = codehash.closure(("metrics.score",))
    names = {path.relative_to(codehash.ROOT).as_posix() for path in files}
    assert {"metrics/language/answers.py", "metrics/reconstruction/voxels.py"} <= names
    assert "metrics/scoreboard.py" not in names


def test_a_baseline_does_not_rerun_because_of_another_one():
    files = codehash.closure(("workflow/scripts/baseline.py", "baselines.chance.method"))
    folders = {path.parent.relative_to(codehash.ROOT).as_posix() for path in files}
    assert {name for name in folders if name.startswith("baselines/")} == {"baselines/chance"}
