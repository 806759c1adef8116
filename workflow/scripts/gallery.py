"""Draw chosen scenes of the reference method, and write the data of the page's 3D view."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from report.gallery import write_gallery

    write_gallery(
        task.input.scores,
        Path(task.input.truth[0]).parent,
        Path(task.input.submission).parent,
        Path(task.input.scenes[0]).parent,
        Path(task.output[0]).parent,
    )
