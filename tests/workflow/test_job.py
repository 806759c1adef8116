"""Jobs and the lock of the clone: one-line errors, logs, no process left after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from g2vlm.run.progress import Progress

SCRIPT = """
import sys
from types import SimpleNamespace
from g2vlm.run.job import job
from metrics.files import InputError
options = {{"rule": "train", "wildcards": ["full", "0"], "config": {{"experiment": "toy"}}}}
with job(SimpleNamespace(threads=1, log=[sys.argv[1]], resources={{}}, **options)):
    print("working")
    sys.stderr.write("bar 10%\\rbar 100%\\n")
    {body}
"""


def run_job(tmp_path, body):
    log = tmp_path / "logs" / "job.log"
    call = [sys.executable, "-c", SCRIPT.format(body=body), str(log)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60)
    return done, log.read_text()


def test_bad_input_is_one_line_on_the_terminal_and_in_the_log(tmp_path):
    done, log = run_job(tmp_path, "raise InputError('a.json: torn; write it again')")
    assert done.returncode == 2
    assert done.stdout == "train full 0 | working\n"
    assert done.stderr.endswith("\ntrain full 0 | error: a.json: torn; write it again\n")
    assert "Traceback" not in done.stderr + log
    assert log.splitlines() == ["working", "bar 100%", "error: a.json: torn; write it again"]


def test_the_traceback_of_an_unexpected_error_is_only_in_the_log(tmp_path):
    done, log = run_job(tmp_path, r"raise ValueError('two\nlines\x1b[2J')")
    assert done.returncode == 1
    assert r"error: ValueError: two\nlines\x1b[2J; the traceback is in" in done.stderr
    assert "Traceback" not in done.stderr and "Traceback" in log


def test_a_good_job_ends_with_zero_and_sets_its_threads(tmp_path):
    done, log = run_job(tmp_path, "import os; print(os.environ['OMP_NUM_THREADS'])")
    assert done.returncode == 0 and log.splitlines()[-1] == "1"


def test_a_finished_job_writes_what_it_cost(tmp_path):
    spend = (
        "import time; end = time.process_time() + 0.5\n    while time.process_time() < end: pass"
    )
    run_job(tmp_path, spend)
    cost = json.loads((tmp_path / "benchmarks" / "job.json").read_text())
    assert 0.5 < cost["cpu_seconds"] < 5 and cost["wall_seconds"] >= 0.5
    assert 5 < cost["peak_memory_mb"] < 1000
    run_job(tmp_path / "failed", "raise ValueError('no')")
    assert not (tmp_path / "failed" / "benchmarks").exists()


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def alive(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs prctl")
def test_a_job_dies_with_the_pipeline_that_started_it(tmp_path):
    mark = tmp_path / "child"
    child = (
        "import os, time; from g2vlm.run.job import die_with_parent; die_with_parent(); "
        f"open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    pipeline = subprocess.Popen([sys.executable, "-c", parent])
    assert wait_for(lambda: mark.exists() and mark.read_text())
    process = int(mark.read_text())
    os.kill(pipeline.pid, signal.SIGKILL)
    pipeline.wait()
    assert wait_for(lambda: not alive(process))


def test_a_second_run_is_refused_until_the_first_is_gone(tmp_path):
    path = tmp_path / "one.lock"
    hold = f"from g2vlm.run.session import lock; kept = lock({str(path)!r}); "
    wait = hold + "print('held', flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    first = subprocess.Popen([sys.executable, "-c", wait], **pipes)
    assert first.stdout.readline() == "held\n"
    second = subprocess.run([sys.executable, "-c", hold], capture_output=True, text=True)
    assert second.returncode and f"another snakemake (process {first.pid})" in second.stderr
    first.kill()
    first.wait()
    third = subprocess.run([sys.executable, "-c", hold], capture_output=True, text=True)
    assert third.returncode == 0, third.stderr


def test_progress_prints_stage_share_and_time_left(capsys):
    progress = Progress("train full", every_seconds=0)
    progress.started -= 10
    progress(1, 4)
    progress(4, 4)
    rows = capsys.readouterr().err.splitlines()
    assert rows == [
        "train full:  25 % (1/4), 0:00:30 left",
        "train full: 100 % (4/4), done in 0:00:10",
    ]


def test_progress_prints_no_line_within_the_interval(capsys):
    progress = Progress("train", every_seconds=1000)
    for step in range(1, 50):
        progress(step, 50)
    assert len(capsys.readouterr().err.splitlines()) == 1
