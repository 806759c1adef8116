"""Train one method with one seed; a killed training goes on from its last checkpoint."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.training.train import train

    results = Path("results", task.config["experiment"])
    train(
        task.config,
        {"name": task.wildcards.trained} | task.params.method,
        results / "scenes",
        results / "features",
        Path(task.output.model).parent,
        Path(task.params.checkpoints),
        int(task.wildcards.seed),
        task.threads,
    )
