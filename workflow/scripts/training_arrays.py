"""Compute the arrays of one shard's scenes that all trainings share."""

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.scenes.dataset import SceneStore
    from g2vlm.training.shards import write_shard

    write_shard(SceneStore(task.results / "scenes" / "train", task.wildcards.shard), task.output[0])
