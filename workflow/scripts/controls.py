"""Stop the study when the oracle or chance does not stand where it must."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from metrics.controls import check_chance, check_oracle
    from metrics.files import InputError, write_json

    results = Path("results", task.config["experiment"])
    faults = {}
    for split in task.config["score"]["splits"]:
        truth = results / "truth" / split
        oracle = [path for path in task.input.oracle if Path(path).stem == split]
        chance = [path for path in task.input.chance if Path(path).stem == split]
        found = [fault for path in oracle for fault in check_oracle(path, truth)]
        found += check_chance(chance, truth) if chance else []
        faults[split] = found
    for split, found in faults.items():
        for fault in found:
            print(f"{split}: {fault}")
    wrong = sum(map(len, faults.values()))
    if wrong:
        raise InputError(
            f"{task.log[0]}: {wrong} control values are off, so no score can be trusted; "
            "they are listed there: mend the metric, the truth or the control"
        )
    write_json(task.output[0], {"checked": sorted(faults), "faults": faults})
