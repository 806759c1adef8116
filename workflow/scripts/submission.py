"""Copy predictions made elsewhere into the experiment, after checking that they are valid."""

import shutil
from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from metrics.files import InputError, atomic_path
    from metrics.submission.reader import Submission
    from metrics.submission.validate import require_valid, validate_cache

    for manifest, copied in zip(task.input, task.output.submissions, strict=True):
        source, target = Path(manifest).parent, Path(copied).parent
        submission = Submission(source)
        actual = {"method": submission.method, "split": submission.split}
        for key, wanted in {"method": task.wildcards.outside, "split": target.name}.items():
            if actual[key] != wanted:
                raise InputError(
                    f"{manifest}: {key} is {actual[key]!r}, must be {wanted!r}; correct it"
                )
        hashes = require_valid(source, "fix them and run again")
        with atomic_path(target, folder=True) as folder:
            shutil.copytree(source, folder, dirs_exist_ok=True)
        # Scoring need not validate the same bytes again.
        validate_cache(target, hashes)
