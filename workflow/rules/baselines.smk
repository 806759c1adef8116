"""One rule runs every baseline; one with an environment of its own brings a rules.smk."""


rule baseline:
    input:
        unpack(lambda wildcards: baseline_inputs(wildcards.baseline)),
    output:
        submission("{baseline}"),
    log:
        f"{RESULTS}/logs/predict/{{baseline}}-{{seed}}.log",
    threads: lambda wildcards: BASELINES[wildcards.baseline].get("THREADS", 1)
    resources:
        mem_mb=baseline_memory,
        runtime=grows(60, 0.1, count_scenes(*PREDICTED)),
        gpu=baseline_gpus,
    params:
        name=lambda wildcards: wildcards.baseline,
        splits=PREDICTED,
        seed=config["seed"],
        weights=lambda wildcards: str(PRETRAINED.get(wildcards.baseline, "")),
        code=lambda wildcards: baseline_code(wildcards.baseline),
    script:
        "../scripts/baseline.py"


if SEALED_SPLITS:

    use rule baseline as baseline_sealed with:
        input:
            unpack(lambda wildcards: baseline_inputs(wildcards.baseline, SEALED_SPLITS)),
        output:
            submission("{baseline}", SEALED_SPLITS),
        log:
            f"{RESULTS}/logs/predict_sealed/{{baseline}}-{{seed}}.log",
        params:
            splits=SEALED_SPLITS,
