"""The threads and GPUs of a job.

Snakemake's `gpu` resource only counts. Which device a job gets is settled here, between all clones
and users of one machine: the job locks a file per device, and the kernel frees the lock when the
process ends.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from metrics.files import InputError

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "EMBREE_THREADS",
)
VISIBLE = "CUDA_VISIBLE_DEVICES"
# Not the user's TMPDIR: every process on the machine must use the same folder.
LOCKS = Path("/tmp")
POLL_SECONDS = 0.5


def assign(count: int) -> None:
    """Reserve `count` GPUs for this process until it ends and hide all others; 0 hides all.

    Waits until `count` GPUs are free. On a machine without a GPU the job runs on the processor.
    Call it before CUDA starts.

    Raises:
        InputError: the machine has GPUs, but fewer than `count`.
    """
    devices = available() if count else ()
    if count and not devices:
        print("no GPU here: the job runs on the processor", file=sys.stderr)
    os.environ[VISIBLE] = ",".join(reserve(count, devices)) if devices else ""


@cache
def available() -> tuple[str, ...]:
    """Return the UUIDs of the GPUs that this process may use; none without nvidia-smi."""
    if shutil.which("nvidia-smi") is None:
        return ()
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return visible(parse_listing(done.stdout), os.environ) if done.returncode == 0 else ()


def parse_listing(text: str) -> tuple[str, ...]:
    """Return the UUIDs in the output of `nvidia-smi -L`, for a split GPU those of its MIG parts."""
    devices: list[str] = []
    for kind, uuid in re.findall(r"UUID: ((?:GPU|MIG)-)([^)\s]+)\)", text):
        # A MIG part follows the GPU that it belongs to.
        if kind == "MIG-" and devices and devices[-1].startswith("GPU-"):
            devices.pop()
        devices.append(kind + uuid)
    return tuple(devices)


def visible(devices: Sequence[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the devices that CUDA_VISIBLE_DEVICES leaves, all of them if it is not set.

    Numbers count in the order of nvidia-smi; a UUID may be shortened. As in CUDA, a name that fits
    no device ends the list.
    """
    if VISIBLE not in environment:
        return tuple(devices)
    chosen: list[str] = []
    for name in environment[VISIBLE].split(","):
        name = name.strip()
        if name.isdecimal():
            matches = [*devices[int(name) : int(name) + 1]]
        else:
            matches = [device for device in devices if name and device.startswith(name)]
        if len(matches) != 1:
            break
        if matches[0] not in chosen:
            chosen += matches
    return tuple(chosen)


def reserve(
    count: int, devices: Sequence[str], locks: Path = LOCKS, poll_seconds: float = POLL_SECONDS
) -> list[str]:
    """Lock `count` of the devices for the life of this process, waiting until they are free.

    While it waits it holds none, so two jobs that need several GPUs cannot block each other.

    Raises:
        InputError: there are fewer than `count` devices.
    """
    if count > len(devices):
        raise InputError(
            f"{VISIBLE}: the job asks for {count} GPUs and {len(devices)} can be used here; "
            "lower the rule's `gpu` (--set-resources) or make more devices visible"
        )
    announced = False
    while True:
        held: dict[str, int] = {}
        for device in devices:
            handle = _lock(locks / f"g2vlm-{device}.lock") if len(held) < count else None
            if handle is not None:
                held[device] = handle
        if len(held) == count:
            return list(held)
        for handle in held.values():
            os.close(handle)
        if not announced:
            print(f"waiting for {count} free of {len(devices)} GPUs", file=sys.stderr)
            announced = True
        time.sleep(poll_seconds)


def _lock(path: Path) -> int | None:
    """Return a locked file descriptor, or None if another process holds the lock.

    Opened for reading, because a file that another user made can be locked but not written.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
