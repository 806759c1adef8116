"""Which classes and objects a sentence mentions, in its order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from g2vlm.scenes.classes import CLASSES, SYNONYMS, plural


@lru_cache
def _nouns() -> tuple[re.Pattern[str], dict[str, set[str]]]:
    """A pattern of a noun with the word before it, longest nouns first, and each noun's classes."""
    classes: dict[str, set[str]] = {}
    for name in CLASSES:
        for word in (name, *SYNONYMS.get(name, ())):
            for form in (word.lower(), plural(word.lower())):
                classes.setdefault(form, set()).add(name)
    words = "|".join(map(re.escape, sorted(classes, key=len, reverse=True)))
    return re.compile(rf"(?:\b([a-z]+) )?\b({words})\b"), classes


def mentioned_classes(text: str) -> list[tuple[str, set[str]]]:
    """The word before each noun ("" without one) and the classes that the noun may mean.

    >>> found = mentioned_classes("Is the grey couch near a lamp?")
    >>> [(word, sorted(names)) for word, names in found]
    [('grey', ['sofa']), ('a', ['lamp'])]
    """
    pattern, classes = _nouns()
    return [(m[1] or "", classes[m[2]]) for m in pattern.finditer(text.lower())]


def mentioned(text: str, about: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Indices of the objects that each noun of a sentence may mean, of those it is `about`.

    An object of another colour than the one said before the noun is left out. A noun that means
    none of them, and one that means the same as an earlier one, is passed over.
    """
    found: list[list[int]] = []
    for word, names in mentioned_classes(text):
        fits = [item for item in about if item["class"] in names]
        coloured = [item["index"] for item in fits if item.get("colour") == word]
        group = coloured or [item["index"] for item in fits]
        if group and group not in found:
            found.append(group)
    return found
