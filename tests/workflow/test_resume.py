"""A run that is killed again and again ends in the same bytes as one that is not."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from metrics.files import sha256_file

ROOT = Path.cwd()
PARTS = ("g2vlm", "metrics", "baselines", "config", "workflow", "profiles", "Snakefile")
PINS = ("data.manifest.json", "data.dvc", "requirements.lock")
TINY = {
    "experiment": "tiny",
    "data": {"splits": {"train": 6, "val": 3, "test_scene": 3, "test_asset": 3}},
    "methods": ["full", "reconstruction_only"],
    "render": {"width": 64, "height": 48},
    "seeds": 2,
    "train": {"stage1_steps": 3, "stage2_steps": 6, "batch_scenes": 2, "checkpoint_seconds": 0.1},
    "score": {"surface_samples": 20000, "occupancy_points": 5000},
}
RUN = ["-m", "snakemake", "reproduce", "--cores", "2", "--configfile", "tiny.yaml"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "data").is_dir(), reason="needs data/: make data"),
]


def clone(root):
    """Copy the code and link the data files into a folder with a tiny experiment."""
    root.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / part, root / part)
    for name in PINS:
        shutil.copy2(ROOT / name, root / name)
    shutil.copytree(ROOT / "data", root / "data", copy_function=os.link)
    (root / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    return root


def start(root):
    log = open(root / "run.log", "a")  # noqa: SIM115 - the process writes on
    return subprocess.Popen([sys.executable, *RUN], cwd=root, stdout=log, stderr=log)


def finish(root):
    assert start(root).wait() == 0, (root / "run.log").read_text()[-3000:]


def hashes(root):
    """Return the sha256 of every result that holds no times."""
    results = root / "results" / "tiny"
    found = {}
    for pattern in ("scores/**/*.parquet", "statistics/*.parquet", "tables/*.csv"):
        for path in sorted(results.glob(pattern)):
            if path.stem != "cost":
                found[path.relative_to(results).as_posix()] = sha256_file(path)
    assert len(found) > 10
    return found


def kill_once_there(root, pattern):
    """Start the run and kill its main process as soon as a file matches the pattern."""
    process = start(root)
    while not any((root / "results" / "tiny").glob(pattern)) and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    assert process.wait() in (0, -signal.SIGKILL), (root / "run.log").read_text()[-3000:]


def test_kills_at_every_stage_change_no_result(tmp_path):
    whole, torn = clone(tmp_path / "whole"), clone(tmp_path / "torn")
    finish(whole)
    for pattern in (
        "scenes/*/000.jsonl",
        "features/images/*.safetensors",
        "checkpoints/*/*/*",
        "predictions/full/0/val/manifest.json",
        "scores/full/0/*.parquet",
        "statistics/estimates.parquet",
    ):
        kill_once_there(torn, pattern)
    finish(torn)
    assert hashes(torn) == hashes(whole)
