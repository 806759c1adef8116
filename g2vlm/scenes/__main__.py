"""Build the data folder: `python -m g2vlm.scenes build`; `g2vlm.run.data` checks and pins it."""

from __future__ import annotations

import argparse
from pathlib import Path

from metrics.files import InputError, run_main


def main() -> int:
    """Build the data folder; an `InputError` ends the program with one line and status 2."""
    from g2vlm.run.progress import Progress
    from g2vlm.scenes.build import build

    args = _parser().parse_args()
    counts = _counts(args.counts)
    build(Path(args.out), args.furniture, counts, args.rooms, progress=Progress("data"))
    print(f"{args.out}: built")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m g2vlm.scenes", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build the data folder from its sources")
    build.add_argument("--out", default="data", help="folder to write (default: data)")
    build.add_argument(
        "--furniture", help="folder or archive with the catalogs and the jar (default: fetch them)"
    )
    build.add_argument(
        "--rooms",
        help="folder or .tgz with the captured rooms, none to leave them out (default: fetch them)",
    )
    build.add_argument(
        "--counts", help="scenes by split, such as train=24,val=8 (default: the cpu experiment's)"
    )
    return parser


def _counts(text: str | None) -> dict[str, int] | None:
    """Parse --counts; None means the default."""
    if text is None:
        return None
    try:
        pairs = [part.split("=") for part in text.split(",")]
        return {split: int(number) for split, number in pairs}
    except ValueError as error:
        raise InputError(f"--counts {text}: not of the form train=24,val=8; correct it") from error


if __name__ == "__main__":
    run_main(main)
