"""Score one method and seed on the first scenes of train, which it predicts here, and on val."""

import shutil
from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from metrics.score import score_submission

    results, name, seed = task.results, task.wildcards.method, int(task.wildcards.seed)
    scenes, metrics = task.params.scenes, task.params.metrics
    train, val = task.output
    truth = Path(task.input.truth[0]).parent
    if task.params.baseline:
        from baselines.__main__ import run_baseline

        folder = Path(train).with_suffix(".predictions")
        config = {"seed": task.params.seed, "pretrained": task.config["pretrained"]}
        run_baseline(name, results, ["train"], seed, folder, config, truth.parent, scenes)
        score_submission(folder / "train", truth, train, truth, metrics)
        shutil.rmtree(folder)
    else:
        from g2vlm.features.readers import ImageFeatures, TextFeatures
        from g2vlm.inference.network import Network
        from g2vlm.inference.predict import evaluate_model
        from g2vlm.scenes.dataset import SceneStore

        evaluate_model(
            Network(results / "models" / name / str(seed), TextFeatures(results / "features")),
            SceneStore(results / "scenes" / "train", most=scenes),
            ImageFeatures(results / "features" / "images" / "train"),
            task.input.thresholds,
            truth,
            train,
            task.config,
            metrics,
            progress=task.progress("train"),
        )
    submission = results / "predictions" / name / str(seed) / "val"
    score_submission(submission, results / "truth" / "val", val, results / "truth" / "val", metrics)
