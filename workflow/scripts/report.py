"""Write the report page."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.models.file_format import sentence
    from g2vlm.run.manifest import origin
    from g2vlm.run.overhead import read_overhead
    from report.config import ReportConfig
    from report.page import Sources, write_report

    results = Path("results", task.config["experiment"])
    sources = Sources(
        statistics=results / "statistics",
        figures=results / "figures",
        background=results / "background",
        gallery=results / "gallery",
        verification=results if task.input.verification else None,
        datasheets=task.input.datasheets,
    )
    config = ReportConfig.from_experiment(task.params.config)
    notes = [sentence(Path(path).parent) for path in task.input.model]
    if overhead := read_overhead(results):
        notes.append(overhead.sentence())
    write_report(sources, task.output[0], config, origin(task.config), notes)
