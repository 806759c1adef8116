"""Take in predictions made elsewhere, once they are sound."""

import shutil
from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from metrics.files import InputError, atomic_path
    from metrics.submission.reader import Submission
    from metrics.submission.validate import require_sound, vouch

    for given, taken in zip(task.input, task.output.submissions, strict=True):
        source, target = Path(given).parent, Path(taken).parent
        submission = Submission(source)
        told = {"method": submission.method, "split": submission.split}
        for key, wanted in {"method": task.wildcards.outside, "split": target.name}.items():
            if told[key] != wanted:
                raise InputError(f"{given}: {key} is {told[key]!r}, must be {wanted!r}; mend it")
        checked = require_sound(source, "mend them and run again")
        with atomic_path(target, folder=True) as folder:
            shutil.copytree(source, folder, dirs_exist_ok=True)
        # Scoring need not look through the same bytes again.
        vouch(target, checked)
