"""Pack the finished run as a Workflow Run RO-Crate."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.run.crate import write_crate
    from metrics.files import read_json

    manifest = Path(task.input[0])
    write_crate(Path(), manifest.parent, read_json(manifest), Path(task.output[0]))
