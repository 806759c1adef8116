"""Calibrate the thresholds of a study's training on the validation scenes."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.readers import TextFeatures, open_split
    from g2vlm.inference.calibrate import calibrate_thresholds
    from g2vlm.run.progress import Progress

    results = Path("results", task.config["experiment"])
    calibrate_thresholds(
        Path(task.input.model).parent,
        *open_split(results, "val"),
        TextFeatures(results / "features"),
        task.config,
        task.output[0],
        progress=Progress("calibrate thresholds"),
    )
