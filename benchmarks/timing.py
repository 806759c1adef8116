"""Rows of the benchmark's tables, and how a piece of work is timed here or in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One comparison: best seconds of ours and of the peer on the same `count` inputs."""

    task: str
    peer: str
    ours_seconds: float
    peer_seconds: float
    count: int


@dataclass(frozen=True)
class Bar:
    """One thing that must be reached: what was measured, the bar, and whether it was reached.

    `reached` is None where nothing could be measured; `measured` then says why.
    """

    task: str
    measured: str
    bar: str
    reached: bool | None


def best(work: Callable[[], object], repeats: int = 5) -> float:
    """Return the shortest wall time of `repeats` runs, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(command: Sequence[str]) -> dict[str, Any]:
    """Return the JSON that a command prints, run as a process of its own, its threads unbound."""
    environment = {
        key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")
    }
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout)
