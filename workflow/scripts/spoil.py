"""Let one trained model answer the judged split under every spoiled condition, and score it."""

from functools import partial
from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.encoders import view_features
    from g2vlm.features.image_encoders import load_image_encoder
    from g2vlm.features.readers import ImageFeatures, TextFeatures
    from g2vlm.inference.corrupt import SpoiledStore, conditions
    from g2vlm.inference.evaluate import judge_model
    from g2vlm.run.progress import Progress
    from g2vlm.scenes.dataset import SceneStore

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
        judge_model(
            Path(task.input.model).parent,
            spoiled,
            spoiled,
            texts,
            task.input.thresholds,
            results / "truth" / split,
            table,
            task.config,
            progress=Progress(condition.label),
        )
