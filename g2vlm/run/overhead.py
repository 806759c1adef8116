"""What running costs beside the work: `python -m g2vlm.run.overhead results/cpu`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from g2vlm.run.manifest import read_benchmarks
from metrics.files import InputError, run_main

Job = Mapping[str, float | None]
# Jobs that only hash and pack what others made.
BOOKKEEPING = ("manifest", "crate")


@dataclass(frozen=True)
class Overhead:
    """Slot seconds of a finished experiment: a slot is a place for one job at a time.

    `starts` from a process's begin to its rule's script, `imports` of the scripts, `hashing` of
    the jobs that record the run; `waiting` is the time in which no job ran (Snakemake reads,
    plans and chooses), times `slots`, the most jobs at once. `held` is all of it and the work.
    Slots that stay empty beside a running job are not counted: the graph leaves no job for them.
    """

    starts: float
    imports: float
    hashing: float
    waiting: float
    held: float
    slots: int

    @property
    def share(self) -> float:
        """The part of the held slot seconds that is not work."""
        return (self.starts + self.imports + self.hashing + self.waiting) / self.held

    def sentence(self) -> str:
        """Return what the report says of it."""
        return (
            f"Harness overhead: {100 * self.share:.1f}% of {self.held:,.0f} s held by "
            f"{self.slots} jobs at a time (process starts {self.starts:,.0f} s, imports "
            f"{self.imports:,.0f} s, hashing {self.hashing:,.0f} s, waiting {self.waiting:,.0f} s)."
        )


def overhead(jobs: Mapping[str, Job]) -> Overhead | None:
    """Return the overhead of jobs as `read_benchmarks` tells them; None where none told its start.

    An experiment made by several runs, one going on from another, is the sum of these: between
    them nothing waits. Where a later run made a job again, its time in the earlier run is no
    longer known and counts there as waiting.
    """
    told = {name: job for name, job in jobs.items() if job.get("ended") and job["wall_seconds"]}
    if not told:
        return None
    known = {name: job for name, job in told.items() if name not in BOOKKEEPING}
    slots, waiting = _idle(told.values())
    book = sum(told[name]["wall_seconds"] for name in BOOKKEEPING if name in told)
    return Overhead(
        starts=sum(job["start_seconds"] for job in known.values()),
        imports=sum(job["import_seconds"] for job in known.values()),
        hashing=book,
        waiting=slots * waiting,
        held=slots * waiting + sum(job["wall_seconds"] for job in told.values()),
        slots=slots,
    )


def _idle(jobs: Iterable[Job]) -> tuple[int, float]:
    """Return the most jobs at once, and the seconds in which runs were alive without a job."""
    runs: dict[float, list[tuple[float, int]]] = {}
    for job in jobs:
        events = runs.setdefault(job["run_began"] or job["began"], [])
        events += [(job["began"], 1), (job["ended"], -1)]
    most, idle = 0, 0.0
    for before, events in runs.items():
        at_once = 0
        for moment, change in sorted(events):
            idle += max(0.0, moment - before) if at_once == 0 else 0.0
            at_once, before = at_once + change, moment
            most = max(most, at_once)
    return most, idle


def of_folder(results: Path) -> Overhead | None:
    """Return the overhead of the jobs that ended so far, by their benchmark files."""
    return overhead(read_benchmarks(results / "benchmarks"))


def main() -> int:
    """Print the overhead of one finished experiment."""
    parser = argparse.ArgumentParser(prog="g2vlm.run.overhead", description=__doc__)
    parser.add_argument("results", help="folder of a finished run, such as results/cpu")
    results = Path(parser.parse_args().results)
    found = of_folder(results)
    if found is None:
        raise InputError(f"{results}: no job recorded its start; run `make reproduce` first")
    print(found.sentence())
    return 0


if __name__ == "__main__":
    run_main(main)
