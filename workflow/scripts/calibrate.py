"""Calibrate the thresholds of a study's training on the validation scenes."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.readers import ImageFeatures, TextFeatures
    from g2vlm.inference.calibrate import calibrate_thresholds
    from g2vlm.run.progress import Progress
    from g2vlm.scenes.dataset import SceneStore

    results = Path("results", task.config["experiment"])
    calibrate_thresholds(
        Path(task.input.model).parent,
        SceneStore(results / "scenes" / "val"),
        ImageFeatures(results / "features" / "images" / "val.safetensors"),
        TextFeatures(results / "features"),
        task.config,
        task.output[0],
        progress=Progress("calibrate thresholds"),
    )
