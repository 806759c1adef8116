"""Score the predictions of any method: ``python -m metrics COMMAND --help`` describes a command.

Exit status: 0 when all is well, 1 when a submission or a control has faults, 2 for input that
cannot be used (one line on stderr names it and how to fix it).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from metrics.files import InputError, read_json, run_main

if TYPE_CHECKING:
    from metrics.truth import Truth

MOST_SAMPLES = 10_000_000
DATA = "an experiment's folder (it holds truth/<split>/), or one split's truth folder"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def main(words: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        arguments = _parser().parse_args(words)
        status = arguments.command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise InputError(f"{what}; check the path, its permissions and the free space") from error
    return status


def entry() -> NoReturn:
    """Run as the installed command ``g2vlm-metrics``."""
    run_main(main)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="metrics", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_geometry(commands)
    _add_submission_commands(commands)
    compare = _command(commands, "compare", _compare, "intervals and tests over tables of scores")
    compare.add_argument(
        "scores",
        metavar="SCORES",
        nargs="+",
        help="score tables of the same split, one folder of <method>/<seed>/<split>.parquet, or "
        "the cells.parquet of an earlier comparison next to its methods.json; or results of other "
        "harnesses as FILE or NAME=FILE (docs/compare-results.md)",
    )
    compare.add_argument("--reference", help="method that all others are compared with")
    compare.add_argument(
        "--config", help="yaml with a statistics section: families, controls, contrasts"
    )
    compare.add_argument(
        "--gate",
        metavar="GATE.json",
        help="{method: {task: {fit, reason}}}: no claim is decided about a method that is unfit",
    )
    compare.add_argument("--out", metavar="FOLDER", help="write the statistics as tables there")
    results = compare.add_argument_group("results of other harnesses")
    results.add_argument("--cluster", metavar="NAME", help="column of scenes, videos or images")
    results.add_argument("--seed-column", metavar="NAME", help="column of seeds")
    for option, text in (
        ("--metrics", "compare these metrics alone"),
        ("--higher", "metrics of which higher is better"),
        ("--lower", "metrics of which lower is better"),
    ):
        results.add_argument(option, metavar="NAME", nargs="+", default=[], help=text)
    _command(commands, "list", _list, "list every metric: unit, direction, worst, floor, source")
    controls = _command(commands, "controls", _controls, "check scored oracle and chance runs")
    controls.add_argument("--data", required=True, help=DATA)
    controls.add_argument("--split", help="split of the tables; needed for an experiment's folder")
    controls.add_argument("--oracle", metavar="SCORES", help="score table of the oracle")
    controls.add_argument(
        "--chance", metavar="SCORES", nargs="*", default=[], help="score tables of chance"
    )
    plan = _command(commands, "plan", _plan, "how many trainings and scenes a difference needs")
    plan.add_argument("scores", help="folder of method/seed/split.parquet, or one table")
    plan.add_argument("metric")
    plan.add_argument("a", help="method")
    plan.add_argument("b", help="method that it is compared with")
    plan.add_argument("--gap", type=float, required=True, help="true difference to detect")
    plan.add_argument("--split", default="dev_scene")
    plan.add_argument("--subset", default="all")
    plan.add_argument("--power", type=float, default=0.8)
    plan.add_argument("--tests", type=int, default=1, help="size of the family (Holm)")
    return parser


def _add_geometry(commands: Any) -> None:
    from metrics.reconstruction.compare_files import ALIGNMENTS, SAMPLES

    pair = _command(commands, "geometry", _geometry, "compare two clouds or meshes, unclipped")
    pair.add_argument(
        "predicted", metavar="PRED", help="PLY, OBJ, GLB, glTF, STL, OFF, XYZ, npz or npy"
    )
    pair.add_argument("truth", metavar="GT", help="the same kinds; metres, in one frame with PRED")
    pair.add_argument(
        "--align",
        choices=ALIGNMENTS,
        default="none",
        help="none; icp_se3 or icp_sim3, which start from PRED as it is; sim3, from shared pixels",
    )
    pair.add_argument(
        "--samples",
        type=_count,
        default=SAMPLES,
        metavar="N",
        help=f"points sampled from a mesh (default {SAMPLES}); clouds are used as they are",
    )
    pair.add_argument(
        "--thresholds",
        type=_length,
        nargs="+",
        default=[0.025, 0.05, 0.1],
        metavar="M",
        help="thresholds of precision, recall and F-score in metres (default 0.025 0.05 0.1)",
    )
    pair.add_argument(
        "--no-floors", action="store_true", help="leave out the scores of the truth sampled again"
    )


def _add_submission_commands(commands: Any) -> None:
    score = _command(commands, "score", _score, "score a submission folder against the truth")
    score.add_argument("submission", metavar="SUBMISSION", help="folder that holds manifest.json")
    score.add_argument("--data", required=True, help=DATA)
    score.add_argument("--split", help="split to score (default: the submission's own)")
    score.add_argument(
        "--out",
        metavar="SCORES.parquet",
        help="write every row for compare, and a .json next to it",
    )
    check = _command(
        commands, "validate", _validate, "list every fault of a submission folder at once"
    )
    check.add_argument("submission", metavar="SUBMISSION", help="folder that holds manifest.json")
    check.add_argument(
        "--data", help=f"{DATA}; also lists items that are missing or not in the split"
    )
    check.add_argument("--split", help="required split (default: the submission's own)")


def _command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=run)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_SAMPLES:
        raise argparse.ArgumentTypeError(f"{text!r} must be an integer from 1 to {MOST_SAMPLES}")
    return int(text)


def _length(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 1e-6 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} must be a length in metres, from 1e-6 to 1e6")
    return value


def _print(arguments: argparse.Namespace, value: Any, lines: list[str]) -> None:
    """Print the value as JSON with --json, otherwise the lines."""
    if arguments.json:
        print(json.dumps(value, indent=2, sort_keys=True, allow_nan=False))
    else:
        print("\n".join(lines))


def _geometry(arguments: argparse.Namespace) -> int:
    from metrics.reconstruction.compare_files import compare_files
    from metrics.scoreboard import geometry_lines

    try:
        result = compare_files(
            arguments.predicted,
            arguments.truth,
            arguments.align,
            arguments.samples,
            sorted(set(arguments.thresholds)),
            not arguments.no_floors,
            progress=lambda line: print(line, file=sys.stderr, flush=True),
        )
    except MemoryError as error:
        raise InputError(
            f"{arguments.predicted}: comparing it with {arguments.truth} needs more memory than "
            "there is; thin the clouds or take fewer --samples"
        ) from error
    _print(arguments, result, geometry_lines(result))
    return 0


def _truth(data: str, split: str | None) -> Truth:
    """Return the truth of a split in an experiment's folder, or the truth folder itself."""
    from metrics.truth import Truth

    folders = [Path(data)]
    if split:
        folders += [Path(data, "truth", split), Path(data, split)]
    for folder in folders:
        if (folder / "annotations.jsonl").is_file():
            truth = Truth(folder)
            if split and truth.split != split:
                raise InputError(
                    f"{folder}: is split {truth.split!r}, not {split!r}; give the truth of "
                    f"{split!r} by --data"
                )
            return truth
    if split:
        raise InputError(f"{data}: has no truth/{split}/annotations.jsonl; name {DATA}")
    raise InputError(f"{data}: has no annotations.jsonl; give --split, or name {DATA}")


