"""Intervals, tests and effect sizes over the scores of all methods."""


rule compare:
    input:
        scores=scores() + scores("json"),
        controls=f"{RESULTS}/controls.json",
        gate=f"{RESULTS}/gate.json",
    output:
        estimates=f"{RESULTS}/statistics/estimates.parquet",
        differences=f"{RESULTS}/statistics/differences.parquet",
        claims=f"{RESULTS}/statistics/claims.parquet",
        ranks=f"{RESULTS}/statistics/ranks.parquet",
        profiles=f"{RESULTS}/statistics/profiles.parquet",
        collapses=f"{RESULTS}/statistics/collapses.parquet",
        retention=f"{RESULTS}/statistics/retention.parquet",
        cells=f"{RESULTS}/statistics/cells.parquet",
        methods=f"{RESULTS}/statistics/methods.json",
    log:
        f"{RESULTS}/logs/compare.log",
    resources:
        mem_mb=grows(2000, 0.2, len(RUNS) * count_scenes(*SCORED)),
        runtime=grows(60, 0.01, len(RUNS) * count_scenes(*SCORED)),
    params:
        statistics=config["statistics"],
        code=job_code("compare"),
    script:
        "../scripts/compare.py"
