"""Where an experiment's results came from: code, data, environment, machine, cost, hashes."""

from __future__ import annotations

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
from metrics.files import read_json, sha256_file

ROOT = Path(__file__).resolve().parents[2]
RESULT_KINDS = (".parquet", ".csv", ".md", ".tex", ".html", ".pdf", ".png", ".json", ".txt")


def describe(
    results: Path,
    config: Mapping[str, Any],
    methods: Mapping[str, Any],
    folders: Iterable[str],
    stamps: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the record of the experiment under `results`.

    `folders` are the parts of `results` whose files are listed by sha256. `stamps` goes into the
    record as it is: `stamp`, which the study's tables and figures carry, and `stamps` by folder of
    the figures that depend on fewer files. Times are in seconds, memory in MB, sizes in bytes.
    """
    jobs = read_benchmarks(results / "benchmarks")
    return origin(config) | {
        "format": "g2vlm-experiment",
        "version": 1,
        **stamps,
        "packages": packages(),
        "config": dict(config),
        "methods": dict(methods),
        "jobs": jobs,
        "stages": total_by_stage(jobs),
        "sizes": {path.name: _size(path) for path in sorted(results.iterdir()) if path.is_dir()},
        "results": hash_results(results, folders),
    }


def origin(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a page about the experiment says of where it came from."""
    return {
        "experiment": config["experiment"],
        "code": git_state(),
        "data": {"folder_md5": pins.folder_hash(), "manifest_sha256": _hash(pins.MANIFEST)},
        "environment": {"lock_sha256": _hash(Path("requirements.lock"))},
        "machine": machine(),
    }


def git_state() -> dict[str, Any]:
    """Return the commit and whether tracked files differ from it (None outside a clone)."""
    commit = _output("git", "rev-parse", "HEAD")
    changed = _output("git", "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changed is None else bool(changed)}


def packages() -> dict[str, str]:
    """Return the installed distributions and their versions, sorted by name."""
    found = {item.metadata["Name"].lower(): item.version for item in metadata.distributions()}
    return dict(sorted(found.items()))


def machine() -> dict[str, Any]:
    """Return what the run's speed depends on: processor, cores, memory, GPUs."""
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

    Beside them, where the job recorded it (`g2vlm.run.clock`): seconds of its start and imports,
    when it began and ended, and when its run began (seconds since 1970).
    """
    jobs = {}
    for path in sorted(folder.rglob("*.tsv")):
        with open(path, encoding="utf-8", newline="") as handle:
            for row in csv.DictReader(handle, delimiter="\t"):
                jobs[path.relative_to(folder).with_suffix("").as_posix()] = {
                    "wall_seconds": _number(row.get("s")),
                    "cpu_seconds": _number(row.get("cpu_time")),
                    "peak_memory_mb": _number(row.get("max_rss")),
                    **_recorded(path.with_suffix(".json")),
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


def _hash(path: Path) -> str | None:
    return sha256_file(path) if path.exists() else None


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _recorded(path: Path) -> dict[str, float | None]:
    return read_json(path) if path.exists() else {}


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
