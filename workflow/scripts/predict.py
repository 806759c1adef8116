"""Calibrate one trained model's thresholds on val and write its predictions of `params.splits`."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.readers import TextFeatures, open_split
    from g2vlm.inference.calibrate import calibrate_thresholds
    from g2vlm.inference.network import Network
    from g2vlm.inference.predict import predict

    network = Network(Path(task.input.model).parent, TextFeatures(task.results / "features"))
    calibrate_thresholds(
        network,
        *open_split(task.results, "val"),
        task.config,
        task.output.thresholds,
        progress=task.progress("calibrate thresholds"),
    )
    for split in task.params.splits:
        predict(
            network,
            *open_split(task.results, split),
            task.results / "predictions" / task.wildcards.trained / task.wildcards.seed / split,
            split,
            task.config,
            task.output.thresholds,
            progress=task.progress(split),
        )
