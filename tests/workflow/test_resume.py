"""A run that is killed, or repeated elsewhere, has the same bytes."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.workflow.tiny import clone, finish, hashes, start

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("data").is_dir(), reason="needs data/: make data"),
]
FIGURES = (
    "scores/**/*.parquet",
    "tables/*.csv",
    "tables/*.md",
    "figures/*.p*",
    "background/*.p*",
    "gallery/*.p*",
)


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A run without interruption."""
    root = clone(tmp_path_factory.mktemp("resume") / "complete")
    finish(root)
    return root


def wait_for(root, process, pattern):
    """Wait until a file of the results matches the pattern or the run is over."""
    while not any((root / "results" / "tiny").glob(pattern)) and process.poll() is None:
        time.sleep(0.1)


def children(pid):
    """Return the processes that descend from `pid`, each before its own children."""
    processes = []
    # A child is listed under the thread that started it, and Snakemake starts jobs from threads.
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in listed.read_text().split():
            processes += [int(child), *children(int(child))]
    return processes


def test_kills_at_every_stage_change_no_result(complete, tmp_path):
    root = clone(tmp_path / "killed")
    for pattern in (
        "scenes/*/000.jsonl",
        "features/images/*/*.safetensors",
        "checkpoints/*/*/*",
        "predictions/full/0/val/manifest.json",
        "scores/full/0/*.parquet",
        "statistics/estimates.parquet",
    ):
        process = start(root)
        wait_for(root, process, pattern)
        process.send_signal(signal.SIGKILL)
        assert process.wait() in (0, -signal.SIGKILL), (root / "run.log").read_text()[-3000:]
    finish(root)
    assert hashes(root) == hashes(complete)


def test_a_killed_job_fails_the_run_and_the_next_one_finishes(complete, tmp_path):
    root = clone(tmp_path / "killed")
    process = start(root)
    wait_for(root, process, "checkpoints/*/*/*")
    killed = 0
    for pid in reversed(children(process.pid)):
        try:
            os.kill(pid, signal.SIGKILL)
            killed += 1
        except ProcessLookupError:
            continue
    assert killed and process.wait() != 0
    finish(root)
    assert hashes(root) == hashes(complete)


def test_another_clone_on_one_core_gives_the_same_bytes(complete, tmp_path):
    again = clone(tmp_path / "again")
    finish(again, "--cores", "1")
    assert hashes(again, FIGURES) == hashes(complete, FIGURES)


def test_a_full_disk_is_one_line_and_the_next_run_finishes(complete, tmp_path):
    root = clone(tmp_path / "killed")
    results = root / "results"
    results.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(results)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs root to mount a small disk")
    try:
        assert start(root).wait() != 0
        errors = [row for row in (root / "run.log").read_text().splitlines() if "error: " in row]
        assert any("No space left on device" in row for row in errors)
        subprocess.run(["mount", "-o", "remount,size=2g", str(results)], check=True)
        finish(root)
        assert hashes(root) == hashes(complete)
    finally:
        subprocess.run(["umount", "-l", str(results)], check=True)
