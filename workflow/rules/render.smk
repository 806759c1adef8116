"""Render recipes to RGB-D views with calibration, and write the true geometry for scoring."""

if RECIPES != "data":

    rule recipes:
        input:
            ancient(["data/models.csv", "data/splits.json"]),
            PINS,
        output:
            sorted(
                {name for split in OPEN_SPLITS for name in recipes(split)} - set(PINS)
            ),
        log:
            f"{RESULTS}/logs/recipes.log",
        resources:
            mem_mb=grows(2000),
            runtime=grows(240),
        params:
            splits=OPEN_SPLITS,
            folder=RECIPES,
            code=job_code("recipes"),
        script:
            "../scripts/recipes.py"


if SEALED_SPLITS:

    rule sealed_rooms:
        input:
            recipes("train"),
            seal="config/seal.yaml",
        output:
            recipes("test_scene"),
        log:
            f"{RESULTS}/logs/sealed_rooms.log",
        resources:
            mem_mb=grows(2000),
            runtime=grows(240),
        params:
            config={key: config[key] for key in ("experiment", "sealed")},
            folder=RECIPES,
            code=job_code("sealed_rooms"),
        script:
            "../scripts/sealed_rooms.py"


rule render:
    input:
        recipes=lambda wildcards: recipes(wildcards.split),
    output:
        # Kept after a run (see profiles/default), removed by `--delete-temp-output`.
        tensors=temp(f"{RESULTS}/scenes/{{split}}/{{shard}}.safetensors"),
        annotations=temp(f"{RESULTS}/scenes/{{split}}/{{shard}}.jsonl"),
    log:
        f"{RESULTS}/logs/render/{{split}}-{{shard}}.log",
    resources:
        mem_mb=grows(1000),
        runtime=grows(60),
    params:
        render=config["render"],
        seed=config["seed"],
        scenes=lambda wildcards: shard_range(wildcards.split, wildcards.shard),
        code=job_code("render"),
    script:
        "../scripts/render.py"


rule truth:
    input:
        scenes=lambda wildcards: scenes(wildcards.split),
        recipes=lambda wildcards: recipes(wildcards.split),
    output:
        geometry=f"{RESULTS}/truth/{{split}}/geometry.safetensors",
        annotations=f"{RESULTS}/truth/{{split}}/annotations.jsonl",
    log:
        f"{RESULTS}/logs/truth/{{split}}.log",
    resources:
        mem_mb=grows(1200, 6, in_split),
        runtime=grows(20, 0.1, in_split),
    params:
        surface_samples=config["score"]["surface_samples"],
        occupancy_points=config["score"]["occupancy_points"],
        seed=config["seed"],
        code=job_code("truth"),
    script:
        "../scripts/truth.py"
