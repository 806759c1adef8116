"""The messages at the end of a run, and the record of a run."""

import json
import logging

import pytest

from g2vlm.run import manifest, recipes
from g2vlm.run.session import NothingToDo, failures, summary
from metrics.files import sha256_file

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


@pytest.fixture
def results(tmp_path):
    for name, row in {
        "train/full-0": "10.5\t0:00:10\t900.25\t1\t1\t1\t1\t1\t99\t9.5\n",
        "train/full-1": "12.0\t0:00:12\t950.00\t1\t1\t1\t1\t1\t99\tNA\n",
        "compare": "2.0\t0:00:02\t100.00\t1\t1\t1\t1\t1\t99\t1.5\n",
    }.items():
        path = tmp_path / "benchmarks" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER + row)
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
