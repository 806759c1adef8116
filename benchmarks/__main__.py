"""Time the evaluation, the data and a training step.

They are compared with other libraries and with fixed requirements. Set ``EVAL3R_PYTHON`` to the
interpreter of an environment that holds eval3r, to compare with that tool.
"""

import argparse
import platform
from pathlib import Path

from benchmarks import evaluation, peers, scenes, statistics, training
from benchmarks.timing import Row
from metrics.files import run_main

PARTS = ("evaluation", "peers", "scenes", "statistics", "training")


def main() -> int:
    """Print Markdown tables; return 1 when a requirement is not met."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "--experiment",
        type=Path,
        default=Path("results/cpu"),
        help="folder of a finished run (default: results/cpu)",
    )
    parser.add_argument("--only", choices=PARTS, help="run one part (default: all)")
    parser.add_argument("--large", action="store_true", help="add the largest table of scores")
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, best of several runs.\n")
    parts = [arguments.only] if arguments.only else PARTS
    if "peers" in parts:
        _print_rows(peers.inside_mesh() + peers.views())
    requirements = []
    if "evaluation" in parts:
        requirements += evaluation.against_eval3r() + evaluation.solids() + evaluation.growth()
        requirements += evaluation.scoring(arguments.experiment)
    if "scenes" in parts:
        requirements += scenes.growth()
    if "statistics" in parts:
        requirements += statistics.requirements(arguments.large)
    if "training" in parts:
        requirements += training.step(arguments.experiment)
    if requirements:
        print("| task | measured | required | |")
        print("| --- | --- | --- | --- |")
    words = {True: "met", False: "NOT MET", None: "not measured"}
    for row in requirements:
        print(f"| {row.task} | {row.measured} | {row.limit} | {words[row.met]} |")
    return int(any(requirement.met is False for requirement in requirements))


def _print_rows(rows: list[Row]) -> None:
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


if __name__ == "__main__":
    run_main(main)
