"""Let a study's training answer the judged split, thresholds chosen on validation; score it."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.readers import ImageFeatures, TextFeatures
    from g2vlm.inference.choose import choose_thresholds
    from g2vlm.inference.judge import judge_model
    from g2vlm.run.progress import Progress
    from g2vlm.scenes.dataset import SceneStore

    model, split = Path(task.input.model).parent, task.params.split
    results = Path("results", task.config["experiment"])
    texts = TextFeatures(results / "features")
    (val, val_images), (store, images) = (
        (
            SceneStore(results / "scenes" / name),
            ImageFeatures(results / "features" / "images" / f"{name}.safetensors"),
        )
        for name in ("val", split)
    )
    thresholds = task.output.thresholds
    told = Progress("choose thresholds")
    choose_thresholds(model, val, val_images, texts, task.config, thresholds, progress=told)
    judge_model(
        model,
        store,
        images,
        texts,
        thresholds,
        results / "truth" / split,
        task.output.scores,
        task.config,
        progress=Progress(split),
    )
