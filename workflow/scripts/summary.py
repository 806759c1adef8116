"""Write the mean of every metric as one small JSON file."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.run.manifest import write_summary

    write_summary(Path(task.input.estimates), Path(task.output[0]))
