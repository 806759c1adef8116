"""Parse which classes and objects a sentence mentions, in the order of the sentence."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from g2vlm.scenes.assets.classes import CLASSES, SYNONYMS, plural

# Names an object by its colour alone.
ONLY_IN_COLOUR = re.compile(r"\bthe only ([a-z]+) object\b")
# A sentence that compares objects mentions at least this many besides its anchors.
COMPARED = 2


@dataclass(frozen=True)
class Noun:
    """One class name in a sentence.

    Attributes:
        word_before: the word in front of it, "" without one.
        classes: the classes that it may name.
        is_anchor: it only locates the noun before it, as "desk" in "the chair near the desk".
    """

    word_before: str
    classes: set[str]
    is_anchor: bool


@dataclass(frozen=True)
class Mention:
    """The objects that a noun may refer to.

    Attributes:
        objects: their indices.
        colour: the colour that the sentence gives them; "" without one, None where the sentence
            has a colour that may belong to another noun.
    """

    objects: list[int]
    colour: str | None


@lru_cache
def _noun_pattern() -> tuple[re.Pattern[str], dict[str, set[str]]]:
    """Return a pattern of (preposition, word before, noun) and the classes of each noun."""
    classes: dict[str, set[str]] = {}
    for name in CLASSES:
        for word in (name, *SYNONYMS.get(name, ())):
            for noun in (word.lower(), plural(word.lower())):
                classes.setdefault(noun, set()).add(name)
    # Longest first, so that "coffee table" does not match as "table".
    nouns = "|".join(map(re.escape, sorted(classes, key=len, reverse=True)))
    # The word before must not be part of the noun: the "coffee" of "the coffee table".
    before = rf"(?:\b(?!(?:{nouns})\b)([a-z]+) )?"
    return re.compile(rf"(?:\b(near|on) the )?{before}\b({nouns})\b"), classes


def parse_nouns(text: str) -> list[Noun]:
    """Return the class names of a sentence.

    Example:
        >>> nouns = parse_nouns("Is the grey couch near a lamp?")
        >>> [(noun.word_before, sorted(noun.classes)) for noun in nouns]
        [('grey', ['sofa']), ('a', ['lamp'])]
        >>> [noun.is_anchor for noun in parse_nouns("the lamp near the desk")]
        [False, True]
        >>> [noun.is_anchor for noun in parse_nouns("What is on the desk: a lamp or a cup?")]
        [False, False, False]
    """
    pattern, classes = _noun_pattern()
    nouns, end = [], None
    for match in pattern.finditer(text.lower()):
        # "near the" and "on the" locate a noun only where they follow it directly.
        is_anchor = bool(match[1]) and end == match.start() - 1
        nouns.append(Noun(match[2] or "", classes[match[3]], is_anchor))
        end = match.end()
    return nouns


def parse_mentions(text: str, objects: Sequence[Mapping[str, Any]]) -> list[Mention]:
    """Return which of some objects each noun of a sentence may refer to.

    An object of another colour than the word before the noun is left out, and so is a noun that
    refers to no object or to the same ones as an earlier noun. Anchors are left out where at least
    two other mentions remain to be compared. "The only red object" mentions an object of any class.

    Args:
        text: the sentence.
        objects: {"index", "class", "colour"} of the objects that it may refer to.
    """
    only = ONLY_IN_COLOUR.search(text.lower())
    if only:
        found = [item["index"] for item in objects if item.get("colour") == only[1]]
        return [Mention(found, only[1])] if found else []
    nouns = parse_nouns(text)
    compared = [noun for noun in nouns if not noun.is_anchor]
    mentions = _resolve(text, compared, objects) if len(compared) >= COMPARED else []
    return mentions if len(mentions) >= COMPARED else _resolve(text, nouns, objects)


def _resolve(
    text: str, nouns: Sequence[Noun], objects: Sequence[Mapping[str, Any]]
) -> list[Mention]:
    mentions: list[Mention] = []
    words = set(re.findall(r"[a-z]+", text.lower()))
    for noun in nouns:
        fits = [item for item in objects if item["class"] in noun.classes]
        colour = noun.word_before
        coloured = [item for item in fits if colour and item.get("colour") == colour]
        elsewhere = any(item.get("colour") in words for item in fits)
        indices = [item["index"] for item in coloured or fits]
        if indices and all(indices != mention.objects for mention in mentions):
            colour_of = colour if coloured else None if elsewhere else ""
            mentions.append(Mention(indices, colour_of))
    return mentions
