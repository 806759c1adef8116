"""Write every table of the experiment, and its summary for the terminal."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from metrics.files import atomic_path
    from report.config import ReportConfig
    from report.headline import terminal_summary
    from report.tables import write_tables

    statistics = Path(task.input[0]).parent
    config = ReportConfig.from_experiment(task.params.config)
    write_tables(statistics, Path(task.output.tables).parent, config)
    with atomic_path(task.output.headline) as path:
        path.write_text(terminal_summary(statistics, config) + "\n", encoding="utf-8")
