"""Give every reader of untrusted files changed inputs: ``make fuzz`` (MINUTES=30, SEED=0).

Each input is read in a process with limits of time and memory. One that is neither read nor refused
by `InputError` is kept in build/fuzz, with the command that reads it again; the exit status is
then 1.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import fuzz, limit_memory, limit_time, replay


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--minutes", type=float, default=30, help="for all targets")
    parser.add_argument("--seed", type=int, default=0, help="of the changes")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), help="folder of findings")
    parser.add_argument("--replay", type=Path, metavar="INPUT", help="read this input once more")
    arguments = parser.parse_args()
    names = arguments.targets or list(TARGETS)
    for name in names:
        if name not in TARGETS:
            parser.error(f"unknown target {name}; choose from {', '.join(TARGETS)}")
    if arguments.replay is not None:
        limit_memory()
        limit_time(60)
        print(replay(TARGETS[names[0]], arguments.replay))
        return 0
    shutil.rmtree(arguments.out, ignore_errors=True)
    total = findings = 0
    for name in names:
        seconds = 60 * arguments.minutes / len(names)
        tried, found = fuzz(TARGETS[name], arguments.out.absolute(), arguments.seed, seconds)
        total, findings = total + tried, findings + len(found)
        print(f"{name}: {tried} inputs, {len(found)} findings", flush=True)
        for one in found:
            assert one.input is not None
            one.input.with_suffix(".txt").write_text(one.detail, encoding="utf-8")
            print(f"  {one.what}\n    python -m tests.fuzz {name} --replay {one.input}", flush=True)
    print(f"{total} inputs, seed {arguments.seed}: {findings or 'no'} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
