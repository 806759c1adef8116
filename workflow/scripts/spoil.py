"""Let one trained model answer the judged split under every spoiled condition, and score it."""

import shutil
from functools import partial
from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.encoders import view_features
    from g2vlm.features.image_encoders import load_image_encoder
    from g2vlm.features.readers import ImageFeatures, TextFeatures
    from g2vlm.inference.predict import predict
    from g2vlm.inference.spoil import SpoiledStore, conditions
    from g2vlm.run.progress import Progress
    from g2vlm.scenes.dataset import SceneStore
    from metrics.score import score_submission

    results, split = Path("results", task.config["experiment"]), task.params.split
    features = results / "features"
    texts = TextFeatures(features)
    store = SceneStore(results / "scenes" / split)
    images = ImageFeatures(features / "images" / f"{split}.safetensors")
    encode = partial(view_features, load_image_encoder(task.params.encoder))
    for condition, table in zip(conditions(task.params.asked), task.output, strict=True):
        spoiled = SpoiledStore(
            store, images, condition, task.params.sensor, task.config["seed"], encode
        )
        # Predictions of one condition are as large as a method's own; only their scores are kept.
        folder = Path(table).with_suffix(".predictions")
        model, thresholds = Path(task.input.model).parent, task.input.thresholds
        told = Progress(condition.label)
        predict(
            model, spoiled, spoiled, texts, folder, split, task.config, thresholds, progress=told
        )
        truth = results / "truth" / split
        score_submission(folder, truth, table, truth)
        shutil.rmtree(folder)
