"""One job a GPU: a kernel lock for each device, and CUDA_VISIBLE_DEVICES for the job.

Snakemake's `gpu` resource only counts. Which device a job takes is settled here, between all the
clones and users of one machine: a lock file that the kernel frees when its process dies.
"""

from __future__ import annotations

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
# Not the user's TMPDIR: every process on the machine must look at the same place.
LOCKS = Path("/tmp")
POLL_SECONDS = 0.5


def limit_threads(count: int) -> None:
    """Let the numerical libraries that this process imports later use `count` threads."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(count)


def assign(count: int) -> None:
    """Let this process see `count` GPUs that no other job sees, or none at all.

    Waits until so many are free and keeps them until the process ends. Without any GPU here the
    job runs on the processor. Call it before CUDA starts; raises `InputError` where the machine
    has some GPUs but fewer than `count`.
    """
    devices = available() if count else ()
    if count and not devices:
        print("no GPU here: the job runs on the processor", file=sys.stderr)
    os.environ[VISIBLE] = ",".join(take(count, devices)) if devices else ""


@cache
def available() -> tuple[str, ...]:
    """Return the UUIDs of the GPUs that this process may use (none without nvidia-smi)."""
    if shutil.which("nvidia-smi") is None:
        return ()
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return allowed(listed(done.stdout), os.environ) if done.returncode == 0 else ()


def listed(text: str) -> tuple[str, ...]:
    """Return the UUIDs in what `nvidia-smi -L` prints; a split GPU stands for its MIG parts."""
    devices: list[str] = []
    for kind, uuid in re.findall(r"UUID: ((?:GPU|MIG)-)([^)\s]+)\)", text):
        if kind == "MIG-" and devices and devices[-1].startswith("GPU-"):
            devices.pop()
        devices.append(kind + uuid)
    return tuple(devices)


def allowed(devices: Sequence[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the devices that CUDA_VISIBLE_DEVICES leaves: all of them where it is not set.

    Numbers count in the order of nvidia-smi; a UUID may be cut short. As in CUDA, nothing after
    the first name that fits no device is used.
    """
    if VISIBLE not in environment:
        return tuple(devices)
    chosen: list[str] = []
    for name in environment[VISIBLE].split(","):
        name = name.strip()
        if name.isdecimal():
            found = [*devices[int(name) : int(name) + 1]]
        else:
            found = [device for device in devices if name and device.startswith(name)]
        if len(found) != 1:
            break
        chosen += [device for device in found if device not in chosen]
    return tuple(chosen)


def take(
    count: int, devices: Sequence[str], locks: Path = LOCKS, poll_seconds: float = POLL_SECONDS
) -> list[str]:
    """Lock `count` of the devices for the life of this process, waiting until they are free.

    All or none are held while it waits, so two jobs that want several cannot block each other.
    """
    if count > len(devices):
        raise InputError(
            f"{VISIBLE}: the job asks for {count} GPUs and {len(devices)} can be used here; "
            "lower the rule's `gpu` (--set-resources) or let it see more"
        )
    said = False
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
        if not said:
            print(f"waiting for {count} free of {len(devices)} GPUs", file=sys.stderr)
            said = True
        time.sleep(poll_seconds)


def _lock(path: Path) -> int | None:
    """Return a locked descriptor, or None when another process holds the lock.

    Opened for reading: a file that another user made can be locked but not written.
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
