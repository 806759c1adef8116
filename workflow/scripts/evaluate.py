"""Run a trained model over one split with its calibrated thresholds and keep only its scores."""

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.readers import TextFeatures, open_split
    from g2vlm.inference.predict import evaluate_model

    results, split = task.results, task.wildcards.split
    evaluate_model(
        results / "models" / task.wildcards.trained / task.wildcards.seed,
        *open_split(results, split),
        TextFeatures(results / "features"),
        task.input.thresholds,
        results / "truth" / split,
        task.output[0],
        task.config,
        progress=task.progress(split),
    )
