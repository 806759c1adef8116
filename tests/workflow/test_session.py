"""The messages at the end of a run, and the record of a run."""

import json
import logging

import pytest

from g2vlm.run import manifest, recipes
from g2vlm.run.session import NothingToDo, failures, summary
from metrics.files import sha256_file, write_json


@pytest.fixture
def results(tmp_path):
    for name, cost in {"train/full-0": (10.5, 9.5, 900.25), "compare": (2.0, 1.5, 100.0)}.items():
        path = tmp_path / "benchmarks" / f"{name}.json"
        names = ("wall_seconds", "cpu_seconds", "peak_memory_mb")
        write_json(path, dict(zip(names, cost, strict=True)))
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "board.csv").write_text("a,b\n")
    (tmp_path / "tables" / "scratch.tmp").write_text("")
    (tmp_path / "headline.txt").write_text("full 0.9\n")
    return tmp_path


def test_the_summary_has_the_headline_and_the_paths_of_results(results):
    rows = summary(results).splitlines()
    assert rows[0] == "full 0.9"
    assert f"tables   {results / 'tables'}" in rows
    assert not any("report" in row for row in rows)


def test_failures_are_those_of_this_run(results):
    log = results / "logs" / "train" / "full-0.log"
    log.parent.mkdir(parents=True)
    log.write_text("step 1\nerror: a.json: torn; write it again\n")
    assert failures(results, since=0) == f"error: a.json: torn; write it again  [{log}]"
    assert "torn" not in failures(results, since=log.stat().st_mtime + 10)


def test_the_record_has_the_cost_of_jobs_and_hashes_of_results(results):
    record = manifest.describe(
        results, {"experiment": "x", "seeds": 2}, {"full": {}}, ["tables"], {"stamp": "0"}
    )
    assert record["jobs"]["train/full-0"] == {
        "wall_seconds": 10.5,
        "cpu_seconds": 9.5,
        "peak_memory_mb": 900.25,
    }
    board = results / "tables" / "board.csv"
    assert record["results"]["tables/board.csv"] == sha256_file(board)
    assert "tables/scratch.tmp" not in record["results"]
    assert record["packages"]["numpy"] and record["machine"]["cores"] >= 1
    json.dumps(record)


def test_the_record_has_the_commit_or_none():
    state = manifest.git_state()
    assert state["commit"] is None or len(state["commit"]) == 40


@pytest.mark.parametrize(("wanted", "enough"), [(2, True), (3, False)])
def test_whether_data_holds_enough_scenes(tmp_path, wanted, enough):
    assert recipes.enough_recipes(tmp_path, {"train": wanted})
    (tmp_path / "splits.json").write_text('{"scenes": {"train": ["train-0000", "train-0001"]}}')
    assert recipes.enough_recipes(tmp_path, {"train": wanted}) is enough


def test_nothing_to_do_prints_the_summary_and_other_lines_do_not(results, capsys):
    logger = logging.Logger("toy")
    logger.addHandler(NothingToDo(results))
    logger.info("Job stats:")
    assert capsys.readouterr().out == ""
    logger.info("Nothing to be done (all requested files are present and up to date).")
    assert capsys.readouterr().out.startswith("full 0.9\n")
