"""Prepare what every method's scores share: truth-side samples, trees and visibility."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from metrics.reconstruction.surfaces import prepare

    prepare(Path(task.output[0]).parent)
