"""Sample the recipes of an experiment with more scenes than data/."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.run.recipes import write_recipes

    write_recipes("data", Path(task.params.folder), task.params.splits)
