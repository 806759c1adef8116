"""Mean metrics, manifest and research-object crate of a finished run, and the removal of a run."""


rule manifest:
    input:
        REPORT_FILES,
        rules.compare.output,
        estimates=rules.compare.output.estimates,
    output:
        metrics=f"{RESULTS}/metrics.json",
        manifest=f"{RESULTS}/manifest.json",
        crate=f"{RESULTS}/crate.zip",
    log:
        f"{RESULTS}/logs/manifest.log",
    resources:
        mem_mb=grows(1000),
        runtime=grows(30),
    params:
        config=config,
        methods=METHODS,
        code=job_code("manifest"),
    script:
        "../scripts/manifest.py"


# Runs only when named on the command line. results/reference/ is not an experiment and stays.
rule clean_experiment:
    log:
        f".snakemake/log/clean-{EXPERIMENT}.log",
    params:
        folder=RESULTS,
    shell:
        "rm -rf -- {params.folder} > {log} 2>&1"
