"""What a run costs apart from its work: `python -m g2vlm.run.overhead results/cpu`."""

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from g2vlm.run.manifest import read_benchmarks
from metrics.files import InputError, run_main

Job = Mapping[str, float | None]
# Jobs that only hash and pack what other jobs made.
BOOKKEEPING = ("manifest", "crate")


@dataclass(frozen=True)
class Overhead:
    """Slot seconds of a finished experiment; a slot runs one job at a time.

    A slot that stays empty while another job runs does not count: the graph has no job for it.

    Attributes:
        starts: from the begin of the processes to the begin of their scripts.
        imports: import statements of the scripts.
        hashing: jobs that record the run.
        waiting: time in which no job ran, because Snakemake read files, planned or chose jobs,
            times `slots`.
        held: all of these and the work.
        slots: the largest number of jobs that ran at once.
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
        """Return the sentence for the report."""
        return (
            f"Harness overhead: {100 * self.share:.1f}% of {self.held:,.0f} s held by "
            f"{self.slots} jobs at a time (process starts {self.starts:,.0f} s, imports "
            f"{self.imports:,.0f} s, hashing {self.hashing:,.0f} s, waiting {self.waiting:,.0f} s)."
        )


def overhead(jobs: Mapping[str, Job]) -> Overhead | None:
    """Return the overhead of jobs as `read_benchmarks` reads them; None if none has its times.

    Several runs of one experiment are summed; the time between them does not count. If a later run
    repeated a job, its time in the earlier run is not known any more and counts there as waiting.
    """
    timed = {name: job for name, job in jobs.items() if job.get("ended") and job["wall_seconds"]}
    if not timed:
        return None
    work = [job for name, job in timed.items() if name not in BOOKKEEPING]
    slots, idle = _slots_and_idle(timed.values())
    return Overhead(
        starts=sum(job["start_seconds"] for job in work),
        imports=sum(job["import_seconds"] for job in work),
        hashing=sum(timed[name]["wall_seconds"] for name in BOOKKEEPING if name in timed),
        waiting=slots * idle,
        held=slots * idle + sum(job["wall_seconds"] for job in timed.values()),
        slots=slots,
    )


def _slots_and_idle(jobs: Iterable[Job]) -> tuple[int, float]:
    """Return the most jobs at once, and the seconds in which a run had no job."""
    runs: dict[float, list[tuple[float, int]]] = {}
    for job in jobs:
        events = runs.setdefault(job["run_began"] or job["began"], [])
        events += [(job["began"], 1), (job["ended"], -1)]
    most, idle = 0, 0.0
    for last, events in runs.items():
        running = 0
        for moment, change in sorted(events):
            if running == 0:
                idle += max(0.0, moment - last)
            running, last = running + change, moment
            most = max(most, running)
    return most, idle


def read_overhead(results: Path) -> Overhead | None:
    """Return the overhead of an experiment's finished jobs, from their benchmark files."""
    return overhead(read_benchmarks(results / "benchmarks"))


def main() -> int:
    """Print the overhead of one finished experiment."""
    parser = argparse.ArgumentParser(prog="g2vlm.run.overhead", description=__doc__)
    parser.add_argument("results", help="folder of a finished run, such as results/cpu")
    results = Path(parser.parse_args().results)
    cost = read_overhead(results)
    if cost is None:
        raise InputError(f"{results}: no job recorded its start; run `make reproduce` first")
    print(cost.sentence())
    return 0


if __name__ == "__main__":
    run_main(main)
