"""Train one method with one seed; a killed training continues from its last checkpoint."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.training.launch import launch

    results = Path("results", task.config["experiment"])
    arguments = {
        "config": task.config,
        "method": {"name": task.wildcards.trained} | task.params.method,
        "scenes_dir": str(results / "scenes"),
        "features_dir": str(results / "features"),
        "out_dir": str(Path(task.output.model).parent),
        "checkpoint_dir": task.params.checkpoints,
        "seed": int(task.wildcards.seed),
        "threads": max(1, task.threads // task.params.processes),
    }
    launch(arguments, task.params.processes)
