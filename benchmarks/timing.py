"""Rows of the benchmark's tables and how a piece of work is timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


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
