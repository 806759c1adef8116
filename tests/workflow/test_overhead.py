"""The overhead of a run, from jobs with known times."""

import subprocess
import sys
import time

import pytest

from g2vlm.run.job import ImportTimer
from g2vlm.run.manifest import read_benchmarks
from g2vlm.run.overhead import overhead
from metrics.files import read_json


def job(begun, ended, start=1.0, imports=2.0, run=100.0):
    wall = {"wall_seconds": ended - begun, "start_seconds": start, "import_seconds": imports}
    return wall | {"began": begun, "ended": ended, "run_began": run}


def test_starts_imports_hashing_and_waiting_are_not_work():
    # The run begins at 100 and plans 5 s; two jobs side by side; 3 s without one; the record.
    jobs = {"a": job(105, 125), "b": job(105, 115), "manifest": job(128, 132)}
    cost = overhead(jobs)
    assert (cost.starts, cost.imports, cost.hashing, cost.slots) == (2, 4, 4, 2)
    assert cost.waiting == 2 * (5 + 3)
    assert cost.held == 20 + 10 + 4 + 16
    assert cost.share == pytest.approx(26 / 50)
    assert "52.0% of 50 s held by 2 jobs at a time" in cost.sentence()


def test_time_between_two_runs_of_an_experiment_is_not_waiting():
    jobs = {"a": job(105, 125), "b": job(9004, 9014, run=9000.0)}
    assert overhead(jobs).waiting == 5 + 4


def test_jobs_without_times_have_no_overhead():
    assert overhead({"a": {"wall_seconds": 4.0, "cpu_seconds": 3.0}}) is None


def test_nested_imports_are_timed_once(tmp_path, monkeypatch):
    (tmp_path / "slow_outer.py").write_text("import time, slow_inner\ntime.sleep(0.1)\n")
    (tmp_path / "slow_inner.py").write_text("import time\ntime.sleep(0.1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    imports, begun = ImportTimer(), time.perf_counter()
    try:
        import slow_outer  # noqa: F401
    finally:
        imports.stop()
    assert 0.2 <= imports.seconds <= time.perf_counter() - begun


SCRIPT = """
import sys, time
time.sleep(0.5)
from types import SimpleNamespace
from g2vlm.run.job import job
options = {"rule": "score", "wildcards": ["full", "0"], "threads": 1, "resources": {}}
with job(SimpleNamespace(log=[sys.argv[1]], **options)):
    time.sleep(0.5)
"""


def test_a_job_writes_its_times_next_to_its_benchmark(tmp_path):
    log = tmp_path / "logs" / "score" / "full-0.log"
    subprocess.run([sys.executable, "-c", SCRIPT, str(log)], check=True, timeout=60)
    record = read_json(tmp_path / "benchmarks" / "score" / "full-0.json")
    assert record["start_seconds"] >= 0.5 and record["import_seconds"] < 0.5
    assert record["ended"] == pytest.approx(time.time(), abs=20)
    assert record["began"] + record["start_seconds"] + 0.4 <= record["ended"]
    table = tmp_path / "benchmarks" / "score" / "full-0.tsv"
    table.write_text("s\tcpu_time\tmax_rss\n3.5\t1.0\t20\n")
    assert read_benchmarks(tmp_path / "benchmarks")["score/full-0"] == record | {
        "wall_seconds": 3.5,
        "cpu_seconds": 1.0,
        "peak_memory_mb": 20.0,
    }


def test_a_run_without_records_is_one_clear_line(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "compare.tsv").write_text("s\tcpu_time\n3.5\t1.0\n")
    call = [sys.executable, "-m", "g2vlm.run.overhead", str(tmp_path)]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 2 and "no job recorded its start" in done.stderr
    assert done.stderr.count("\n") == 1
