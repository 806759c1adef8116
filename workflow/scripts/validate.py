"""Let a training answer the validation scenes and score it there, for trials of its settings."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.readers import ImageFeatures, TextFeatures
    from g2vlm.inference.judge import judge_model
    from g2vlm.run.progress import Progress
    from g2vlm.scenes.dataset import SceneStore

    results = Path("results", task.config["experiment"])
    judge_model(
        Path(task.input.model).parent,
        SceneStore(results / "scenes" / "val"),
        ImageFeatures(results / "features" / "images" / "val.safetensors"),
        TextFeatures(results / "features"),
        task.input.thresholds,
        results / "truth" / "val",
        task.output[0],
        task.config,
        progress=Progress("val"),
    )
