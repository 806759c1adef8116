"""The commands of docs/compare-results.md run and print what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from metrics.__main__ import main
from tests.metrics.results.example_files import write_examples
from tests.paths import REPOSITORY

PAGE = (REPOSITORY / "docs" / "compare-results.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```sh\npython -m metrics (.*)\n```$", PAGE, re.M)
SHOWN = re.search(r"^```text\n(.*?)```$", PAGE, re.S | re.M)[1]


def expanded(word: str) -> list[str]:
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command, tmp_path, monkeypatch, capsys):
    write_examples(tmp_path)
    monkeypatch.chdir(tmp_path)
    words = [part for word in shlex.split(command) for part in expanded(word)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "minus" in printed or '"differences"' in printed
    if command == COMMANDS[0]:
        assert printed == SHOWN


def test_there_is_a_command_for_each_kind():
    assert len(COMMANDS) == 6
