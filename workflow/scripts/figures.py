"""Draw every figure of the experiment's scores."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from report.config import ReportConfig
    from report.figures import write_figures

    statistics, folder = Path(task.input[0]).parent, Path(task.output[0]).parent
    write_figures(statistics, folder, ReportConfig.from_experiment(task.params.config))
