"""Score the submissions of one method and seed, one split after another."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from metrics.score import score_submission
    from metrics.submission.validate import require_valid

    splits = task.progress("splits", every_seconds=0)
    splits(0, len(task.output.scores))
    for done, (manifest, table) in enumerate(
        zip(task.input.submission, task.output.scores, strict=True), 1
    ):
        truth, submission = task.results / "truth" / Path(table).stem, Path(manifest).parent
        require_valid(submission, f"remove {submission} and run again to predict it again")
        score_submission(submission, truth, table, truth)
        splits(done, len(task.output.scores))
