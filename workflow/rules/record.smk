"""Summary and research-object crate of a finished run, and the removal of a run."""


rule summary:
    input:
        estimates=f"{RESULTS}/statistics/estimates.parquet",
    output:
        f"{RESULTS}/metrics.json",
    log:
        f"{RESULTS}/logs/summary.log",
    benchmark:
        f"{RESULTS}/benchmarks/summary.tsv"
    resources:
        mem_mb=grows(1000),
        runtime=grows(30),
    params:
        code=job_code("summary"),
    script:
        "../scripts/summary.py"


rule crate:
    input:
        f"{RESULTS}/manifest.json",
    output:
        f"{RESULTS}/crate.zip",
    log:
        f"{RESULTS}/logs/crate.log",
    benchmark:
        f"{RESULTS}/benchmarks/crate.tsv"
    resources:
        mem_mb=grows(1000),
        runtime=grows(30),
    params:
        code=job_code("crate"),
    script:
        "../scripts/crate.py"


# Runs only when named on the command line. results/reference/ is not an experiment and stays.
rule clean_experiment:
    log:
        f".snakemake/log/clean-{EXPERIMENT}.log",
    params:
        folder=RESULTS,
    shell:
        "rm -rf -- {params.folder} > {log} 2>&1"
