"""Encode the images of one shard with the frozen encoder."""

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.image_encoders import encode_images
    from g2vlm.scenes.dataset import SceneStore

    encode_images(
        SceneStore(task.results / "scenes" / task.wildcards.split, task.wildcards.shard),
        task.output[0],
        task.params.encoder,
        task.threads,
        task.progress("scenes"),
    )
