"""Which classes and objects a sentence mentions, in its order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from g2vlm.scenes.assets.classes import CLASSES, SYNONYMS, plural

# The least number of things that a sentence is about where one of them tells another by its place.
COMPARED = 2


@lru_cache
def _nouns() -> tuple[re.Pattern[str], dict[str, set[str]]]:
    """A pattern of a noun with the word before it and what it leans on, longest nouns first, and
    each noun's classes."""
    classes: dict[str, set[str]] = {}
    for name in CLASSES:
        for word in (name, *SYNONYMS.get(name, ())):
            for form in (word.lower(), plural(word.lower())):
                classes.setdefault(form, set()).add(name)
    words = "|".join(map(re.escape, sorted(classes, key=len, reverse=True)))
    # The word before is none of a noun's own: the coffee of "the coffee table".
    before = rf"(?:\b(?!(?:{words})\b)([a-z]+) )?"
    return re.compile(rf"(?:\b(near|on) the )?{before}\b({words})\b"), classes


def mentioned_classes(text: str) -> list[tuple[str, set[str], bool]]:
    """The word before each noun ("" without one), the classes that the noun may mean, and whether
    it tells another noun by its place: the desk of "the chair near the desk".

    >>> found = mentioned_classes("Is the grey couch near a lamp?")
    >>> [(word, sorted(names)) for word, names, _ in found]
    [('grey', ['sofa']), ('a', ['lamp'])]
    >>> [by_place for *_, by_place in mentioned_classes("the lamp near the desk")]
    [False, True]
    >>> [by_place for *_, by_place in mentioned_classes("What is on the desk: a lamp or a cup?")]
    [False, False, False]
    """
    pattern, classes = _nouns()
    found, end = [], None
    for match in pattern.finditer(text.lower()):
        by_place = bool(match[1]) and end == match.start() - 1
        found.append((match[2] or "", classes[match[3]], by_place))
        end = match.end()
    return found


@dataclass(frozen=True)
class Mention:
    """What a noun of a sentence means: indices of objects, and the colour that is said of them; ""
    without one, None where the sentence says one but perhaps not of them."""

    objects: list[int]
    colour: str | None


def mentioned(text: str, about: Sequence[Mapping[str, Any]]) -> list[Mention]:
    """What each noun of a sentence may mean, of the objects that it is `about`.

    An object of another colour than the one said before the noun is left out. A noun that means
    none of them, and one that means the same as an earlier one, is passed over; so is one that only
    tells another by its place, where at least two things are left to be compared.
    """
    nouns = mentioned_classes(text)
    compared = [noun for noun in nouns if not noun[2]]
    found = _meant(text, compared, about) if len(compared) >= COMPARED else []
    return found if len(found) >= COMPARED else _meant(text, nouns, about)


def _meant(
    text: str, nouns: Sequence[tuple[str, set[str], bool]], about: Sequence[Mapping[str, Any]]
) -> list[Mention]:
    found: list[Mention] = []
    words = set(re.findall(r"[a-z]+", text.lower()))
    for word, names, _ in nouns:
        fits = [item for item in about if item["class"] in names]
        coloured = [item for item in fits if word and item.get("colour") == word]
        elsewhere = any(item.get("colour") in words for item in fits)
        group = [item["index"] for item in coloured or fits]
        if group and all(group != one.objects for one in found):
            found.append(Mention(group, word if coloured else None if elsewhere else ""))
    return found
