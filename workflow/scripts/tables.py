"""Write every table of the experiment, and its summary for the terminal."""

from g2vlm.run.job import job

with job(snakemake) as task:
    from report.config import ReportConfig
    from report.headline import write_summary
    from report.tables import write_tables

    config = ReportConfig.from_experiment(task.params.config)
    write_tables(task.results / "statistics", task.results / "tables", config)
    write_summary(task.results / "statistics", task.output.headline, config)
