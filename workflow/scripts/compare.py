"""Estimate means of all methods and all declared differences from the experiment's scores."""

import tempfile
from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from metrics.statistics.compare import compare, write
    from metrics.statistics.settings import read_gate

    # The folder may still hold scores of methods that the config no longer names.
    with tempfile.TemporaryDirectory() as view:
        for name in task.input.scores:
            link = Path(view, *Path(name).parts[-3:])
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(Path(name).resolve())
        found = compare(view, task.params.statistics, read_gate(task.input.gate))
        write(found, Path(task.output.estimates).parent)
