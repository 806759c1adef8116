"""What a job's process spends before and beside its own work: its start, and its imports."""

from __future__ import annotations

import builtins
import os
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from g2vlm.run.lock import LOCK
from metrics.files import write_json


class ImportClock:
    """Adds up the wall seconds of a process's outermost import statements, from its making on.

    Imports of the thread that made it count; those that an import makes count once, with it.
    """

    def __init__(self) -> None:
        self.seconds, self._depth = 0.0, 0
        self._thread, self._import = threading.get_ident(), builtins.__import__
        builtins.__import__ = self._timed

    def _timed(self, *args: Any, **kwargs: Any) -> ModuleType:
        if self._depth or threading.get_ident() != self._thread:
            return self._import(*args, **kwargs)
        self._depth, begun = 1, time.perf_counter()
        try:
            return self._import(*args, **kwargs)
        finally:
            self._depth = 0
            self.seconds += time.perf_counter() - begun

    def stop(self) -> None:
        """Time no further imports."""
        builtins.__import__ = self._import


def process_age() -> float | None:
    """Return the seconds since the kernel started this process, to 10 ms; None beside Linux."""
    try:
        told = Path("/proc/self/stat").read_text()
    except OSError:
        return None
    # Field 22 of proc(5): clock ticks after boot. The name, field 2, may hold spaces.
    ticks = int(told.rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def record_of(log: Path) -> Path | None:
    """Return the file beside a job's benchmark that holds its record; None for no such job.

    >>> record_of(Path("results/cpu/logs/score/full-0.log")).as_posix()
    'results/cpu/benchmarks/score/full-0.json'
    """
    parts = list(log.with_suffix(".json").parts)
    if "logs" not in parts[:-1]:
        return None
    parts[parts.index("logs")] = "benchmarks"
    return Path(*parts)


def write_record(log: Path, started: float | None, imports: float) -> None:
    """Record a job that ends now: seconds of its start and imports.

    `began` and `ended` are its process's times, `run_began` the run's (seconds since 1970).
    """
    path = record_of(log)
    if path is None or started is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"start_seconds": round(started, 3), "import_seconds": round(imports, 3)}
    record["ended"] = round(time.time(), 3)
    record["began"] = round(record["ended"] - process_age(), 3)
    # The lock is written when a run begins.
    record["run_began"] = round(LOCK.stat().st_mtime, 3) if LOCK.exists() else None
    write_json(path, record)
