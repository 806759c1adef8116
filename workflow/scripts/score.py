"""Score one method's submissions, one split after the other."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from metrics.score import score_submission

    results = Path("results", task.config["experiment"])
    for manifest, table in zip(task.input.submission, task.output.scores, strict=True):
        split = Path(table).stem
        score_submission(
            Path(manifest).parent, results / "truth" / split, table, results / "truth" / split
        )
