"""The gate: trained methods against controls that see no scene, on train and val."""

GATE = config["gate"]
GATE_CONTROLS = sorted(
    {name for declared in GATE["tasks"].values() for name in declared["controls"]}
)
GATE_TRUTH = [
    f"{RESULTS}/gate/truth/train/{name}"
    for name in ("geometry.safetensors", "annotations.jsonl", "prepared.safetensors")
]


def gate_inputs(wildcards):
    """Return the files that a control, or a trained method, predicts and is scored with."""
    name = wildcards.method
    inputs = {
        "truth": GATE_TRUTH,
        "val": [*truth("val"), *prepared("val")],
        "predictions": f"{RESULTS}/predictions/{name}/{wildcards.seed}/val/manifest.json",
    }
    if name in BASELINES:
        return inputs | {"scenes": scenes("train"), "features": texts()}
    folder = f"{RESULTS}/models/{name}/{wildcards.seed}"
    return inputs | {
        "scenes": scenes("train"),
        "features": features("train"),
        "model": [f"{folder}/{file}" for file in ("model.safetensors", "config.json")],
        "probe": f"{folder}/probe.safetensors",
        "cost": f"{folder}/cost.json",
        "thresholds": f"{RESULTS}/predictions/{name}/{wildcards.seed}/thresholds.json",
    }


def own_modules(wildcards):
    """Return the modules of a baseline; a trained method has none."""
    name = wildcards.method
    return [f"baselines.{name}.method"] if name in BASELINES else []


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


rule gate_scores:
    input:
        unpack(gate_inputs),
    output:
        [
            f"{RESULTS}/gate/scores/{split}/{{method}}/{{seed}}.parquet"
            for split in ("train", "val")
        ],
    log:
        f"{RESULTS}/logs/gate/{{method}}-{{seed}}.log",
    threads: 1
    resources:
        mem_mb=grows(1200, 20, GATE["scenes"]),
        runtime=grows(30, 0.1, GATE["scenes"] + SPLITS["val"]),
        gpu=lambda wildcards: 0 if wildcards.method in BASELINES else one_gpu(wildcards),
    params:
        baseline=lambda wildcards: wildcards.method in BASELINES,
        scenes=GATE["scenes"],
        metrics=sorted({declared["metric"] for declared in GATE["tasks"].values()}),
        predict=config["predict"],
        seed=config["seed"],
        code=lambda wildcards: job_code("gate_scores", *own_modules(wildcards)),
    script:
        "../scripts/gate_scores.py"


rule gate:
    input:
        [
            f"{RESULTS}/gate/scores/{split}/{method}/{seed}.parquet"
            for method, seed in RUNS
            if method in METHODS or method in GATE_CONTROLS
            for split in ("train", "val")
        ],
    output:
        f"{RESULTS}/gate.json",
    log:
        f"{RESULTS}/logs/gate.log",
    resources:
        mem_mb=grows(1000),
        runtime=grows(30),
    params:
        tasks=GATE["tasks"],
        methods=list(METHODS),
        code=job_code("gate"),
    script:
        "../scripts/gate.py"
