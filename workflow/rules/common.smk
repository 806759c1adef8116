"""Names, folders and helpers that the rules share; no rule stands here."""

import math
from pathlib import Path

from snakemake.exceptions import WorkflowError

from g2vlm.run import config as settings
from g2vlm.run import data as pins
from g2vlm.run import studies
from g2vlm.run.codehash import code_hash
from g2vlm.run.recipes import enough_recipes

EXPERIMENT = config["experiment"]
SPLITS = config["data"]["splits"]
ANSWERED = config["predict"]["splits"]
SCORED = config["score"]["splits"]
REAL_ROOMS = "real_rooms"
# The split on which the studies evaluate their trainings.
STUDY_SPLIT = "test_scene"
PINS = ["data.manifest.json", "data.dvc"]
DATA_HASH = pins.folder_hash()
# data/ holds the recipes of the default experiment; a larger one samples its own.
RECIPES = "data" if enough_recipes("data", SPLITS) else f"{RESULTS}/recipes"


# Folders of the weights that some baselines need; without them such a baseline is off.
PRETRAINED = {
    name: settings.pretrained_folder(config, name) for name in config["pretrained"]
}
# What each baseline's method.py declares; one that needs weights runs only if the config names them.
BASELINES = {
    name: declared
    for name, declared in settings.declared_baselines().items()
    if name in PRETRAINED or not declared.get("PRETRAINED")
}
OWN_RULES = [
    name for name in BASELINES if Path("baselines", name, "rules.smk").exists()
]
# Predictions made elsewhere, by name: a folder in the submission format for each scored split.
OUTSIDE = {entry["name"]: entry["path"] for entry in config["submissions"]}
SEEDS = range(config["seeds"])
# Trained when a study asks for them, by the same rules as the experiment's own methods.
VARIANTS = studies.variants(config, METHODS)
TRAINED = METHODS | VARIANTS
# That train one model together.
PROCESSES = config["train"]["processes"]
# What `make reference` kept of a finished run, and what compares a fresh one with it, if any.
REFERENCE = f"results/reference/{EXPERIMENT}"
VERIFICATION = (
    [f"{RESULTS}/verification.csv", f"{RESULTS}/verification.txt"]
    if Path(REFERENCE, "estimates.csv").exists()
    else []
)
# Every (method, seed) of the study: methods that read no randomness run once.
RUNS = [(name, seed) for name in METHODS for seed in SEEDS] + [
    (name, seed)
    for name, values in BASELINES.items()
    for seed in (SEEDS if values.get("STOCHASTIC", True) else [0])
]
RUNS += [(name, 0) for name in OUTSIDE]


wildcard_constraints:
    split="|".join(SPLITS),
    shard=r"\d+",
    method="[a-z0-9_]+",
    trained="|".join(TRAINED),
    variant="|".join(VARIANTS) or "none",
    baseline="|".join(name for name in BASELINES if name not in OWN_RULES) or "none",
    outside="|".join(OUTSIDE) or "none",
    seed=r"\d+",


def recipes(split):
    """Return a split's recipes; under data/, their change is seen by the pins alone.

    Captured rooms have their recipes and sentences in a folder of their own.
    """
    folder = f"{RECIPES}/{REAL_ROOMS}" if split == REAL_ROOMS else RECIPES
    files = [f"{RECIPES}/models.csv"]
    files += [f"{folder}/{name}" for name in ("scenes.jsonl", "language.jsonl")]
    return (ancient(files) if RECIPES == "data" else files) + PINS


def method_file(trained):
    """Return the file that says what a trained method or a study's variant of it is."""
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


def features(*splits):
    """Return the cached features of the splits' images and of all sentences."""
    text = [f"{RESULTS}/features/text.{kind}" for kind in ("safetensors", "json")]
    return [f"{RESULTS}/features/images/{split}.safetensors" for split in splits] + text


def truth(*splits):
    """Return the truth files that scoring reads."""
    files = ("geometry.safetensors", "annotations.jsonl")
    return [f"{RESULTS}/truth/{split}/{name}" for split in splits for name in files]


def submission(method="{method}"):
    """Return what a method's job writes: one manifest a split, in the submission format."""
    return [
        f"{RESULTS}/predictions/{method}/{{seed}}/{split}/manifest.json"
        for split in ANSWERED
    ]


def baseline_inputs(name):
    """Return what a baseline may read, by what its method.py declares."""
    inputs = {"scenes": scenes("train", *ANSWERED), "features": features()}
    if BASELINES[name].get("USES_TRUTH"):
        inputs["truth"] = truth(*ANSWERED)
    if name in PRETRAINED:
        files = [path for path in PRETRAINED[name].iterdir() if path.is_file()]
        inputs["weights"] = sorted(map(str, files))
    return inputs


def scores(kind="parquet", methods=None):
    """Return the score tables (or their json sidecars) of the methods' runs, all by default."""
    return [
        f"{RESULTS}/scores/{method}/{seed}/{split}.{kind}"
        for method, seed in RUNS
        if methods is None or method in methods
        for split in SCORED
    ]


def job_code(script, *modules):
    """Return the hash of all code that a script of workflow/scripts runs.

    `modules` names what it runs without importing it.
    """
    return code_hash(f"workflow/scripts/{script}.py", *modules)


def baseline_code(name):
    """Return the hash of all code that a baseline's job runs."""
    return job_code("baseline", f"baselines.{name}.method")


def checkpoint_key(method):
    """Return the name of a method's checkpoints: they fit one config and one state of data."""
    keys = ("seed", "data", "render", "encode", "model", "train")
    parts = [config[key] for key in keys]
    return settings.digest(
        parts, TRAINED[method], DATA_HASH, code_hash("g2vlm.training.train")
    )


def shard_range(split, shard):
    """Return the positions [first, end) in the split of the scenes that a shard holds."""
    size = config["data"]["scenes_per_shard"]
    first = int(shard) * size
    return [first, min(first + size, SPLITS[split])]


def verified(wildcards):
    """Return the files of the comparison with the reference; an error without a reference."""
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
    """Return what a study leaves in its folder."""
    kinds = ("estimates.csv", "differences.csv", "tables.md", "figure.png")
    return [f"{RESULTS}/studies/{name}/{kind}" for kind in kinds]
