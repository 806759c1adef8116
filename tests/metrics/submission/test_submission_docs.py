"""The page for third parties: its writer runs, its rows fit the schema, its commands work."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from metrics.__main__ import main
from metrics.schemas import schema_faults
from metrics.submission.items import GRID_PARTS, MESH_PARTS, POINT_PARTS
from metrics.submission.parsing import LIMITS
from metrics.submission.validate import validate
from metrics.submission.writer import TASKS
from metrics.truth import Truth
from tests.paths import REPOSITORY

PAGE = REPOSITORY / "docs" / "submission-format.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.M | re.S)


def part_of(row: dict) -> str:
    by_key = {"objects": "triplets", "relations": "pairs", "grounding": "query"}
    by_key |= {"answers": "answer", "captions": "text", "retrieval": "texts"}
    return next(part for part, key in by_key.items() if key in row)


def test_rows_shown_fit_the_schema():
    parts = [part_of(json.loads(block)) for block in blocks("json")]
    assert sorted(parts) == sorted(
        ["objects", "relations", "grounding", "answers", "captions", "retrieval"]
    )
    for part, block in zip(parts, blocks("json"), strict=True):
        assert schema_faults(part, json.loads(block)) == []


def test_the_page_names_every_file_task_and_tensor():
    for name in (*LIMITS, *TASKS, *POINT_PARTS, *MESH_PARTS, *GRID_PARTS):
        assert re.search(rf"`{name}`|^[├└]── {name} ", TEXT, re.M), name


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """What the page's writer writes."""
    folder = tmp_path_factory.mktemp("third_party")
    [code] = blocks("python")
    assert len(code.splitlines()) < 40
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(code, str(PAGE), "exec"), {})
    return folder / "theirs" / "toy"


def test_the_writer_shown_writes_a_sound_submission(written, truth_dir):
    report = validate(written, Truth(truth_dir))
    assert report.faults == [] and report.warnings == []


def test_the_commands_shown_work(written, truth_dir, oracle_scores, tmp_path, monkeypatch, capsys):
    """As they stand on the page, but for the experiment's folder."""
    lines = [line for line in TEXT.splitlines() if line.startswith("python -m metrics ")]
    assert [line.split()[3] for line in lines] == ["validate", "score", "compare"]
    data = tmp_path / "results" / "cpu" / "truth"
    data.mkdir(parents=True)
    (data / "toy").symlink_to(truth_dir)
    (tmp_path / "theirs").symlink_to(written.parent)
    for suffix in (".parquet", ".json"):
        (tmp_path / f"ours{suffix}").symlink_to(oracle_scores.with_suffix(suffix))
    monkeypatch.chdir(tmp_path)
    for line in lines:
        assert main(line.split()[3:]) == 0
    text = capsys.readouterr().out
    assert text.startswith("no faults\n") and "flat_floor, seed 0, toy" in text
    assert re.search(r"^toy +accuracy_m +flat_floor ", text, re.M)
