"""Check the scores of the two bounding controls; stop the run if one is off."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from metrics.controls import check_ceiling, check_chance
    from metrics.files import InputError, write_json

    settings = task.config["statistics"]
    faults = {}
    for split in task.config["score"]["splits"]:
        truth = task.results / "truth" / split
        upper = [path for path in task.input.upper if Path(path).stem == split]
        lower = [path for path in task.input.lower if Path(path).stem == split]
        faults[split] = check_chance(lower, truth, settings["lower_bound"]) if lower else []
        for path in upper:
            faults[split] += check_ceiling(path, truth, settings["upper_bound"])
        for fault in faults[split]:
            print(f"{split}: {fault}")
    count = sum(map(len, faults.values()))
    if count:
        raise InputError(
            f"{task.log[0]}: {count} control values are off, so no score can be trusted; "
            "fix the metric, the truth or the control (the log lists the values)"
        )
    write_json(task.output[0], {"checked": sorted(faults), "faults": faults})
