"""Scoring: one job per (method, seed) scores all its splits against the prepared truth."""


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
        submission=[
            f"{RESULTS}/predictions/{{method}}/{{seed}}/{split}/manifest.json"
            for split in SCORED
        ],
        truth=truth(*SCORED),
        prepared=expand(f"{RESULTS}/truth/{{split}}/prepared.safetensors", split=SCORED),
    output:
        scores=[
            f"{RESULTS}/scores/{{method}}/{{seed}}/{split}.parquet" for split in SCORED
        ],
        sidecars=[
            f"{RESULTS}/scores/{{method}}/{{seed}}/{split}.json" for split in SCORED
        ],
    log:
        f"{RESULTS}/logs/score/{{method}}-{{seed}}.log",
    threads: 1
    resources:
        mem_mb=grows(800, 7, count_scenes(*SCORED)),
        runtime=grows(20, 0.06, count_scenes(*SCORED)),
    params:
        code=job_code("score"),
    script:
        "../scripts/score.py"


rule controls:
    input:
        upper=scores(methods=[config["statistics"]["upper_bound"]]),
        lower=scores(methods=[config["statistics"]["lower_bound"]]),
        truth=truth(*SCORED),
        prepared=expand(f"{RESULTS}/truth/{{split}}/prepared.safetensors", split=SCORED),
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
