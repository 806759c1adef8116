"""Prepare what the scores of every method share: reduced true surfaces, voxels, floors."""

from g2vlm.run.job import job

with job(snakemake) as task:
    from metrics.prepare import prepare

    prepare(task.results / "truth" / task.wildcards.split)
