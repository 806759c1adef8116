"""Stop the study when a control does not score what it must."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from metrics.controls import check_ceiling, check_chance
    from metrics.files import InputError, write_json

    results = Path("results", task.config["experiment"])
    settings = task.config["statistics"]
    faults = {}
    for split in task.config["score"]["splits"]:
        truth = results / "truth" / split
        upper = [path for path in task.input.upper if Path(path).stem == split]
        lower = [path for path in task.input.lower if Path(path).stem == split]
        found = [
            fault for path in upper for fault in check_ceiling(path, truth, settings["upper_bound"])
        ]
        found += check_chance(lower, truth, settings["lower_bound"]) if lower else []
        faults[split] = found
    for split, found in faults.items():
        for fault in found:
            print(f"{split}: {fault}")
    wrong = sum(map(len, faults.values()))
    if wrong:
        raise InputError(
            f"{task.log[0]}: {wrong} control values are off, so no score can be trusted; "
            "they are listed there: fix the metric, the truth or the control"
        )
    write_json(task.output[0], {"checked": sorted(faults), "faults": faults})
