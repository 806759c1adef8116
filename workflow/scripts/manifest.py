"""Write the record of the run."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.run.manifest import describe
    from metrics.files import write_json
    from report.statistics import read_stamps, stamp_of_study

    path = Path(task.output[0])
    results = path.parent
    folders = ("statistics", "scores", "tables", "figures", "background", "gallery")
    stamps = {"stamp": stamp_of_study(results / "statistics"), "stamps": read_stamps(results)}
    write_json(path, describe(results, task.config, task.params.methods, folders, stamps))
