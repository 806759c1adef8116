"""Score the controls of the gate on the first scenes of train, predicted here, and on val."""

import shutil
from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from baselines.__main__ import run_baseline
    from metrics.score import score_submission

    results, metrics = task.results, task.params.metrics
    truth, val = Path(task.input.truth[0]).parent, results / "truth" / "val"
    config = {"seed": task.params.seed, "pretrained": task.config["pretrained"]}
    for place, (name, seed) in enumerate(task.params.runs):
        on_train, on_val = task.output[2 * place : 2 * place + 2]
        folder = Path(on_train).with_suffix(".predictions")
        scenes = task.params.scenes
        run_baseline(name, results, ["train"], seed, folder, config, truth.parent, scenes)
        score_submission(folder / "train", truth, on_train, truth, metrics)
        shutil.rmtree(folder)
        submission = results / "predictions" / name / str(seed) / "val"
        score_submission(submission, val, on_val, val, metrics)
