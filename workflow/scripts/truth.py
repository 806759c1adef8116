"""Write the truth of one split, so that scoring needs nothing else of the scenes."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.run.progress import Progress
    from g2vlm.scenes.dataset import SceneStore
    from g2vlm.scenes.truth import write_truth

    write_truth(
        SceneStore(Path(task.input.scenes[0]).parent),
        Path(task.input.recipes[0]).parent,
        Path(task.output.geometry).parent,
        task.params.surface_samples,
        task.params.occupancy_points,
        task.params.seed,
        progress=Progress("truth"),
    )
