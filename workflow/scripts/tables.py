"""Write every table of the experiment, and its headline for the terminal."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from metrics.files import atomic_path
    from report.tables import write_tables
    from report.terminal import headline

    statistics = Path(task.input[0]).parent
    write_tables(statistics, Path(task.output.tables).parent, task.params.statistics)
    with atomic_path(task.output.headline) as path:
        path.write_text(headline(statistics) + "\n", encoding="utf-8")
