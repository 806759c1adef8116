"""Names, folders and helpers that the rules share; this file defines no rule."""

import math
from pathlib import Path

from snakemake.exceptions import WorkflowError

from g2vlm.features.names import SEALED_TEXTS, SHARDS_A_TEXT_PART, TEXTS
from g2vlm.run import config as settings
from g2vlm.run import data as pins
from g2vlm.run import studies
from g2vlm.run.codehash import code_hash
from g2vlm.run.recipes import enough_recipes
from g2vlm.scenes.real import REAL_ROOMS
from g2vlm.scenes.split_names import SEALED

EXPERIMENT = config["experiment"]
SPLITS = config["data"]["splits"]
# The splits of the sealed test, none before its opening. Jobs of their own encode, predict and score
# them, so that no model, threshold, gate or study depends on them.
SEALED_SPLITS = [split for split in SPLITS if split in SEALED]
OPEN_SPLITS = {split: count for split, count in SPLITS.items() if split not in SEALED}
PREDICTED = config["predict"]["splits"]
SCORED = config["score"]["splits"]
OPEN_SCORED = [split for split in SCORED if split not in SEALED]
# The split that the report is about, and that of the studies.
MAIN_SPLIT = config["report"]["main_split"]
STUDY_SPLIT = config["studies"]["split"]
PINS = ["data.manifest.json", "data.dvc"]
# data/ holds the recipes of the default experiment; a larger one samples its own.
RECIPES = "data" if enough_recipes("data", OPEN_SPLITS) else f"{RESULTS}/recipes"
# Folders of the weights that some baselines need.
PRETRAINED = {
    name: settings.pretrained_folder(config, name) for name in config["pretrained"]
}
# What each baseline's method.py declares. One that needs weights runs only if the config names them.
BASELINES = {
    name: constants
    for name, constants in settings.declared_baselines().items()
    if name in PRETRAINED or not constants.get("PRETRAINED")
}
# Baselines with a rule of their own.
OWN_RULES = [
    name for name in BASELINES if Path("baselines", name, "rules.smk").exists()
]
# Predictions made elsewhere: {name: folder with a submission per scored split}.
OUTSIDE = {entry["name"]: entry["path"] for entry in config["submissions"]}
SEEDS = range(config["seeds"])
# Methods that only the studies train, by the same rules as the experiment's own methods.
VARIANTS = dict(studies.variant_trainings(config, METHODS))
TRAINED = METHODS | VARIANTS
# Processes that train one model together.
PROCESSES = config["train"]["processes"]
# The results that `make reference` keeps, and the comparison of a fresh run with them.
REFERENCE = f"results/reference/{EXPERIMENT}"
VERIFICATION = (
    [f"{RESULTS}/verification.csv", f"{RESULTS}/verification.txt"]
    if Path(REFERENCE, "cells.parquet").exists()
    else []
)
# The parts of all sentences that are encoded one by one.
SCENES_A_TEXT_PART = SHARDS_A_TEXT_PART * config["data"]["scenes_per_shard"]
TEXT_PARTS = {
    folder: [f"{part:03d}" for part in range(math.ceil(count / SCENES_A_TEXT_PART))]
    for folder, count in (
        (TEXTS, sum(OPEN_SPLITS.values())),
        (SEALED_TEXTS, sum(SPLITS[split] for split in SEALED_SPLITS)),
    )
}
# Every (method, seed) of the experiment; deterministic methods run once.
RUNS = [(name, seed) for name in METHODS for seed in SEEDS] + [
    (name, seed)
    for name, constants in BASELINES.items()
    for seed in (SEEDS if constants.get("STOCHASTIC") else [0])
]
RUNS += [(name, 0) for name in OUTSIDE]


wildcard_constraints:
    split="|".join(SPLITS),
    shard=r"\d+",
    part=r"\d+",
    texts="|".join(TEXT_PARTS),
    method="[a-z0-9_]+",
    trained="|".join(TRAINED),
    variant="|".join(VARIANTS) or "none",
    baseline="|".join(name for name in BASELINES if name not in OWN_RULES) or "none",
    outside="|".join(OUTSIDE) or "none",
    seed=r"\d+",


def recipes(split):
    """Return the recipes and sentences of a split, with the pins of data/.

    Recipes in data/ rerun a job only through the pins. Captured rooms have a folder of their own.
    """
    if split in SEALED:
        files = ("models.csv", "scenes.jsonl", "language.jsonl")
        return [f"{RESULTS}/sealed/{name}" for name in files]
    folder = f"{RECIPES}/{REAL_ROOMS}" if split == REAL_ROOMS else RECIPES
    files = [f"{RECIPES}/models.csv"]
    files += [f"{folder}/{name}" for name in ("scenes.jsonl", "language.jsonl")]
    return (ancient(files) if RECIPES == "data" else files) + PINS


def method_file(trained):
    """Return the file with the switches of a trained method or of a study's variant of it."""
    return f"config/methods/{TRAINED[trained].get('based_on', trained)}.yaml"


def shards(split):
    """Return the names of a split's shards: "000", "001", ..."""
    count = math.ceil(SPLITS[split] / config["data"]["scenes_per_shard"])
    return [f"{number:03d}" for number in range(count)]


