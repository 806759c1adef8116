"""Time the evaluation, the data and a training step.

They are compared with other libraries and with fixed requirements. Set ``EVAL3R_PYTHON`` to the
interpreter of an environment that holds eval3r, to compare with that tool.
"""

import argparse
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import evaluation, peers, scenes, statistics, training
from benchmarks.timing import Requirement, Row
from metrics.files import run_main
from report.table import markdown_grid

PEER_HEADS = (
    *("task, on one core", "this project, ms", "a second"),
    *("peer", "peer, ms", "a second", "ratio"),
)
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
        print(markdown_grid(PEER_HEADS, map(_peer_cells, peers.inside_mesh() + peers.views())))
    measures: dict[str, list[Callable[[], list[Requirement]]]] = {
        "evaluation": [
            *(evaluation.against_eval3r, evaluation.solids, evaluation.growth),
            partial(evaluation.scoring, arguments.experiment),
        ],
        "scenes": [scenes.growth],
        "statistics": [partial(statistics.requirements, arguments.large)],
        "training": [partial(training.step, arguments.experiment)],
    }
    rows = [row for part in parts for measure in measures.get(part, ()) for row in measure()]
    words = {True: "met", False: "NOT MET", None: "not measured"}
    print(
        markdown_grid(
            ["task", "measured", "required", ""],
            [[row.task, row.measured, row.limit, words[row.met]] for row in rows],
        )
    )
    return int(any(row.met is False for row in rows))


def _peer_cells(row: Row) -> list[str]:
    """Return the cells of one comparison as printed."""
    times = [f"{1e3 * row.ours_seconds:.1f}", f"{row.count / row.ours_seconds:,.0f}", row.peer]
    times += [f"{1e3 * row.peer_seconds:.1f}", f"{row.count / row.peer_seconds:,.0f}"]
    return [row.task, *times, f"{row.peer_seconds / row.ours_seconds:.1f}"]


if __name__ == "__main__":
    run_main(main)
