"""Run a trained model over one split with its calibrated thresholds and keep only its scores."""

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.readers import TextFeatures, open_split
    from g2vlm.inference.network import Network
    from g2vlm.inference.predict import evaluate_model

    results, split = task.results, task.wildcards.split
    model = results / "models" / task.wildcards.trained / task.wildcards.seed
    evaluate_model(
        Network(model, TextFeatures(results / "features")),
        *open_split(results, split),
        task.input.thresholds,
        results / "truth" / split,
        task.output[0],
        task.config,
        task.params.metrics,
        progress=task.progress(split),
    )
