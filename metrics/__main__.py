"""Command line of the yardstick: ``python -m metrics {score,geometry,validate,list,...}``."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from metrics.files import run_main


def main() -> int:
    """Run one command; 0 when all is well, 1 when faults were found, 2 for bad input."""
    arguments = _parser().parse_args()
    return arguments.command(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="metrics", description=__doc__)
    commands = parser.add_subparsers(required=True)
    score = _command(commands, "score", _score, "score a submission folder against the truth")
    score.add_argument("submission")
    score.add_argument("--truth", required=True, help="truth folder of the same split")
    score.add_argument("--out", required=True, help="Parquet table; a .json stands beside it")
    pair = _command(commands, "geometry", _geometry, "compare two clouds or meshes, unclipped")
    pair.add_argument("predicted")
    pair.add_argument("truth")
    pair.add_argument("--align", choices=("none", "icp_se3", "icp_sim3"), default="none")
    check = _command(commands, "validate", _validate, "list the faults of a submission folder")
    check.add_argument("submission")
    check.add_argument("--truth", help="truth folder: also list what is declared and missing")
    _command(commands, "list", _list, "list every metric with unit, direction and source")
    controls = _command(commands, "controls", _controls, "check scored oracle and chance runs")
    controls.add_argument("--truth", required=True)
    controls.add_argument("--oracle", help="score table of the oracle")
    controls.add_argument("--chance", nargs="*", default=[], help="score tables of chance")
    compare = _command(commands, "compare", _compare, "intervals and tests over a table of scores")
    compare.add_argument("scores", help="folder of method/seed/split.parquet, or one table")
    compare.add_argument("--out", required=True, help="folder for the statistics")
    compare.add_argument("--config", help="yaml whose statistics section declares the families")
    compare.add_argument("--reference", help="method that the others are compared with")
    return parser


def _command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=run)
    return parser


def _show(arguments: argparse.Namespace, value: Any, lines: list[str]) -> None:
    if arguments.json:
        print(json.dumps(value, indent=2, sort_keys=True))
    else:
        print("\n".join(lines))


def _score(arguments: argparse.Namespace) -> int:
    from metrics.controls import split_means
    from metrics.score import score_submission

    score_submission(arguments.submission, arguments.truth, arguments.out)
    means = split_means(arguments.out)
    _show_values(arguments, {name: means[name, part] for name, part in means if part == "all"})
    return 0


def _geometry(arguments: argparse.Namespace) -> int:
    from metrics.pairs import compare_files

    _show_values(arguments, compare_files(arguments.predicted, arguments.truth, arguments.align))
    return 0


def _show_values(arguments: argparse.Namespace, values: dict[str, float]) -> None:
    width = max(map(len, values), default=0)
    _show(arguments, values, [f"{name:<{width}}  {value:.6g}" for name, value in values.items()])


def _validate(arguments: argparse.Namespace) -> int:
    from metrics.submission import Submission
    from metrics.truth import Truth

    truth = Truth(arguments.truth) if arguments.truth else None
    faults = Submission(arguments.submission).validate(truth)
    _show(arguments, faults, faults or ["no faults"])
    return 1 if faults else 0


def _list(arguments: argparse.Namespace) -> int:
    from metrics.registry import METRICS

    table = [asdict(metric) for metric in METRICS.values()]
    lines = []
    for metric in METRICS.values():
        better = "higher" if metric.higher_is_better else "lower"
        worst = "scene diagonal" if metric.worst is None else f"{metric.worst:g}"
        facts = f"[{metric.unit or 'share'}, {better} is better, worst {worst}]"
        lines.append(f"{metric.name}  {facts}\n    {metric.description}; {metric.source}")
    _show(arguments, table, lines)
    return 0


def _controls(arguments: argparse.Namespace) -> int:
    from metrics.controls import check_chance, check_oracle

    faults = check_oracle(arguments.oracle, arguments.truth) if arguments.oracle else []
    if arguments.chance:
        faults += check_chance(arguments.chance, arguments.truth)
    _show(arguments, faults, faults or ["the controls stand where they must"])
    return 1 if faults else 0


def _compare(arguments: argparse.Namespace) -> int:
    from metrics.statistics.compare import main as compare

    return compare(arguments)


if __name__ == "__main__":
    run_main(main)
