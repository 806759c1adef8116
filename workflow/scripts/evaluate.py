"""Run a trained model over one split with its calibrated thresholds and keep only its scores."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.readers import ImageFeatures, TextFeatures
    from g2vlm.inference.predict import evaluate_model
    from g2vlm.run.progress import Progress
    from g2vlm.scenes.dataset import SceneStore

    results, split = Path("results", task.config["experiment"]), task.wildcards.split
    evaluate_model(
        Path(task.input.model).parent,
        SceneStore(results / "scenes" / split),
        ImageFeatures(results / "features" / "images" / f"{split}.safetensors"),
        TextFeatures(results / "features"),
        task.input.thresholds,
        results / "truth" / split,
        task.output[0],
        task.config,
        progress=Progress(split),
    )
