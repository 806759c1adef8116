"""Resources that jobs request; none of them changes a result or reruns a job."""

from g2vlm.run import devices

# Pixels of an image, relative to the cpu experiment.
IMAGE = config["render"]["width"] * config["render"]["height"] / (128 * 96)


def count_scenes(*splits):
    """Return the number of scenes in the splits."""
    return sum(SPLITS[split] for split in splits)


def grows(base, per_unit=0, units=0):
    """Return `base + per_unit * units`, times the attempt: a failed job gets more.

    `units` may be a function of the wildcards. The numbers are two to five times what the smoke and
    cpu experiments took (docs/scale.md). They depend on sizes in the config, not on sizes of input
    files, which would lengthen the planning of the graph by a fifth.
    """
    return lambda wildcards, attempt: math.ceil(
        attempt * (base + per_unit * (units(wildcards) if callable(units) else units))
    )


def in_split(wildcards):
    """Return the number of scenes in a job's split."""
    return SPLITS[wildcards.split]


def one_gpu(wildcards):
    """Return 1 if this machine has a GPU, else 0; a cluster's profile overrides it."""
    return min(1, len(devices.available()))


def training_gpus(wildcards):
    """Return one GPU per process of a training if this machine has GPUs, else 0."""
    return PROCESSES * one_gpu(wildcards)


def baseline_memory(wildcards, attempt):
    """Return the MB of a baseline, which grow with its scenes and with the size of its weights."""
    weights = PRETRAINED.get(wildcards.baseline)
    files = weights.iterdir() if weights else []
    size_mb = sum(file.stat().st_size for file in files) / 2**20
    scenes_mb = 5 * IMAGE * count_scenes("train", *PREDICTED)
    return math.ceil(attempt * (2000 + scenes_mb + 2 * size_mb))


def baseline_gpus(wildcards):
    """Return one GPU for a baseline that declares USES_GPU, on a cluster in any case."""
    if not BASELINES[wildcards.baseline].get("USES_GPU"):
        return 0
    return one_gpu(wildcards) if workflow.local_exec else 1


if workflow.is_main_process and workflow.local_exec and devices.available():
    # No more jobs with a GPU at a time than there are GPUs: others would wait for a lock.
    workflow.global_resources.setdefault("gpu", len(devices.available()))
