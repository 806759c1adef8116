"""Run a trained model over one split with its calibrated thresholds and keep only its scores."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.readers import TextFeatures, open_split
    from g2vlm.inference.predict import evaluate_model
    from g2vlm.run.progress import Progress

    results, split = Path("results", task.config["experiment"]), task.wildcards.split
    evaluate_model(
        Path(task.input.model).parent,
        *open_split(results, split),
        TextFeatures(results / "features"),
        task.input.thresholds,
        results / "truth" / split,
        task.output[0],
        task.config,
        progress=Progress(split),
    )