def _score(arguments: argparse.Namespace) -> int:
    import tempfile

    from metrics.score import score_submission
    from metrics.scoreboard import score_lines
    from metrics.submission.reader import Submission

    submission = Submission(arguments.submission)
    truth = _truth(arguments.data, arguments.split or submission.split)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(arguments.out or Path(scratch) / "scores.parquet")
        score_submission(submission.folder, truth.folder, out, Path(scratch))
        summary = read_json(out.with_suffix(".json"))
    _print(arguments, summary, score_lines(summary, arguments.out))
    return 0


def _validate(arguments: argparse.Namespace) -> int:
    from metrics.submission.reader import read_manifest
    from metrics.submission.validate import validate

    manifest, faults = read_manifest(Path(arguments.submission))
    split = arguments.split or manifest.get("split")
    # A faulty manifest may name a wrong split: its faults are reported without the truth.
    use_truth = arguments.data and not (faults and arguments.split is None)
    truth = _truth(arguments.data, split) if use_truth else None
    report = validate(arguments.submission, truth, arguments.split)
    lines = [*map(str, report.faults), *(f"warning: {warning}" for warning in report.warnings)]
    count, warned = len(report.faults), len(report.warnings)
    tail = f", {warned} warning{'s' * (warned != 1)}" if warned else ""
    lines.append(f"{count or 'no'} fault{'s' * (count != 1)}{tail}")
    _print(arguments, report.as_dict(), lines)
    return 1 if count else 0


def _list(arguments: argparse.Namespace) -> int:
    from metrics.registry import METRICS
    from metrics.scoreboard import metric_lines

    _print(arguments, [metric.facts() for metric in METRICS.values()], metric_lines())
    return 0


def _controls(arguments: argparse.Namespace) -> int:
    from metrics.controls import check_ceiling, check_chance

    folder = _truth(arguments.data, arguments.split).folder
    faults = check_ceiling(arguments.oracle, folder) if arguments.oracle else []
    if arguments.chance:
        faults += check_chance(arguments.chance, folder)
    _print(arguments, faults, faults or ["the controls have the expected scores"])
    return 1 if faults else 0


def _compare(arguments: argparse.Namespace) -> int:
    from metrics.results.readers import are_score_tables

    stated = ("cluster", "seed_column", "metrics", "higher", "lower")
    if any(getattr(arguments, name) for name in stated) or not are_score_tables(arguments.scores):
        return _compare_results(arguments)
    from metrics.scoreboard import compare_lines, compare_tables, json_records

    tables = compare_tables(
        arguments.scores, arguments.reference, arguments.config, arguments.out, arguments.gate
    )
    _print(
        arguments,
        {name: json_records(table) for name, table in tables.items()},
        compare_lines(tables),
    )
    return 0


def _compare_results(arguments: argparse.Namespace) -> int:
    """Compare results of other harnesses, with score tables of this one among them or not."""
    from metrics.results.compare import compare_files, write
    from metrics.results.console import comparison_lines, comparison_value
    from metrics.results.directions import Directions
    from metrics.results.long_table import Options

    for option in ("config", "gate"):
        if getattr(arguments, option):
            raise InputError(f"--{option}: needs score tables of this project alone; leave it out")
    found = compare_files(
        arguments.scores,
        arguments.reference,
        Options(arguments.cluster, arguments.seed_column),
        Directions(tuple(arguments.higher), tuple(arguments.lower)),
        arguments.metrics,
    )
    if arguments.out:
        write(found, arguments.out)
    _print(arguments, comparison_value(found), comparison_lines(found))
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    from metrics.statistics.planning import format_plan, from_scores

    parts, designs = from_scores(
        arguments.scores,
        arguments.metric,
        arguments.a,
        arguments.b,
        arguments.gap,
        split=arguments.split,
        subset=arguments.subset,
        target_power=arguments.power,
        tests=arguments.tests,
    )
    if arguments.json:
        print(designs.to_json(orient="records", indent=2))
    else:
        print(format_plan(parts, designs, arguments.gap, arguments.power))
    return 0


if __name__ == "__main__":
    entry()
