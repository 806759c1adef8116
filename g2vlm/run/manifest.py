"""The record of a run: code, data, environment, machine, cost and results, also as a crate."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from g2vlm.run import data as pins
from metrics.files import InputError, atomic_path, read_json, sha256_file, write_json

ROOT = Path(__file__).resolve().parents[2]
# Folders whose every file is recorded. A submission's own manifest.json records its other files.
STAGES = ("recipes", "sealed", "scenes", "truth", "features", "models")
PREDICTIONS = "predictions"
RESULT_KINDS = (".parquet", ".csv", ".md", ".tex", ".html", ".pdf", ".png", ".json", ".txt")
# The crate's profiles, and what it holds of the clone.
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
WORKFLOW = ("workflow", "config", "baselines", "g2vlm", "metrics", "report", "viewer", "profiles")
INPUTS = ("data.dvc", "data.manifest.json", "requirements.lock")
SOURCES = (".py", ".smk", ".yaml", ".json", ".j2", ".js", ".css", ".csv", ".in")


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
    return origin(config) | {
        "format": "g2vlm-experiment",
        "version": 1,
        **stamps,
        "packages": {
            item.metadata["Name"].lower(): item.version for item in metadata.distributions()
        },
        "config": dict(config),
        "methods": dict(methods),
        "jobs": read_costs(results / "benchmarks"),
        "sizes": {
            folder.name: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            for folder in sorted(results.iterdir())
            if folder.is_dir()
        },
        "results": hash_results(results, folders),
        "stage_files": hash_stages(results),
    }


def origin(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the code, data, environment, machine and opened seal of an experiment."""
    seal = config.get("seal", {})
    return {
        "experiment": config["experiment"],
        "code": git_state(),
        **(
            {"seal": {key: seal[key] for key in ("digest", "commit", "opened", "seed")}}
            if seal
            else {}
        ),
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


def read_costs(folder: Path) -> dict[str, dict[str, float]]:
    """Return wall and CPU seconds and peak memory (MB) of every job (`g2vlm.run.job`)."""
    return {
        path.relative_to(folder).with_suffix("").as_posix(): read_json(path)
        for path in sorted(folder.rglob("*.json"))
    }


def hash_results(results: Path, folders: Iterable[str]) -> dict[str, str]:
    """Return the sha256 of every result file in the named folders and at the top."""
    roots = [path for path in results.iterdir() if path.is_file() and path.name != "manifest.json"]
    for folder in folders:
        roots += [path for path in (results / folder).rglob("*") if path.is_file()]
    chosen = [path for path in roots if path.suffix in RESULT_KINDS]
    return {path.relative_to(results).as_posix(): sha256_file(path) for path in sorted(chosen)}


def hash_stages(results: Path) -> dict[str, str]:
    """Return the sha256 of what the stages before the scores made: data, models, submissions."""
    paths = [path for stage in STAGES for path in (results / stage).rglob("*")]
    paths += (results / PREDICTIONS).rglob("*.json")
    files = sorted(path for path in paths if path.is_file())
    return {path.relative_to(results).as_posix(): sha256_file(path) for path in files}


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


def write_crate(root: Path, results: Path, manifest: Mapping[str, Any], path: Path) -> None:
    """Pack a finished run as a Workflow Run RO-Crate: code, pins of inputs, results, in one zip.

    The crate holds the small results. Renders, features, predictions and weights stay outside it;
    the manifest names them. It is written completely or not at all.

    Args:
        root: the clone that ran.
        results: the experiment's folder.
        manifest: the run's record (`describe`).
        path: the zip file.

    Source: Workflow Run Crate 0.5 (Leo et al. 2024) over RO-Crate 1.1 (Soiland-Reyes et al. 2022).
    """
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version="1.1")
    experiment = manifest["experiment"]
    crate.name = f"g2vlm: the {experiment} experiment"
    crate.description = (
        "Scores, intervals and tests of geometry-grounded vision-language models, their "
        "ablations and baselines."
    )
    crate.license = "https://spdx.org/licenses/Apache-2.0"
    profiles = [
        crate.add(ContextEntity(crate, link, {"@type": "CreativeWork", "name": name}))
        for link, name in PROFILES.items()
    ]
    crate.root_dataset["conformsTo"] = profiles
    workflow = crate.add_workflow(root / "Snakefile", "Snakefile", main=True, lang="snakemake")
    workflow["version"] = manifest["code"]["commit"] or "unversioned"
    workflow["hasPart"] = [
        crate.add_file(path, path.relative_to(root).as_posix())
        for name in WORKFLOW
        for path in sorted((root / name).rglob("*"))
        if path.suffix in SOURCES and "__pycache__" not in path.parts
    ]
    inputs = [crate.add_file(root / name, name) for name in INPUTS]
    produced = [crate.add_file(results / "manifest.json", "results/manifest.json")]
    for name, digest in manifest["results"].items():
        file = results / name
        properties = {"sha256": digest, "contentSize": str(file.stat().st_size)}
        produced.append(crate.add_file(file, f"results/{name}", properties=properties))
    # The run lasts from the first log of a job to the last, ISO 8601 in UTC.
    stamps = [log.stat().st_mtime for log in (results / "logs").rglob("*.log")]
    stamps = stamps or [(results / "manifest.json").stat().st_mtime]
    action = crate.add(
        ContextEntity(
            crate,
            "#run",
            {
                "@type": "CreateAction",
                "name": f"snakemake reproduce ({experiment})",
                "startTime": datetime.fromtimestamp(min(stamps), UTC).isoformat(),
                "endTime": datetime.fromtimestamp(max(stamps), UTC).isoformat(),
                "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
            },
        )
    )
    action["instrument"], action["object"], action["result"] = workflow, inputs, produced
    crate.root_dataset["mentions"] = action
    with atomic_path(path) as temporary, tempfile.TemporaryDirectory() as folder:
        # The library sets the suffix of the file itself.
        Path(temporary).write_bytes(Path(crate.write_zip(Path(folder, "crate.zip"))).read_bytes())


def _hash(path: Path) -> str | None:
    return sha256_file(path) if path.exists() else None


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
