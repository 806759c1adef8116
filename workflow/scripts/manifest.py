"""Record where the experiment's results came from."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.run.manifest import describe
    from metrics.files import write_json

    path = Path(task.output[0])
    folders = ("statistics", "scores", "tables", "figures", "background", "gallery")
    write_json(path, describe(path.parent, task.config, task.params.methods, folders))
