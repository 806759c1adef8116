"""Command line: ``python -m g2vlm {run,publish}``."""

import argparse
import json
import sys
import time
from pathlib import Path

from metrics.files import one_line, run_main


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parsed = _parser().parse_args(arguments)
    return parsed.command(parsed)


def console() -> None:
    """Entry point of the installed `g2vlm` command."""
    run_main(main)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="g2vlm", description=__doc__)
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser(
        "run", help="compute points, mesh, scene graph and answers of a capture"
    )
    run.set_defaults(command=_run)
    run.add_argument("capture", help="folder of an RGB-D capture (docs/use.md lists the layouts)")
    run.add_argument(
        "--ask",
        action="append",
        default=[],
        metavar="QUESTION",
        help="a question to answer; may be repeated",
    )
    run.add_argument(
        "--find",
        action="append",
        default=[],
        metavar="PHRASE",
        help="a phrase whose object to find; may be repeated",
    )
    run.add_argument("--out", required=True, help="new folder for the results")
    run.add_argument("--model", help="model folder (default: the reference checkpoint)")
    run.add_argument("--json", action="store_true", help="print the content of result.json")
    run.add_argument(
        "--intrinsics",
        type=_numbers,
        metavar="FX,FY,CX,CY",
        help="intrinsics of the depth images, in pixels",
    )
    run.add_argument("--camera", help="a known sensor instead of --intrinsics, e.g. kinect")
    run.add_argument("--depth-scale", type=float, help="stored depth units a metre, e.g. 1000")
    run.add_argument(
        "--up", type=_numbers, metavar="X,Y,Z", help="rough upward direction in the world"
    )
    run.add_argument("--frames", type=int, help="keep at most this many frames")
    run.add_argument(
        "--frame", default="levelled", help="frame of the geometry files: levelled or capture"
    )
    publish = commands.add_parser(
        "publish", help="write a trained model as a folder of its own, with its calibrations"
    )
    publish.set_defaults(command=_publish)
    publish.add_argument("results", help="a finished experiment's folder, e.g. results/cpu")
    publish.add_argument("--method", default="full")
    publish.add_argument("--seed", type=int, default=0)
    publish.add_argument("--out", required=True, help="the new model folder")
    return parser


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of numbers with commas, e.g. 525,525,319.5,239.5"
        ) from error


def _run(arguments: argparse.Namespace) -> int:
    from g2vlm.captures import load_capture
    from g2vlm.use.folder import check_frame, check_free, check_writable

    started = time.monotonic()

    def report(line: str) -> None:
        print(f"[{time.monotonic() - started:5.1f} s] {line}", file=sys.stderr, flush=True)

    # Checks that need no model come before it is loaded.
    check_free(Path(arguments.out))
    check_writable(Path(arguments.out))
    check_frame(arguments.frame)
    report(f"loading {one_line(arguments.capture)}")
    names = ("intrinsics", "camera", "depth_scale", "up", "frames")
    options = {name: getattr(arguments, name) for name in names}
    given = {name: value for name, value in options.items() if value is not None}
    capture = load_capture(arguments.capture, **given)
    report(f"{len(capture)} frames of {capture.size[0]}x{capture.size[1]}; loading the model")
    from g2vlm.use.model import DEFAULT_MODEL, G2VLMModel

    model = G2VLMModel.from_pretrained(arguments.model or DEFAULT_MODEL)
    result = model.run(capture, arguments.ask, arguments.find, report)
    report(f"writing {one_line(arguments.out)}")
    saved = None
    try:
        notes = result.notes + result.save(arguments.out, arguments.frame)
        saved = arguments.out
        report("done")
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
    finally:
        # The answers are worth having even where the files could not be written.
        if arguments.json:
            print(json.dumps(result.to_json(), indent=2, sort_keys=True, ensure_ascii=False))
        else:
            print(result.summary(saved))
    return 0


def _publish(arguments: argparse.Namespace) -> int:
    from g2vlm.run.progress import Progress
    from g2vlm.use.publish import publish

    progress = Progress("out-of-distribution score")
    out = publish(arguments.results, arguments.out, arguments.method, arguments.seed, progress)
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{out}: {size / 1e6:.1f} MB; use it by --model {out}")
    return 0


if __name__ == "__main__":
    console()
