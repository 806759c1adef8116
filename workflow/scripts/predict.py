"""Calibrate one trained model's thresholds on val and write its predictions of `params.splits`.

Thresholds that are an input are used as they are.
"""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.readers import open_split, open_texts
    from g2vlm.inference.calibrate import calibrate_thresholds
    from g2vlm.inference.network import Network
    from g2vlm.inference.predict import predict

    splits = task.params.splits
    network = Network(Path(task.input.model).parent, open_texts(task.results, splits))
    thresholds = task.input.get("thresholds")
    if thresholds is None:
        thresholds = task.output.thresholds
        calibrate_thresholds(
            network,
            *open_split(task.results, "val"),
            task.config,
            thresholds,
            progress=task.progress("calibrate thresholds"),
        )
    for split in splits:
        predict(
            network,
            *open_split(task.results, split),
            task.results / "predictions" / task.wildcards.trained / task.wildcards.seed / split,
            split,
            task.config,
            thresholds,
            progress=task.progress(split),
        )
