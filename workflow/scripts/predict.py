"""Calibrate one trained model's thresholds on val and write its predictions of all splits."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.readers import TextFeatures, open_split
    from g2vlm.inference.calibrate import calibrate_thresholds
    from g2vlm.inference.predict import predict
    from g2vlm.run.progress import Progress

    model = Path(task.input.model).parent
    results = Path("results", task.config["experiment"])
    texts = TextFeatures(results / "features")
    splits = {split: open_split(results, split) for split in task.config["predict"]["splits"]}
    calibrate_thresholds(
        model,
        *splits["val"],
        texts,
        task.config,
        task.output.thresholds,
        progress=Progress("calibrate thresholds"),
    )
    for split, (store, images) in splits.items():
        predict(
            model,
            store,
            images,
            texts,
            results / "predictions" / task.wildcards.trained / task.wildcards.seed / split,
            split,
            task.config,
            task.output.thresholds,
            progress=Progress(split),
        )
