"""Read YAML strictly: one meaning for each file, whoever wrote it.

A key that is written twice, an alias, a merge key, a tag and a key that is no text are refused:
readers of YAML differ on them, and aliases let a few lines expand to gigabytes or contain
themselves.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from metrics.files import InputError, read_text
from metrics.schemas import printable

LARGEST = 1 << 20  # bytes
DEEPEST = 20


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML that is refused; the problem names the fix."""


class _StrictLoader(yaml.SafeLoader):
    """`yaml.SafeLoader` without aliases, merge keys, tags, repeated keys, deep nesting."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        problem = ""
        if isinstance(event, yaml.AliasEvent):
            problem = f"the alias `*{printable(event.anchor)}` is not allowed; write the value out"
        elif self._depth == DEEPEST:
            problem = f"nested more than {DEEPEST} levels deep; nest less"
        elif event.tag is not None:
            problem = f"the tag `{printable(event.tag)}` is not allowed; write a plain value"
        elif isinstance(event, yaml.ScalarEvent) and not _is_unicode(event.value):
            problem = "half of a surrogate pair; write the character itself"
        if problem:
            raise _Refused(problem=problem, problem_mark=event.start_mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = set()
        for key, _ in node.value:
            problem = ""
            if key.tag == "tag:yaml.org,2002:merge":
                problem = "the merge key `<<` is not allowed; write its keys out"
            elif key.tag != "tag:yaml.org,2002:str":
                text = (
                    f"key `{printable(key.value)}`" if isinstance(key, yaml.ScalarNode) else "a key"
                )
                problem = f"{text} is not text; put quotes around it"
            elif key.value in keys:
                problem = f"key `{printable(key.value)}` is written twice; remove one"
            if problem:
                raise _Refused(problem=problem, problem_mark=key.start_mark)
            keys.add(key.value)
        return super().construct_mapping(node, deep)


def _is_unicode(text: str) -> bool:
    """Return whether a text can be written as UTF-8, which half of a surrogate pair cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; keys are text.

    Raises:
        InputError: the file is missing or cannot be read, is larger than 1 MiB, is not valid YAML,
            holds what this module refuses, or is no mapping.
    """
    text = read_text(path, "name a YAML file", limit=LARGEST)
    try:
        value = yaml.load(text, Loader=_StrictLoader)
    except _Refused as error:
        row = error.problem_mark.line + 1
        raise InputError(f"{path}: row {row}: {error.problem}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        row, reason = f"row {mark.line + 1}: " if mark else "", getattr(error, "problem", None)
        raise InputError(
            f"{path}: not valid YAML ({row}{str(reason or error)[:200]}); correct it"
        ) from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: must hold keys and values; see config/cpu.yaml")
    return value
