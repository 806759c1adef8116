"""One pipeline run a clone: a lock that dies with its process, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from metrics.files import InputError

LOCK = Path(".snakemake/one-run.lock")


def hold(path: str | Path) -> IO[str]:
    """Lock `path` for the life of this process and return the open file, which must be kept.

    Raises `InputError` naming the process that holds it. The kernel drops the lock when the
    process ends, so a kill leaves nothing to clean up.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    handle = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - open for the process's life
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.seek(0)
        owner = handle.read().strip() or "unknown"
        raise InputError(
            f"{path}: another snakemake (process {owner}) is at work in this clone; "
            "wait for it to end or use a second clone"
        ) from error
    handle.truncate(0)
    handle.write(f"{os.getpid()}\n")
    handle.flush()
    return handle
