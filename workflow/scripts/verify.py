"""Print the comparison with the reference; fail if a cell drifted or is missing."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    import pandas as pd

    from metrics.files import InputError
    from report import verify

    cells, summary = map(Path, task.input)
    print(summary.read_text(encoding="utf-8"), end="")
    if verify.failed(pd.read_csv(cells)):
        raise InputError(f"{cells}: the run does not reproduce the reference; see the cells above")
