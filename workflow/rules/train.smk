"""G2VLM, its ablations and the learned baselines: one job per (method, seed), one thread per process."""


rule train:
    input:
        scenes=scenes("train"),
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
    benchmark:
        f"{RESULTS}/benchmarks/train/{{trained}}-{{seed}}.tsv"
    threads: PROCESSES
    resources:
        # Every process holds all scenes in memory.
        mem_mb=grows(1500 * PROCESSES, 4 * IMAGE * PROCESSES, SPLITS["train"]),
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