def scenes(*splits, kinds=("safetensors", "jsonl")):
    """Return every shard file of the splits."""
    return [
        f"{RESULTS}/scenes/{split}/{shard}.{kind}"
        for split in splits
        for shard in shards(split)
        for kind in kinds
    ]


def texts(*splits):
    """Return the encoded sentences, those of the sealed test only for its splits."""
    sealed = any(split in SEALED for split in splits)
    return [
        f"{RESULTS}/features/{folder}/{part}.{kind}"
        for folder in (TEXTS, SEALED_TEXTS)
        if folder == TEXTS or sealed
        for part in TEXT_PARTS[folder]
        for kind in ("safetensors", "json")
    ]


def features(*splits):
    """Return the cached features of the splits' images and the encoded sentences."""
    images = [
        f"{RESULTS}/features/images/{split}/{shard}.safetensors"
        for split in splits
        for shard in shards(split)
    ]
    return images + texts(*splits)


def truth(*splits):
    """Return the truth files that scoring reads."""
    files = ("geometry.safetensors", "annotations.jsonl")
    return [f"{RESULTS}/truth/{split}/{name}" for split in splits for name in files]


def prepared(*splits):
    """Return the prepared truth of the splits."""
    return [f"{RESULTS}/truth/{split}/prepared.safetensors" for split in splits]


def score_files(splits, kind):
    """Return the score tables (or their JSON sidecars) that a job writes, one per split."""
    return [f"{RESULTS}/scores/{{method}}/{{seed}}/{split}.{kind}" for split in splits]


def submission(method, splits=PREDICTED):
    """Return the manifests of a method's submissions, one per split."""
    return [
        f"{RESULTS}/predictions/{method}/{{seed}}/{split}/manifest.json"
        for split in splits
    ]


def baseline_inputs(name, splits=PREDICTED):
    """Return the input files of a baseline, which depend on the declarations in its method.py."""
    inputs = {"scenes": scenes("train", *splits), "features": texts(*splits)}
    if BASELINES[name].get("USES_TRUTH"):
        inputs["truth"] = truth(*splits)
    if name in PRETRAINED:
        files = [path for path in PRETRAINED[name].iterdir() if path.is_file()]
        inputs["weights"] = sorted(map(str, files))
    return inputs


def scores(kind="parquet", methods=None):
    """Return the score tables (or their JSON sidecars) of the methods, by default of all."""
    return [
        f"{RESULTS}/scores/{method}/{seed}/{split}.{kind}"
        for method, seed in RUNS
        if methods is None or method in methods
        for split in SCORED
    ]


def job_code(script, *modules):
    """Return the hash of all code that a script in workflow/scripts runs.

    `modules` are modules that it runs without importing them.
    """
    return code_hash(f"workflow/scripts/{script}.py", *modules)


def baseline_code(name):
    """Return the hash of all code that a baseline's job runs."""
    return job_code("baseline", f"baselines.{name}.method")


def checkpoint_key(method):
    """Return the folder name of a method's checkpoints, which fit one config, data and code."""
    keys = ("seed", "data", "render", "encode", "model", "train")
    parts = [
        (config[key] | {"splits": OPEN_SPLITS} if key == "data" else config[key])
        for key in keys
    ]
    return settings.digest(
        parts, TRAINED[method], pins.folder_hash(), code_hash("g2vlm.training.train")
    )


def shard_range(split, shard):
    """Return the range [first, end) of a shard's scenes in the split."""
    size = config["data"]["scenes_per_shard"]
    first = int(shard) * size
    return [first, min(first + size, SPLITS[split])]


def verified(wildcards):
    """Return the files of the comparison with the reference; fails if there is no reference."""
    if not VERIFICATION:
        raise WorkflowError(
            f"{REFERENCE}: no reference of this experiment; `make reference` keeps a finished run"
        )
    return VERIFICATION


def study_scores(methods, seeds=SEEDS):
    """Return the score tables of trained methods or variants on the studies' split.

    The studies' variants are evaluated on that split alone.
    """
    return [
        (
            f"{RESULTS}/studies/scores/{STUDY_SPLIT}/{method}/{seed}.parquet"
            if method in VARIANTS
            else f"{RESULTS}/scores/{method}/{seed}/{STUDY_SPLIT}.parquet"
        )
        for method in methods
        for seed in seeds
    ]


def thresholds_of(wildcards):
    """Return the calibrated thresholds of a method's or a variant's training."""
    trained, seed = wildcards.trained, wildcards.seed
    if trained in VARIANTS:
        return f"{RESULTS}/studies/thresholds/{trained}/{seed}.json"
    return f"{RESULTS}/predictions/{trained}/{seed}/thresholds.json"


def study_files(name):
    """Return the result files of a study."""
    kinds = ("estimates.csv", "differences.csv", "tables.md", "figure.png")
    return [f"{RESULTS}/studies/{name}/{kind}" for kind in kinds]


def gate_tables(runs):
    """Return the score tables of (method, seed) runs, of train and of val for each run."""
    return [
        f"{RESULTS}/gate/scores/{split}/{method}/{seed}.parquet"
        for method, seed in runs
        for split in ("train", "val")
    ]


def val_predictions(runs):
    """Return the submissions of (method, seed) runs on val."""
    return [
        f"{RESULTS}/predictions/{name}/{seed}/val/manifest.json" for name, seed in runs
    ]
