"""What an image-text model says, read as an answer: a number, a choice, a word, or none of them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

from metrics.language.answers import normalise, parse_number

_FOOT = 0.3048
# How units are written, and metres or square metres to one.
_LENGTHS = {
    r"mm|millimet(?:er|re)s?": 0.001,
    r"cm|centimet(?:er|re)s?": 0.01,
    r"m|met(?:er|re)s?": 1.0,
    r"inch(?:es)?": _FOOT / 12,
    r"ft|foot|feet": _FOOT,
}
_AREAS = {r"ft2|sq\.? ?ft|square f(?:ee|oo)t": _FOOT**2}
# For each type of question the units it may be answered in, worth so many of the asked one.
_UNITS = {
    "absolute_distance": _LENGTHS,
    "object_size": {unit: 100 * metres for unit, metres in _LENGTHS.items()},
    "room_size": _AREAS,
}
_SAID = re.compile(r"\banswer(?: is)?\b\s*:?")
_DOUBT = re.compile(
    r"\b(?:no (?:idea|clue|way)|unable|unsure|unclear|unknown|impossible|can ?not|"
    r"not (?:sure|clear|possible|visible|enough)|(?:ca|do|does|did|is|are)n['\u2019]?t)\b"
)
_NO_ANSWER = re.compile(r"\bno (?:idea|clue|way)\b", re.IGNORECASE)
_DENIED = {"not", "t", "neither", "nor"}
_JOINED = {"or", "and"}
MOST_WORDS = 4


def read_reply(reply: str, kind: str, answer_kind: str, choices: Sequence[str]) -> str | None:
    """Return the answer in a reply to a question of type `kind`; None where there is none.

    A number is the first one, after the last "answer" if one follows that: digits, or a word up to
    twenty. It is turned to the asked unit where another one stands behind it. A choice must be the
    only one that the reply or its first clause names, or the one it begins with. A word may be up
    to four words long. What stands inside <think> is not read.

    >>> read_reply("About 250 cm.", "absolute_distance", "number", [])
    '2.5'
    >>> read_reply("Yes, there is no bed left.", "existence", "choice", ["yes", "no"])
    'yes'
    >>> read_reply("I can't tell.", "count", "number", []) is None
    True
    """
    text = unicodedata.normalize("NFKC", reply).rpartition("</think>")[2]
    if "<think>" in text:
        return None
    if choices:
        return _choice(text, choices)
    return _number(text.lower(), kind) if answer_kind == "number" else _word(text)


def _number(text: str, kind: str) -> str | None:
    after = _SAID.split(text)[-1]
    text = text if parse_number(after) is None else after
    value = parse_number(text)
    # "I don't see one" holds a number word and no number.
    if value is None or (_DOUBT.search(text) and not re.search(r"\d", text)):
        return None
    if value < 0 or not math.isfinite(value):
        return None
    return f"{value * _unit(text, value, kind):.6g}"


def _unit(text: str, value: float, kind: str) -> float:
    """Return what the unit that stands behind the number `value` is worth in the asked one."""
    for unit, worth in _UNITS.get(kind, {}).items():
        for found in re.finditer(rf"(\d[\d.,]*|\b[a-z]+)[\s-]*(?:{unit})\b", text):
            if parse_number(found[1]) == value:
                return worth
    return 1.0


def _choice(text: str, choices: Sequence[str]) -> str | None:
    text = _NO_ANSWER.sub(" ", text)
    for part in (text, re.split(r"[.,;:!?\n]", text.strip())[0]):
        named = _named(normalise(part).split(), choices)
        if len(set(named.values())) == 1:
            return next(iter(named.values()))
    words = normalise(text).split()
    named = _named(words, choices)
    if 0 not in named:
        return None
    after = len(normalise(named[0]).split())
    return None if after in named or words[after] in _JOINED else named[0]


def _named(words: list[str], choices: Sequence[str]) -> dict[int, str]:
    """Return the choices that words name and do not deny, by where they begin.

    Longer ones first: "brown cabinet" does not name "cabinet" as well.
    """
    found, free = {}, [True] * len(words)
    for choice in sorted(choices, key=len, reverse=True):
        sought = normalise(choice).split()
        size = len(sought)
        for start in range(len(words) - size + 1):
            if size and words[start : start + size] == sought and all(free[start : start + size]):
                free[start : start + size] = [False] * size
                if not start or words[start - 1] not in _DENIED:
                    found[start] = choice
    return found


def _word(text: str) -> str | None:
    words = normalise(text).split()
    return " ".join(words) if 0 < len(words) <= MOST_WORDS else None
