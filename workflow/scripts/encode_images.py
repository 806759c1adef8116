"""Encode one split's images with the frozen encoder."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.image_encoders import encode_images
    from g2vlm.run.progress import Progress
    from g2vlm.scenes.dataset import SceneStore

    encode_images(
        SceneStore(Path(task.input[0]).parent),
        task.output[0],
        task.params.encoder,
        task.threads,
        Progress("scenes"),
    )
