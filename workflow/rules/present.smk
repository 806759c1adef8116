"""Tables, figures, the report page and the record of where it all came from."""

# One file stands for its folder, which its writer replaces whole.
PRESENTED = [
    f"{RESULTS}/report.html",
    f"{RESULTS}/headline.txt",
    f"{RESULTS}/tables/exploratory.csv",
    f"{RESULTS}/figures/distributions.png",
    f"{RESULTS}/gallery/viewer.json",
    f"{RESULTS}/background/coverage.png",
]


# The splits whose rooms the report shows.
SHOWN = [name for name in ("test_scene", "real_rooms") if name in SPLITS]


rule tables:
    input:
        rules.compare.output,
    output:
        headline=PRESENTED[1],
        tables=PRESENTED[2],
    log:
        f"{RESULTS}/logs/tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables.tsv"
    resources:
        mem_mb=grows(1000),
        runtime=grows(30),
    params:
        statistics=config["statistics"],
        code=job_code("tables"),
    script:
        "../scripts/tables.py"


rule figures:
    input:
        rules.compare.output,
    output:
        PRESENTED[3],
    log:
        f"{RESULTS}/logs/figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures.tsv"
    resources:
        mem_mb=grows(1500),
        runtime=grows(30),
    params:
        statistics=config["statistics"],
        code=job_code("figures"),
    script:
        "../scripts/figures.py"


# No baseline changes what these two draw.
rule background:
    input:
        losses=[
            f"{RESULTS}/models/{method}/{seed}/losses.parquet"
            for method in METHODS
            for seed in SEEDS
        ],
        scenes=scenes(*SHOWN),
    output:
        PRESENTED[5],
    log:
        f"{RESULTS}/logs/background.log",
    benchmark:
        f"{RESULTS}/benchmarks/background.tsv"
    resources:
        mem_mb=grows(1500),
        runtime=grows(30),
    params:
        splits=[f"{RESULTS}/scenes/{name}" for name in SHOWN],
        code=job_code("background"),
    script:
        "../scripts/background.py"


rule gallery:
    input:
        scores=[
            f"{RESULTS}/scores/{config['statistics']['reference']}/{seed}/test_scene.parquet"
            for seed in SEEDS
        ],
        truth=truth("test_scene"),
        scenes=scenes("test_scene"),
        submission=expand(
            f"{RESULTS}/predictions/{{method}}/0/test_scene/manifest.json",
            method=config["statistics"]["reference"],
        ),
    output:
        PRESENTED[4],
    log:
        f"{RESULTS}/logs/gallery.log",
    benchmark:
        f"{RESULTS}/benchmarks/gallery.tsv"
    resources:
        mem_mb=grows(1500, 5, SPLITS["test_scene"]),
        runtime=grows(30, 0.1, SPLITS["test_scene"]),
    params:
        code=job_code("gallery"),
    script:
        "../scripts/gallery.py"


rule report:
    input:
        rules.compare.output,
        rules.figures.output,
        rules.background.output,
        rules.gallery.output,
        verification=VERIFICATION,
        model=[
            f"{RESULTS}/models/{method}/{SEEDS[0]}/model.safetensors"
            for method in METHODS
            if method == config["statistics"]["reference"]
        ],
        datasheets=[
            ancient(sheet) for sheet in sorted(Path("data").glob("**/DATASHEET.md"))
        ],
    output:
        PRESENTED[0],
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report.tsv"
    resources:
        mem_mb=grows(1500),
        runtime=grows(30),
    params:
        statistics=config["statistics"],
        code=job_code("report"),
    script:
        "../scripts/report.py"


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
        mem_mb=grows(1000),
        runtime=grows(30),
    params:
        config=config,
        methods=METHODS,
        code=job_code("manifest"),
    script:
        "../scripts/manifest.py"
