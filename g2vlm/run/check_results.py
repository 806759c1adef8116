"""Compare the files of a finished run with its record: ``make check-results``.

Snakemake goes by dates and does not notice a file that a full disk or a copy has cut short, nor
one that was changed by hand. Each line of the output is a file that is missing or differs; with
any, the exit status is 1.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from g2vlm.run.manifest import PREDICTIONS
from metrics.files import InputError, one_line, read_json, run_main, sha256_file, unreadable

FIX = "remove it and run `make reproduce` again"


def recorded_files(results: Path) -> dict[str, str]:
    """Return {file in the folder: sha256} of a run's record.

    Raises:
        InputError: there is no manifest.json, or it is not the record of a run.
    """
    path = results / "manifest.json"
    manifest = read_json(path, "finish the run with `make reproduce`")
    if not isinstance(manifest, dict) or manifest.get("format") != "g2vlm-experiment":
        raise InputError(f"{path}: not the record of a run; {FIX}")
    recorded: dict[str, str] = {}
    for part in ("results", "stage_files"):
        recorded |= _digests(path, manifest.get(part), part)
    # `make verify` writes these again, against the reference of that day.
    return {name: one for name, one in recorded.items() if not name.startswith("verification.")}


def _digests(path: Path, value: Any, part: str) -> Mapping[str, str]:
    """Return a part of a record after checking that it names files inside its folder."""
    if not isinstance(value, dict):
        raise InputError(f"{path}: records no `{part}`; {FIX}")
    for name, digest in value.items():
        place = PurePosixPath(name)
        if not isinstance(digest, str) or place.is_absolute() or ".." in place.parts:
            raise InputError(f"{path}: `{part}` holds {name!r}, not a file of the run; {FIX}")
    return value


def find_changes(results: Path) -> Iterator[str]:
    """Yield a line for each recorded file that is missing or differs.

    The files of a submission are compared with its own manifest.json, which the run records.

    Args:
        results: the experiment's folder.

    Raises:
        InputError: see `recorded_files`.
    """
    for name, digest in recorded_files(results).items():
        path = results / name
        fault = _change(path, digest)
        if fault:
            yield fault
        elif name.startswith(f"{PREDICTIONS}/") and path.name == "manifest.json":
            manifest = read_json(path, FIX)
            files = manifest.get("files") if isinstance(manifest, dict) else None
            for other, expected in _digests(path, files, "files").items():
                fault = _change(path.with_name(other), expected)
                if fault:
                    yield fault


def _change(path: Path, digest: str) -> str | None:
    """Return how a file differs from its record, None if it does not."""
    label = one_line(str(path))
    try:
        reason = unreadable(path, sys.maxsize)
        if reason:
            return f"{label}: {reason}; {FIX}"
        same = sha256_file(path) == digest
    except FileNotFoundError:
        return f"{label}: missing; run `make reproduce` again"
    except OSError as error:
        return f"{label}: cannot be read ({error.strerror}); {FIX}"
    return None if same else f"{label}: differs from the run's record; {FIX}"


def main() -> int:
    """Check one experiment's folder."""
    parser = argparse.ArgumentParser(prog="g2vlm.run.check_results", description=__doc__)
    parser.add_argument("results", help="folder of a finished run, such as results/cpu")
    results = Path(parser.parse_args().results)
    count = len(recorded_files(results))
    changes = 0
    for line in find_changes(results):
        changes += 1
        print(line)
    print(f"{results}: {changes or 'no'} faults in {count} recorded files and their submissions")
    return 1 if changes else 0


if __name__ == "__main__":
    run_main(main)
