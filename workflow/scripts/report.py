"""Write the one page that a person opens."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.models.size import sentence
    from g2vlm.run.manifest import origin
    from g2vlm.run.overhead import read_overhead
    from report.report import Sources, write_report

    results = Path("results", task.config["experiment"])
    sources = Sources(
        statistics=results / "statistics",
        figures=results / "figures",
        background=results / "background",
        gallery=results / "gallery",
        verification=results if task.input.verification else None,
        datasheets=task.input.datasheets,
    )
    config = task.params.statistics | {"experiment": task.config["experiment"]}
    notes = [sentence(Path(path).parent) for path in task.input.model]
    notes += [spent.sentence() for spent in [read_overhead(results)] if spent is not None]
    write_report(sources, task.output[0], origin(task.config), config, notes)
