"""Score every seed of a method on the first scenes of train, which it predicts here, and on val."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.readers import ImageFeatures, TextFeatures
    from g2vlm.inference.network import Network
    from g2vlm.inference.predict import evaluate_model
    from g2vlm.scenes.dataset import SceneStore
    from metrics.score import score_submission

    results, name, metrics = task.results, task.wildcards.trained, task.params.metrics
    truth, val = Path(task.input.truth[0]).parent, results / "truth" / "val"
    for place, seed in enumerate(task.params.seeds):
        evaluate_model(
            Network(results / "models" / name / str(seed), TextFeatures(results / "features")),
            SceneStore(results / "scenes" / "train", most=task.params.scenes),
            ImageFeatures(results / "features" / "images" / "train"),
            task.input.thresholds[place],
            truth,
            task.output[2 * place],
            task.config,
            metrics,
            progress=task.progress(f"train, seed {seed}"),
        )
        submission = results / "predictions" / name / str(seed) / "val"
        score_submission(submission, val, task.output[2 * place + 1], val, metrics)
