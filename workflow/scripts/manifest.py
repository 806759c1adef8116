"""Write the record of the run: the mean of every metric, the manifest and the crate."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.run.manifest import describe, write_crate, write_summary
    from metrics.files import write_json
    from report.statistics import read_stamps, stamp_of_study

    write_summary(Path(task.input.estimates), Path(task.output.metrics))
    results = task.results
    folders = ("statistics", "scores", "tables", "figures", "background", "gallery")
    stamps = {"stamp": stamp_of_study(results / "statistics"), "stamps": read_stamps(results)}
    manifest = describe(results, task.config, task.params.methods, folders, stamps)
    write_json(task.output.manifest, manifest)
    write_crate(Path(), results, manifest, Path(task.output.crate))
