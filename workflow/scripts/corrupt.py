"""Evaluate one trained model on one split under every corruption of its input."""

from functools import partial

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.image_encoders import load_image_encoder, view_features
    from g2vlm.features.readers import TextFeatures, open_split
    from g2vlm.inference.corrupt import CorruptedStore, conditions
    from g2vlm.inference.network import Network
    from g2vlm.inference.predict import evaluate_model

    results, split = task.results, task.params.split
    model = results / "models" / task.wildcards.trained / task.wildcards.seed
    network = Network(model, TextFeatures(results / "features"))
    store, images = open_split(results, split)
    encode = partial(view_features, load_image_encoder(task.params.encoder))
    for condition, table in zip(conditions(task.params.robustness), task.output, strict=True):
        corrupted = CorruptedStore(
            store, images, condition, task.params.sensor, task.config["seed"], encode
        )
        evaluate_model(
            network,
            corrupted,
            corrupted,
            task.input.thresholds,
            results / "truth" / split,
            table,
            task.config,
            task.params.metrics,
            progress=task.progress(condition.label),
        )
