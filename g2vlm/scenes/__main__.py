"""Build the data folder: `python -m g2vlm.scenes build`; `g2vlm.run.data` checks and pins it."""

import argparse
from pathlib import Path

from metrics.files import run_main


def main() -> int:
    """Build the data folder; an `InputError` ends the program with one line and status 2."""
    from g2vlm.run.progress import Progress
    from g2vlm.scenes.build import build

    parser = argparse.ArgumentParser(prog="python -m g2vlm.scenes", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    options = commands.add_parser("build", help="build the data folder from its sources")
    options.add_argument("--out", default="data", help="folder to write (default: data)")
    options.add_argument(
        "--furniture", help="folder with the catalogs and the jar (default: fetch them)"
    )
    options.add_argument(
        "--rooms",
        help="folder or .tgz with the captured rooms, none to leave them out (default: fetch them)",
    )
    args = parser.parse_args()
    build(Path(args.out), args.furniture, rooms=args.rooms, progress=Progress("data"))
    print(f"{args.out}: built")
    return 0


if __name__ == "__main__":
    run_main(main)
