"""G2VLM, its ablations and the learned baselines: one job per (method, seed), one thread per process."""


rule training_arrays:
    input:
        f"{RESULTS}/scenes/train/{{shard}}.safetensors",
        f"{RESULTS}/scenes/train/{{shard}}.jsonl",
    output:
        temp(f"{RESULTS}/training/{{shard}}.safetensors"),
    log:
        f"{RESULTS}/logs/training_arrays/{{shard}}.log",
    resources:
        mem_mb=grows(1000),
        runtime=grows(20 + 2 * IMAGE),
    params:
        code=job_code("training_arrays"),
    script:
        "../scripts/training_arrays.py"


rule train:
    input:
        arrays=[f"{RESULTS}/training/{shard}.safetensors" for shard in shards("train")],
        annotations=scenes("train", kinds=["jsonl"]),
        features=features("train"),
        method=lambda wildcards: method_file(wildcards.trained),
    output:
        model=f"{RESULTS}/models/{{trained}}/{{seed}}/model.safetensors",
        config=f"{RESULTS}/models/{{trained}}/{{seed}}/config.json",
        probe=f"{RESULTS}/models/{{trained}}/{{seed}}/probe.safetensors",
        losses=f"{RESULTS}/models/{{trained}}/{{seed}}/losses.parquet",
        cost=f"{RESULTS}/models/{{trained}}/{{seed}}/cost.json",
    log:
        f"{RESULTS}/logs/train/{{trained}}-{{seed}}.log",
    threads: PROCESSES
    resources:
        # Scenes are read when a step needs them; the fits of the heads keep up to 1,000.
        mem_mb=grows(3000 * PROCESSES * max(1, IMAGE)),
        runtime=grows(480),
        gpu=training_gpus,
    params:
        train=config["train"],
        sizes=config["model"],
        processes=PROCESSES,
        seed=config["seed"],
        method=lambda wildcards: TRAINED[wildcards.trained],
        # Not an output, because outputs are deleted before a rerun: a killed training resumes.
        checkpoints=lambda wildcards: (
            f"{RESULTS}/checkpoints/{checkpoint_key(wildcards.trained)}/{wildcards.seed}"
        ),
        code=job_code("train"),
    script:
        "../scripts/train.py"
