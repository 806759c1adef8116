"""Draw the figures that no method's scores change."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from report.background import write_background

    write_background(task.input.losses, Path(task.output[0]).parent, task.params.splits)
