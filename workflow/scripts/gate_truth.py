"""Write the truth of the first scenes of train, which the gate reads."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.scenes.dataset import SceneStore
    from g2vlm.scenes.truth import write_truth
    from metrics.prepare import prepare

    truth = Path(task.output.geometry).parent
    write_truth(
        SceneStore(task.results / "scenes" / "train", most=task.params.scenes),
        Path(task.input.recipes[0]).parent,
        truth,
        task.params.surface_samples,
        task.params.occupancy_points,
        task.params.seed,
        progress=task.progress("truth"),
    )
    prepare(truth)
