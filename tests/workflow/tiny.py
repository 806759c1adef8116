"""A copy of the project with an experiment of a minute, for tests that run the whole DAG."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from metrics.files import sha256_file

ROOT = Path.cwd()
PARTS = (
    "g2vlm",
    "metrics",
    "report",
    "viewer",
    "baselines",
    "config",
    "workflow",
    "profiles",
    "Snakefile",
)
PINS = ("data.manifest.json", "data.dvc", "requirements.lock")
TINY = {
    "experiment": "tiny",
    "data": {"splits": {"train": 6, "val": 3, "dev_scene": 3, "dev_asset": 3, "real_rooms": 0}},
    "methods": ["full", "reconstruction_only"],
    "render": {"width": 64, "height": 48},
    "seeds": 2,
    "train": {"stage1_steps": 3, "stage2_steps": 6, "batch_scenes": 2, "checkpoint_seconds": 0.1},
    "score": {"surface_samples": 20000, "occupancy_points": 5000},
}


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


def start(root, *options, config="tiny.yaml"):
    """Start the run and return its process; its output is appended to run.log."""
    call = [sys.executable, "-m", "snakemake", "reproduce", "--configfile", config]
    with open(root / "run.log", "a") as log:
        options = options or ("--cores", "2")
        return subprocess.Popen([*call, *options], cwd=root, stdout=log, stderr=log)


def finish(root, *options):
    """Run to the end."""
    assert start(root, *options).wait() == 0, (root / "run.log").read_text()[-3000:]


def hashes(root, patterns=("scores/**/*.parquet", "statistics/*.parquet", "tables/*.csv")):
    """Return the sha256 of every result without times."""
    results = root / "results" / "tiny"
    files = {}
    for pattern in patterns:
        for path in sorted(results.glob(pattern)):
            if path.stem not in ("cost", "cost_quality"):
                files[path.relative_to(results).as_posix()] = sha256_file(path)
    assert len(files) > 10
    return files
