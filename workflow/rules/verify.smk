"""Comparison of a run with results/reference/<experiment>; `snakemake verify` fails on drift."""


rule verification:
    input:
        f"{REFERENCE}/estimates.csv",
        f"{RESULTS}/statistics/estimates.parquet",
        reference_cells=f"{REFERENCE}/cells.parquet",
        manifest=f"{REFERENCE}/manifest.json",
        cells=f"{RESULTS}/statistics/cells.parquet",
    output:
        cells=f"{RESULTS}/verification.csv",
        summary=f"{RESULTS}/verification.txt",
    log:
        f"{RESULTS}/logs/verification.log",
    resources:
        mem_mb=grows(1000),
        runtime=grows(30),
    params:
        code=job_code("verification"),
    script:
        "../scripts/verification.py"


rule verify:
    input:
        verified,
    log:
        f"{RESULTS}/logs/verify.log",
    resources:
        mem_mb=grows(500),
        runtime=grows(10),
    params:
        code=job_code("verify"),
    script:
        "../scripts/verify.py"
