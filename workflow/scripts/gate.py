"""Compare every trained method with the controls of its tasks that see no scene."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from metrics.files import write_json
    from metrics.gate import gate

    tables: dict[tuple[str, str], list[str]] = {}
    for name in task.input:
        split, method = Path(name).parts[-3:-1]
        tables.setdefault((method, split), []).append(name)
    write_json(task.output[0], gate(task.params.tasks, task.params.methods, tables))
