"""Write the report page."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.models.file_format import sentence
    from g2vlm.run.manifest import origin
    from report.config import ReportConfig
    from report.page import Sources, write_report

    sources = Sources(
        statistics=task.results / "statistics",
        tables=task.results / "tables",
        figures=task.results / "figures",
        background=task.results / "background",
        gallery=task.results / "gallery",
        verification=task.results if task.input.verification else None,
        datasheets=task.input.datasheets,
    )
    write_report(
        sources,
        task.output[0],
        ReportConfig.from_experiment(task.params.config),
        origin(task.config),
        [sentence(Path(path).parent) for path in task.input.model],
    )
