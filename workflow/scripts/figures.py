"""Draw every figure of the experiment's scores."""

from g2vlm.run.job import job

with job(snakemake) as task:
    from report.config import ReportConfig
    from report.figures import write_figures

    config = ReportConfig.from_experiment(task.params.config)
    write_figures(task.results / "statistics", task.results / "figures", config)
