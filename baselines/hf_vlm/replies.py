"""Parse the reply of an image-text model as an answer: a number, a choice or a word."""

import re
import unicodedata
from collections.abc import Sequence
from fractions import Fraction

from metrics.language.answers import normalise
from metrics.language.numerals import join_metres, parse_number

_FOOT = 0.3048
# Patterns of units, with their size in metres or square metres.
_LENGTHS = {
    r"mm|millimet(?:er|re)s?": 0.001,
    r"cm|centimet(?:er|re)s?": 0.01,
    r"m|met(?:er|re)s?": 1.0,
    r"inch(?:es)?": _FOOT / 12,
    r"ft|foot|feet": _FOOT,
}
_AREAS = {r"ft2|sq\.? ?ft|square f(?:ee|oo)t": _FOOT**2}
# By question type: patterns of units, with their size in the unit that the question asks for.
_UNITS = {
    "absolute_distance": _LENGTHS,
    "object_size": {unit: 100 * metres for unit, metres in _LENGTHS.items()},
    "room_size": _AREAS,
}
_ANSWER_MARK = re.compile(r"\banswer(?: is)?\b\s*:?")
_DOUBT = re.compile(
    r"\b(?:no (?:idea|clue|way)|unable|unsure|unclear|unknown|impossible|can ?not|"
    r"not (?:sure|clear|possible|visible|enough)|(?:ca|do|does|did|is|are)n['\u2019]?t)\b"
)
_NO_ANSWER = re.compile(r"\bno (?:idea|clue|way)\b", re.IGNORECASE)
_NEGATIONS = {"not", "t", "neither", "nor"}
_CONJUNCTIONS = {"or", "and"}
MAX_WORDS = 4


def parse_reply(reply: str, kind: str, answer_kind: str, choices: Sequence[str]) -> str | None:
    """Return the answer in a reply, or None if it contains none.

    A number is the first one in the reply, or the first after the last "answer" if there is one: in
    digits, or in words. It is converted if another unit than the asked one follows it.
    A choice must be the only one that the reply or its first clause names, or the one it begins
    with. A word may be up to four words long. Text inside <think> is ignored.

    Args:
        reply: the model's text.
        kind: type of the question.
        answer_kind: "number", "choice" or "word".
        choices: the choices, if any.

    >>> parse_reply("About 250 cm.", "absolute_distance", "number", [])
    '2.5'
    >>> parse_reply("Yes, there is no bed left.", "existence", "choice", ["yes", "no"])
    'yes'
    >>> parse_reply("I can't tell.", "count", "number", []) is None
    True
    """
    text = unicodedata.normalize("NFKC", reply).rpartition("</think>")[2]
    if "<think>" in text:
        return None
    if choices:
        return _choice(text, choices)
    if answer_kind == "number":
        return _number(text.lower(), kind)
    words = normalise(text).split()
    return " ".join(words) if 0 < len(words) <= MAX_WORDS else None


def _number(text: str, kind: str) -> str | None:
    text = join_metres(text)
    after = _ANSWER_MARK.split(text)[-1]
    text = text if parse_number(after) is None else after
    value = parse_number(text)
    # "I don't see one" contains a number word but no number.
    if value is None or (_DOUBT.search(text) and not re.search(r"\d", text)):
        return None
    if value < 0:
        return None
    return f"{float(value) * _unit(text, value, kind):.6g}"


def _unit(text: str, value: Fraction, kind: str) -> float:
    """Return the size, in the asked unit, of the unit after the number `value`; 1 for none."""
    for unit, size in _UNITS.get(kind, {}).items():
        number = r"\d[\d.,]*|\b[a-z]+(?:[\s-]+[a-z]+){0,6}"
        for match in re.finditer(rf"({number})[\s-]*(?:{unit})\b", text):
            if parse_number(match[1]) == value:
                return size
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
    return None if after in named or words[after] in _CONJUNCTIONS else named[0]


def _named(words: list[str], choices: Sequence[str]) -> dict[int, str]:
    """Return the choices that the words name without a negation, by their first word's position.

    Longer choices are matched first: "brown cabinet" does not also name "cabinet".
    """
    named, free = {}, [True] * len(words)
    for choice in sorted(choices, key=len, reverse=True):
        sought = normalise(choice).split()
        size = len(sought)
        for start in range(len(words) - size + 1):
            if size and words[start : start + size] == sought and all(free[start : start + size]):
                free[start : start + size] = [False] * size
                if not start or words[start - 1] not in _NEGATIONS:
                    named[start] = choice
    return named
