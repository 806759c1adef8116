"""What jobs ask of a machine or a cluster; none of it changes a result or reruns a job."""

from g2vlm.run import devices

# Images count by their pixels, in those of the cpu experiment.
IMAGE = config["render"]["width"] * config["render"]["height"] / (128 * 96)


def count_scenes(*splits):
    """Return the scenes of the splits."""
    return sum(SPLITS[split] for split in splits)


def grows(base, per_unit=0, units=0):
    """Return `base + per_unit * units`, times the attempt: a job that failed gets more.

    `units` may be a function of the wildcards. Numbers are two to five times what the smoke and
    cpu experiments took (docs/scale.md). They are sizes in the config rather than those of the
    input files: asking for these costs a fifth of the time that the graph takes to build.
    """
    return lambda wildcards, attempt: math.ceil(
        attempt * (base + per_unit * (units(wildcards) if callable(units) else units))
    )


def in_split(wildcards):
    """Return the scenes of a job's own split."""
    return SPLITS[wildcards.split]


def one_gpu(wildcards):
    """Return 1 where this machine has a GPU; a cluster's profile sets it to what its nodes have."""
    return min(1, len(devices.available()))


def training_gpus(wildcards):
    """Return one for each process of a training where this machine has GPUs."""
    return PROCESSES * one_gpu(wildcards)


if workflow.is_main_process and workflow.local_exec and devices.available():
    # As many jobs with a GPU at a time as there are GPUs: more would wait for a lock.
    workflow.global_resources.setdefault("gpu", len(devices.available()))
