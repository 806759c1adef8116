"""Draw the rooms of the opened sealed test."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.run.seal import read_seal, redraw_rooms

    out = Path(task.output[0]).parent
    redraw_rooms(
        task.params.config, read_seal(Path(task.input.seal)), Path(task.params.folder), out
    )
