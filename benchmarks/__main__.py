"""Time the yardstick, the data and a training step: against other libraries, and against bars.

``python -m benchmarks [--experiment results/cpu]
[--only bars|peers|scenes|statistics|training] [--large]``.
``EVAL3R_PYTHON`` names the interpreter of an environment with eval3r in it for the comparison with
that tool.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

from benchmarks import bars, peers, rays, scenes, statistics, training
from benchmarks.timing import Bar, Row
from metrics.files import run_main

PARTS = ("bars", "peers", "scenes", "statistics", "training")


def main() -> int:
    """Print Markdown tables; 1 when a bar was measured and missed."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--experiment", type=Path, default=Path("results/cpu"))
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--large", action="store_true", help="the largest table of scores too")
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, best of several runs.\n")
    parts = [arguments.only] if arguments.only else PARTS
    if "peers" in parts:
        _show_rows(peers.nearest_neighbours() + peers.inside_mesh() + rays.views())
    found = []
    if "bars" in parts:
        found += bars.against_eval3r() + bars.solids() + bars.growth()
        found += bars.scoring(arguments.experiment)
    if "scenes" in parts:
        found += scenes.growth()
    if "statistics" in parts:
        found += statistics.measured(arguments.large)
    if "training" in parts:
        found += training.step(arguments.experiment)
    return _show_bars(found) if found else 0


def _show_rows(rows: list[Row]) -> None:
    print(
        "| task, on one core | this project, ms | a second | peer | peer, ms | a second | ratio |"
    )
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: |")
    for row in rows:
        ratio = row.peer_seconds / row.ours_seconds
        print(
            f"| {row.task} | {1e3 * row.ours_seconds:.1f} | {row.count / row.ours_seconds:,.0f} "
            f"| {row.peer} | {1e3 * row.peer_seconds:.1f} | {row.count / row.peer_seconds:,.0f} "
            f"| {ratio:.1f} |"
        )
    print()


def _show_bars(found: list[Bar]) -> int:
    print("| bar | measured | must be | |")
    print("| --- | --- | --- | --- |")
    words = {True: "reached", False: "MISSED", None: "not measured"}
    for bar in found:
        print(f"| {bar.task} | {bar.measured} | {bar.bar} | {words[bar.reached]} |")
    return int(any(bar.reached is False for bar in found))


if __name__ == "__main__":
    run_main(main)
