"""Measure speed, memory and growth, and compare them with requirements: one table.

Set ``EVAL3R_PYTHON`` and ``OPEN3D_PYTHON`` to interpreters of environments that hold these tools,
to compare with them. Rows of whole jobs are read from the record of a finished run.
"""

import argparse
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import boxes, evaluation, peers, records, scenes, statistics, training
from benchmarks.timing import Requirement
from metrics.files import run_main
from report.table import markdown_grid

PARTS = ("evaluation", "peers", "boxes", "statistics", "scenes", "training", "records")


def main() -> int:
    """Print a Markdown table; return 1 when a requirement is not met."""
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
    measures: dict[str, list[Callable[[], list[Requirement]]]] = {
        "evaluation": [
            *(evaluation.against_peers, evaluation.solids, evaluation.growth),
            partial(evaluation.scoring, arguments.experiment),
        ],
        "peers": [peers.inside_mesh, peers.views],
        "boxes": [boxes.of_split],
        "statistics": [partial(statistics.requirements, arguments.large)],
        "scenes": [scenes.growth],
        "training": [partial(training.step, arguments.experiment)],
        "records": [partial(records.of_run, arguments.experiment)],
    }
    rows = [row for part in parts for measure in measures[part] for row in measure()]
    words = {True: "met", False: "NOT MET", None: "not measured"}
    print(
        markdown_grid(
            ["task", "measured", "required", ""],
            [[row.task, row.measured, row.limit, words[row.met]] for row in rows],
        )
    )
    return int(any(row.met is False for row in rows))


if __name__ == "__main__":
    run_main(main)
