"""Tables, figures, the report page and the record of where it all came from."""

from g2vlm.run import ending

PRESENTED = [
    f"{RESULTS}/report.html",
    f"{RESULTS}/headline.txt",
    f"{RESULTS}/tables/exploratory.csv",
]


rule present:
    input:
        statistics=rules.compare.output,
        truth=truth("test_scene"),
        scenes=scenes("test_scene"),
        submission=expand(
            f"{RESULTS}/predictions/{{method}}/0/test_scene/manifest.json",
            method=config["statistics"]["reference"],
        ),
        losses=[
            f"{RESULTS}/models/{method}/{seed}/losses.parquet"
            for method in METHODS
            for seed in SEEDS
        ],
    output:
        report=PRESENTED[0],
        headline=PRESENTED[1],
        # One file stands for the folder, which its writer replaces whole.
        tables=PRESENTED[2],
    log:
        f"{RESULTS}/logs/present.log",
    benchmark:
        f"{RESULTS}/benchmarks/present.tsv"
    resources:
        mem_mb=grows(1500, 5, SPLITS["test_scene"]),
        runtime=grows(30, 0.1, SPLITS["test_scene"]),
    params:
        code=code_hash(
            "metrics.present.figures",
            "metrics.present.gallery",
            "metrics.present.report",
            "metrics.present.tables",
            "metrics.present.terminal",
        ),
        templates=lambda wildcards: settings.hash_folder("workflow/report"),
    script:
        "../scripts/present.py"


rule manifest:
    input:
        PRESENTED,
        rules.compare.output,
    output:
        f"{RESULTS}/manifest.json",
    log:
        f"{RESULTS}/logs/manifest.log",
    benchmark:
        f"{RESULTS}/benchmarks/manifest.tsv"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        config=config,
        methods=METHODS,
    script:
        "../scripts/manifest.py"


if LOCK:
    logger.addHandler(ending.NothingToDo(RESULTS))


onsuccess:
    print(ending.ending(RESULTS))


onerror:
    print(ending.faults(RESULTS, STARTED), file=sys.stderr)
