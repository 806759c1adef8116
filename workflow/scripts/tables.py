"""Write every table of the experiment, and its summary for the terminal."""

from g2vlm.run.job import job

with job(snakemake) as task:
    from metrics.files import atomic_path
    from report.config import ReportConfig
    from report.headline import terminal_summary
    from report.tables import write_tables

    config = ReportConfig.from_experiment(task.params.config)
    write_tables(task.results / "statistics", task.results / "tables", config)
    summary = terminal_summary(task.results / "statistics", config)
    with atomic_path(task.output.headline) as path:
        path.write_text(summary + "\n", encoding="utf-8")
