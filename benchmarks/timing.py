"""The rows of the benchmark's tables, and the timing of work here or in a process of its own."""

import json
import os
import subprocess
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One comparison: shortest seconds of this project and of a peer on the same `count` inputs."""

    task: str
    peer: str
    ours_seconds: float
    peer_seconds: float
    count: int


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
    """Return the shortest wall time of `repeats` runs, in seconds."""
    return min(timeit.repeat(work, number=1, repeat=repeats))


def measure(command: Sequence[str]) -> dict[str, Any]:
    """Return the JSON that a command prints; its process may use all threads."""
    environment = {
        key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")
    }
    return json.loads(subprocess.check_output(command, env=environment))
