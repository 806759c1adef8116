"""Text files end their lines with a line feed alone, on every platform."""

from __future__ import annotations

import subprocess

from tests.paths import REPOSITORY


def test_no_tracked_text_file_has_a_carriage_return() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--eol"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    # A row is `i/<ends in the index> w/<ends in the folder> attr/<attributes>\t<file>`.
    rows = [row.split("\t") for row in listed.stdout.splitlines()]
    assert rows
    faults = [name for ends, name in rows if "crlf" in ends.split("attr")[0] or "mixed" in ends]
    assert not faults, f"{faults[0]}: has carriage returns; run `git add --renormalize .`"
