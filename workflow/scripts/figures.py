"""Draw every figure of the experiment."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from metrics.present.figures import write_figures

    results = Path("results", task.config["experiment"])
    folder = Path(task.output[0]).parent
    write_figures(results / "statistics", results / "models", folder, task.params.statistics)
