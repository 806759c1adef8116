"""The rows of the benchmark's table, and the timing of work here or in a process of its own."""

import json
import os
import subprocess
import time
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Requirement:
    """One performance requirement.

    Attributes:
        task: what is measured.
        measured: the result as text, or the reason why there is none.
        limit: the required result as text.
        met: whether the requirement is met, None if nothing could be measured.
    """

    task: str
    measured: str
    limit: str
    met: bool | None


def at_most(task: str, value: float, limit: float, unit: str = "", detail: str = "") -> Requirement:
    """Return the requirement that a value is at most a limit; `detail` is printed in brackets."""
    measured = f"{value:.2f}{unit}"
    if detail:
        measured += f" ({detail})"
    return Requirement(task, measured, f"<= {limit:g}{unit}", bool(value <= limit))


def best(work: Callable[[], object], repeats: int = 5) -> float:
    """Return the least core seconds of `repeats` runs: other jobs of the machine do not count."""
    return min(timeit.repeat(work, number=1, repeat=repeats, timer=time.process_time))


def versus(
    task: str,
    ours: Callable[[], object],
    peer: str,
    theirs: Callable[[], object],
    most: float = 1.0,
    repeats: int = 3,
) -> Requirement:
    """Return the requirement that this project's core seconds are at most a share of a peer's.

    The two are run in turn, and each counts with its best run.
    """
    mine, other = (
        min(times)
        for times in zip(*((best(ours, 1), best(theirs, 1)) for _ in range(repeats)), strict=True)
    )
    detail = f"{1e3 * mine:.1f} vs {1e3 * other:.1f} core-ms"
    return at_most(f"{task}, time / {peer}'s", mine / other, most, "", detail)


def measure(command: Sequence[str]) -> dict[str, Any]:
    """Return the JSON that a command prints; its process may use all threads."""
    environment = {
        key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")
    }
    return json.loads(subprocess.check_output(command, env=environment))
