"""Render one shard of a split."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.scenes.assets.catalog import Catalog
    from g2vlm.scenes.layout.recipes import load_language, load_recipes
    from g2vlm.scenes.render.shards import render_shard

    data = Path(task.input.recipes[0]).parent
    first, end = task.params.scenes
    recipes = load_recipes(data, task.wildcards.split, end)[first:]
    render_shard(
        recipes,
        load_language(data, task.wildcards.split),
        Catalog(data),
        task.params.render,
        Path(task.output.tensors).with_suffix(""),
        task.params.seed,
        progress=task.progress(f"render {task.wildcards.shard}"),
    )
