"""The script of every baseline's rule: run the baseline named in `params` on its splits."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from baselines.__main__ import run_baseline

    run_baseline(
        task.params.name,
        Path("results", task.config["experiment"]),
        list(task.params.splits),
        int(task.wildcards.seed),
        config={
            "seed": task.params.seed,
            "pretrained": task.config.get("pretrained", {}),
        },
    )
