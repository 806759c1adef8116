"""Scoring: one job per (method, seed) scores its splits against the prepared truth."""


rule prepare_truth:
    input:
        truth("{split}"),
    output:
        f"{RESULTS}/truth/{{split}}/prepared.safetensors",
    log:
        f"{RESULTS}/logs/prepare_truth/{{split}}.log",
    resources:
        mem_mb=grows(500, 8, in_split),
        runtime=grows(20, 0.05, in_split),
    params:
        code=job_code("prepare_truth"),
    script:
        "../scripts/prepare_truth.py"


rule score:
    input:
        submission=submission("{method}", OPEN_SCORED),
        truth=truth(*OPEN_SCORED),
        prepared=prepared(*OPEN_SCORED),
    output:
        scores=score_files(OPEN_SCORED, "parquet"),
        sidecars=score_files(OPEN_SCORED, "json"),
    log:
        f"{RESULTS}/logs/score/{{method}}-{{seed}}.log",
    threads: 1
    resources:
        mem_mb=grows(800, 7, count_scenes(*OPEN_SCORED)),
        runtime=grows(20, 0.06, count_scenes(*OPEN_SCORED)),
    params:
        code=job_code("score"),
    script:
        "../scripts/score.py"


if SEALED_SPLITS:

    use rule score as score_sealed with:
        input:
            submission=submission("{method}", SEALED_SPLITS),
            truth=truth(*SEALED_SPLITS),
            prepared=prepared(*SEALED_SPLITS),
        output:
            scores=score_files(SEALED_SPLITS, "parquet"),
            sidecars=score_files(SEALED_SPLITS, "json"),
        log:
            f"{RESULTS}/logs/score_sealed/{{method}}-{{seed}}.log",


rule controls:
    input:
        upper=scores(methods=[config["statistics"]["upper_bound"]]),
        lower=scores(methods=[config["statistics"]["lower_bound"]]),
        truth=truth(*SCORED),
        prepared=prepared(*SCORED),
    output:
        f"{RESULTS}/controls.json",
    log:
        f"{RESULTS}/logs/controls.log",
    resources:
        mem_mb=grows(800, 7, count_scenes(*SCORED)),
        runtime=grows(30, 0.1, count_scenes(*SCORED)),
    params:
        code=job_code("controls"),
    script:
        "../scripts/controls.py"
