"""The gate: trained methods against controls that see no image, on train and val."""

GATE = config["gate"]
GATE_CONTROLS = sorted(
    {name for declared in GATE["tasks"].values() for name in declared["controls"]}
)
GATE_TRUTH = [
    f"{RESULTS}/gate/truth/train/{name}"
    for name in ("geometry.safetensors", "annotations.jsonl", "prepared.safetensors")
]


GATE_METRICS = sorted({declared["metric"] for declared in GATE["tasks"].values()})
GATE_RUNS = [(name, seed) for name, seed in RUNS if name in GATE_CONTROLS]
# What every job that scores for the gate reads.
GATE_FILES = {
    "truth": GATE_TRUTH,
    "val": [*truth("val"), *prepared("val")],
    "scenes": scenes("train"),
}


rule gate_truth:
    input:
        scenes=scenes("train"),
        recipes=recipes("train"),
    output:
        geometry=GATE_TRUTH[0],
        others=GATE_TRUTH[1:],
    log:
        f"{RESULTS}/logs/gate/truth.log",
    resources:
        mem_mb=grows(1200, 6, GATE["scenes"]),
        runtime=grows(20, 0.1, GATE["scenes"]),
    params:
        scenes=GATE["scenes"],
        surface_samples=config["score"]["surface_samples"],
        occupancy_points=config["score"]["occupancy_points"],
        seed=config["seed"],
        code=job_code("gate_truth"),
    script:
        "../scripts/gate_truth.py"


# One job a method and one for all controls: to start a job takes longer than to score a seed.
rule gate_scores:
    input:
        **GATE_FILES,
        predictions=val_predictions(("{trained}", seed) for seed in SEEDS),
        features=features("train"),
        models=[
            f"{RESULTS}/models/{{trained}}/{seed}/{name}"
            for seed in SEEDS
            for name in (
                "model.safetensors",
                "config.json",
                "probe.safetensors",
                "cost.json",
            )
        ],
        thresholds=[
            f"{RESULTS}/predictions/{{trained}}/{seed}/thresholds.json"
            for seed in SEEDS
        ],
    output:
        gate_tables(("{trained}", seed) for seed in SEEDS),
    log:
        f"{RESULTS}/logs/gate/{{trained}}.log",
    threads: 1
    resources:
        mem_mb=grows(1200, 20, GATE["scenes"]),
        runtime=grows(30, 0.1, len(SEEDS) * (GATE["scenes"] + SPLITS["val"])),
        gpu=one_gpu,
    params:
        scenes=GATE["scenes"],
        seeds=list(SEEDS),
        metrics=GATE_METRICS,
        predict=config["predict"],
        code=job_code("gate_scores"),
    script:
        "../scripts/gate_scores.py"


rule gate_controls:
    input:
        **GATE_FILES,
        predictions=val_predictions(GATE_RUNS),
        features=features(),
    output:
        gate_tables(GATE_RUNS),
    log:
        f"{RESULTS}/logs/gate/controls.log",
    threads: 1
    resources:
        mem_mb=grows(1200, 20, GATE["scenes"]),
        runtime=grows(30, 0.1, len(GATE_RUNS) * (GATE["scenes"] + SPLITS["val"])),
    params:
        scenes=GATE["scenes"],
        runs=GATE_RUNS,
        metrics=GATE_METRICS,
        seed=config["seed"],
        code=job_code(
            "gate_controls",
            *(
                f"baselines.{name}.method"
                for name in GATE_CONTROLS
                if name in BASELINES
            ),
        ),
    script:
        "../scripts/gate_controls.py"


rule gate:
    input:
        gate_tables((name, seed) for name, seed in RUNS if name in METHODS),
        gate_tables(GATE_RUNS),
    output:
        f"{RESULTS}/gate.json",
    log:
        f"{RESULTS}/logs/gate.log",
    resources:
        mem_mb=grows(1000),
        runtime=grows(30),
    params:
        tasks=GATE["tasks"],
        methods={
            name: settings.fair_controls(method["switches"], GATE_CONTROLS)
            for name, method in METHODS.items()
        },
        code=job_code("gate"),
    script:
        "../scripts/gate.py"
