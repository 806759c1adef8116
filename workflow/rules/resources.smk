"""What jobs ask of a machine or a cluster; none of it changes a result or reruns a job."""

from g2vlm.run import devices


def grows(base, per_input_mb=0):
    """Return a resource that grows with the inputs' size and with every attempt after a failure.

    Numbers are two to five times what the cpu and smoke experiments took (docs/scale.md).
    """
    return lambda wildcards, input, attempt: math.ceil(
        attempt * (base + (per_input_mb and per_input_mb * input.size_mb))
    )


def one_gpu(wildcards):
    """Return 1 where this machine has a GPU; a cluster's profile sets it to what its nodes have."""
    return min(1, len(devices.available()))


if workflow.is_main_process and workflow.local_exec and devices.available():
    # As many jobs with a GPU at a time as there are GPUs: more would wait for a lock.
    workflow.global_resources.setdefault("gpu", len(devices.available()))
