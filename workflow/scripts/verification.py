"""Compare this experiment's estimates with the committed reference, cell by cell."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.run.manifest import origin
    from metrics.files import atomic_path, read_json
    from report import verify

    reference, statistics = (Path(file).parent for file in task.input[:2])
    rows = verify.verify(verify.load_reference(reference), verify.load_fresh(statistics))
    with atomic_path(task.output.cells) as path:
        rows.to_csv(path, index=False)
    with atomic_path(task.output.summary) as path:
        changed = verify.changed(read_json(reference / "manifest.json"), origin(task.config))
        path.write_text(f"{verify.summary(rows)}\n{changed}\n", encoding="utf-8")
