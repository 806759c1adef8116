"""The record of a run: code, data, environment, machine, cost and hashes of the results."""

import csv
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from g2vlm.run import data as pins
from metrics.files import InputError, read_json, sha256_file, write_json

ROOT = Path(__file__).resolve().parents[2]
RESULT_KINDS = (".parquet", ".csv", ".md", ".tex", ".html", ".pdf", ".png", ".json", ".txt")


def describe(
    results: Path,
    config: Mapping[str, Any],
    methods: Mapping[str, Any],
    folders: Iterable[str],
    stamps: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the record of an experiment. Times are in seconds, memory in MB, sizes in bytes.

    Args:
        results: the experiment's folder.
        config: its merged config.
        methods: its learned methods by name.
        folders: the folders in `results` whose files are listed by sha256.
        stamps: goes into the record as it is: `stamp`, which the study's tables and figures carry,
            and `stamps` by folder of the figures that depend on fewer files.
    """
    jobs = read_benchmarks(results / "benchmarks")
    packages = {item.metadata["Name"].lower(): item.version for item in metadata.distributions()}
    return origin(config) | {
        "format": "g2vlm-experiment",
        "version": 1,
        **stamps,
        "packages": packages,
        "config": dict(config),
        "methods": dict(methods),
        "jobs": jobs,
        "stages": total_by_stage(jobs),
        "sizes": {path.name: _size(path) for path in sorted(results.iterdir()) if path.is_dir()},
        "results": hash_results(results, folders),
    }


def origin(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the code, data, environment and machine of an experiment."""
    return {
        "experiment": config["experiment"],
        "code": git_state(),
        "data": {"folder_md5": pins.folder_hash(), "manifest_sha256": _hash(pins.MANIFEST)},
        "environment": {"lock_sha256": _hash(Path("requirements.lock"))},
        "machine": machine(),
    }


def git_state() -> dict[str, Any]:
    """Return the commit and whether tracked files differ from it; None outside a git clone."""
    commit = _output("git", "rev-parse", "HEAD")
    changed = _output("git", "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changed is None else bool(changed)}


def machine() -> dict[str, Any]:
    """Return processor, cores, memory and GPUs of this machine."""
    gpus = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "gpus": gpus.splitlines() if gpus else [],
    }


def read_benchmarks(folder: Path) -> dict[str, dict[str, float | None]]:
    """Return wall and CPU seconds and peak memory (MB) of every job's benchmark file.

    Each entry also holds what the job wrote next to that file (`g2vlm.run.job.write_times`), if
    anything.
    """
    jobs = {}
    for path in sorted(folder.rglob("*.tsv")):
        times = path.with_suffix(".json")
        with open(path, encoding="utf-8", newline="") as handle:
            for row in csv.DictReader(handle, delimiter="\t"):
                jobs[path.relative_to(folder).with_suffix("").as_posix()] = {
                    "wall_seconds": _number(row.get("s")),
                    "cpu_seconds": _number(row.get("cpu_time")),
                    "peak_memory_mb": _number(row.get("max_rss")),
                    **(read_json(times) if times.exists() else {}),
                }
    return jobs


def total_by_stage(jobs: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, float]]:
    """Return the number of jobs and their summed wall and CPU seconds by stage."""
    stages: dict[str, dict[str, float]] = {}
    for name, job in jobs.items():
        stage = stages.setdefault(
            name.split("/")[0], {"jobs": 0, "wall_seconds": 0.0, "cpu_seconds": 0.0}
        )
        stage["jobs"] += 1
        for key in ("wall_seconds", "cpu_seconds"):
            stage[key] = round(stage[key] + (job[key] or 0.0), 2)
    return stages


def hash_results(results: Path, folders: Iterable[str]) -> dict[str, str]:
    """Return the sha256 of every result file in the named folders and at the top."""
    roots = [path for path in results.iterdir() if path.is_file() and path.name != "manifest.json"]
    for folder in folders:
        roots += [path for path in (results / folder).rglob("*") if path.is_file()]
    chosen = [path for path in roots if path.suffix in RESULT_KINDS]
    return {path.relative_to(results).as_posix(): sha256_file(path) for path in sorted(chosen)}


def write_summary(estimates: Path, path: Path) -> None:
    """Write {split: {method: {metric: mean over scenes and seeds}}} as JSON, for `dvc metrics`.

    Args:
        estimates: Parquet table with a row per method, split, subset and metric. Only rows of the
            subset "all" are written.
        path: the JSON file.

    Raises:
        InputError: `estimates` is not such a table.
    """
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(
            estimates, columns=["split", "method", "subset", "metric", "mean"]
        ).to_pylist()
    except (OSError, ValueError) as error:
        raise InputError(f"{estimates}: not a table of estimates; run `compare` again") from error
    means: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        mean = row["mean"]
        if row["subset"] == "all" and mean is not None and mean == mean:
            of_method = means.setdefault(row["split"], {}).setdefault(row["method"], {})
            of_method[row["metric"]] = round(mean, 6)
    write_json(path, means)


def _hash(path: Path) -> str | None:
    return sha256_file(path) if path.exists() else None


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _number(text: str | None) -> float | None:
    try:
        return round(float(text or ""), 3)
    except ValueError:
        return None


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for row in info.read_text().splitlines():
            if row.startswith("model name"):
                return row.split(":", 1)[1].strip()
    return platform.processor() or sys.platform


def _output(*call: str) -> str | None:
    """Return a command's stripped output, or None where it is missing or fails."""
    if shutil.which(call[0]) is None:
        return None
    done = subprocess.run(call, capture_output=True, text=True, cwd=ROOT)
    return done.stdout.strip() if done.returncode == 0 else None
