"""Train one method with one seed; a killed training continues from its last checkpoint."""

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.training.launch import launch

    launch(
        {
            "config": task.config,
            "method": {"name": task.wildcards.trained} | task.params.method,
            "results": str(task.results),
            "out_dir": str(task.results / "models" / task.wildcards.trained / task.wildcards.seed),
            "checkpoint_dir": task.params.checkpoints,
            "seed": int(task.wildcards.seed),
            "threads": max(1, task.threads // task.params.processes),
        },
        task.params.processes,
    )
