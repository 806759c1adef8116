"""Requirements that the record of a finished run answers: core seconds of jobs, and disk."""

from pathlib import Path
from statistics import median

from benchmarks.timing import Requirement, at_most
from metrics.files import read_json

MEGABYTE = 1e6


def of_run(experiment: Path) -> list[Requirement]:
    """Return what the manifest of an experiment says, medians over the trainings of a method."""
    path = experiment / "manifest.json"
    if not path.is_file():
        why = f"{path}: no such file; name a finished run by --experiment"
        return [Requirement("jobs of a run", why, "", None)]
    manifest = read_json(path)
    jobs, splits = manifest["jobs"], manifest["config"]["data"]["splits"]
    answered, scored = (
        sum(splits[split] for split in manifest["config"][part]["splits"])
        for part in ("predict", "score")
    )
    runs = sum(name.startswith("predict/") for name in jobs)
    run = f"of {experiment}"
    found = []
    if len({job["run_began"] for job in jobs.values()}) == 1:
        minutes = (max(job["ended"] for job in jobs.values()) - jobs["report"]["run_began"]) / 60
        found.append(at_most(f"all jobs {run}, wall", minutes, 50, " min"))
    for task, names, units, limit in (
        ("one training (full)", "train/full-", 1, 75),
        (f"prediction (full), a scene of {answered}", "predict/full-", answered, 0.15),
        (f"scoring (full), a scene of {scored}", "score/full-", scored, 0.25),
        (f"scoring (tsdf_fusion), a scene of {scored}", "score/tsdf_fusion-", scored, 0.5),
        ("all statistics", "compare", 1, 5),
        ("the report's page", "report", 1, 20),
    ):
        seconds = [job["cpu_seconds"] for name, job in jobs.items() if name.startswith(names)]
        if seconds:
            found.append(at_most(f"{task} {run}", median(seconds) / units, limit, " core-s"))
    size = manifest["sizes"].get("predictions", 0) / MEGABYTE / max(runs * answered, 1)
    if size:
        found.append(at_most(f"predictions {run}, a scene", size, 0.4, " MB"))
    page = experiment / "report.html"
    if page.is_file():
        found.append(at_most(f"report {run}", page.stat().st_size / MEGABYTE, 12, " MB"))
    return found
