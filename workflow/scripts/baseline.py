"""Run one baseline, named by `params.name`, on the splits that every method predicts."""

from g2vlm.run.job import job

with job(snakemake) as task:
    from baselines.__main__ import run_baseline

    run_baseline(
        task.params.name,
        task.results,
        list(task.params.splits),
        int(task.wildcards.seed),
        config={"seed": task.params.seed, "pretrained": task.config["pretrained"]},
    )
