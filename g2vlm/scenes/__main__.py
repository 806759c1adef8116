"""Build, check and pin the data folder: `python -m g2vlm.scenes build | verify | pin`."""

from __future__ import annotations

import argparse
from pathlib import Path

from metrics.files import InputError, run_main


def main() -> int:
    """Run one command; `InputError` ends it with one line and status 2."""
    args = _parser().parse_args()
    if args.command == "build":
        from g2vlm.scenes.build import build

        build(Path(args.out), args.furniture, _counts(args.counts), args.rooms)
        print(f"{args.out}: built")
        return 0
    from g2vlm.run.data import verify, write_manifest

    data, manifest = Path(args.data), Path(args.manifest)
    if args.command == "pin":
        write_manifest(data, manifest)
        print(f"{manifest}: pins {data}/")
    else:
        print(f"{data}/: {verify(data, manifest, None)} files match {manifest}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m g2vlm.scenes", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build the data folder from its sources")
    build.add_argument("--out", default="data")
    build.add_argument("--furniture", help="folder or archive with the catalogs and the jar")
    build.add_argument("--rooms", help="folder or .tgz with the captured rooms; none: leave out")
    build.add_argument("--counts", help="scenes by split, as train=24,val=8 (default: cpu's)")
    for name, text in (("verify", "check every file's sha256"), ("pin", "write the manifest")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--data", default="data")
        command.add_argument("--manifest", default="data.manifest.json")
    return parser


def _counts(text: str | None) -> dict[str, int] | None:
    if text is None:
        return None
    try:
        pairs = [part.split("=") for part in text.split(",")]
        return {split: int(number) for split, number in pairs}
    except ValueError as error:
        raise InputError(f"--counts {text}: not of the form train=24,val=8; mend it") from error


if __name__ == "__main__":
    run_main(main)
