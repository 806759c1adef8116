"""Draw the figures that do not depend on any method's scores."""

from g2vlm.run.job import job

with job(snakemake) as task:
    from report.background import write_background
    from report.config import ReportConfig

    config = ReportConfig.from_experiment(task.params.config)
    write_background(task.input.losses, task.results / "background", config, task.params.splits)
