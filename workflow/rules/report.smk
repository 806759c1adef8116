"""Tables, figures and the report page."""

# What tables, figures and the page read of the config (`report.config.ReportConfig`).
REPORT_CONFIG = {
    key: config[key]
    for key in ("experiment", "methods", "statistics", "report", "seal")
    if key in config
}
REPORT_SPLITS = [
    split
    for split in (MAIN_SPLIT, config["report"]["captured_split"])
    if split in SPLITS
]
REFERENCE_MODELS = [
    f"{RESULTS}/models/{method}/{SEEDS[0]}/model.safetensors"
    for method in METHODS
    if method == config["statistics"]["reference"]
]


# One output stands for its folder, which the script replaces whole.
rule tables:
    input:
        rules.compare.output,
        rules.gate.output,
    output:
        headline=f"{RESULTS}/headline.txt",
        tables=f"{RESULTS}/tables/exploratory.csv",
    log:
        f"{RESULTS}/logs/tables.log",
    resources:
        mem_mb=grows(1000),
        runtime=grows(30),
    params:
        config=REPORT_CONFIG,
        code=job_code("tables"),
    script:
        "../scripts/tables.py"


rule figures:
    input:
        rules.compare.output,
    output:
        f"{RESULTS}/figures/distributions.png",
    log:
        f"{RESULTS}/logs/figures.log",
    resources:
        mem_mb=grows(1500),
        runtime=grows(30),
    params:
        config=REPORT_CONFIG,
        code=job_code("figures"),
    script:
        "../scripts/figures.py"


# A new baseline changes nothing in the next two.
rule background:
    input:
        losses=[
            f"{RESULTS}/models/{method}/{seed}/losses.parquet"
            for method in METHODS
            for seed in SEEDS
        ],
        scenes=scenes(*REPORT_SPLITS),
    output:
        f"{RESULTS}/background/coverage.png",
    log:
        f"{RESULTS}/logs/background.log",
    resources:
        mem_mb=grows(1500),
        runtime=grows(30),
    params:
        config=REPORT_CONFIG,
        splits=[f"{RESULTS}/scenes/{split}" for split in REPORT_SPLITS],
        code=job_code("background"),
    script:
        "../scripts/background.py"


rule gallery:
    input:
        scores=[
            f"{RESULTS}/scores/{config['statistics']['reference']}/{seed}/{MAIN_SPLIT}.parquet"
            for seed in SEEDS
        ],
        truth=truth(MAIN_SPLIT),
        scenes=scenes(MAIN_SPLIT),
        submission=f"{RESULTS}/predictions/{config['statistics']['reference']}/0/{MAIN_SPLIT}/manifest.json",
    output:
        f"{RESULTS}/gallery/viewer.json",
    log:
        f"{RESULTS}/logs/gallery.log",
    resources:
        mem_mb=grows(1500, 5, SPLITS[MAIN_SPLIT]),
        runtime=grows(30, 0.1, SPLITS[MAIN_SPLIT]),
    params:
        code=job_code("gallery"),
    script:
        "../scripts/gallery.py"


rule report:
    input:
        rules.compare.output,
        rules.gate.output,
        rules.tables.output,
        rules.figures.output,
        rules.background.output,
        rules.gallery.output,
        verification=VERIFICATION,
        model=REFERENCE_MODELS,
        datasheets=[
            ancient(sheet) for sheet in sorted(Path("data").glob("**/DATASHEET.md"))
        ],
        findings=config["report"]["findings"] or [],
    output:
        f"{RESULTS}/report.html",
    log:
        f"{RESULTS}/logs/report.log",
    resources:
        mem_mb=grows(1500),
        runtime=grows(30),
    params:
        config=REPORT_CONFIG,
        code=job_code("report"),
    script:
        "../scripts/report.py"


REPORT_FILES = [
    *rules.tables.output,
    *rules.figures.output,
    *rules.background.output,
    *rules.gallery.output,
    *rules.report.output,
]
