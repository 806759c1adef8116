"""Write the truth of one split, so that scoring needs nothing else of the scenes."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.scenes.dataset import SceneStore
    from g2vlm.scenes.truth import write_truth

    write_truth(
        SceneStore(task.results / "scenes" / task.wildcards.split),
        Path(task.input.recipes[0]).parent,
        task.results / "truth" / task.wildcards.split,
        task.params.surface_samples,
        task.params.occupancy_points,
        task.params.seed,
        progress=task.progress("truth"),
    )
