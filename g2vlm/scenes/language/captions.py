"""Captions and context-free phrases, each with the facts that decide what else they are true of."""

from __future__ import annotations

from typing import Any

from g2vlm.scenes.assets.catalog import size_words
from g2vlm.scenes.assets.classes import article, plural
from g2vlm.scenes.language.referring_context import NO_LANDMARK, Speaker
from g2vlm.scenes.language.templates import CAPTIONS, NUMBERS, PHRASES, RELATION_CLAUSES
from g2vlm.scenes.layout.relations import holds

CAPTION_COUNT, PHRASE_COUNT = 4, 12
# How much likelier than others a caption is to state a relation.
CLAUSE_WEIGHTS = {"on": 3, "facing": 2}
# Captions say that something faces what is closer than this.
FACING_MM = 1500


def captions(speaker: Speaker) -> list[dict[str, Any]]:
    """Return 4 captions, each a sentence and the facts it states."""
    rows: list[dict[str, Any]] = []
    said: set[str] = set()
    for _ in range(8 * CAPTION_COUNT):
        if len(rows) == CAPTION_COUNT:
            break
        text, facts = _caption(speaker)
        if text not in said:
            said.add(text)
            rows.append({"id": f"c{len(rows):02d}", "text": text, "facts": facts})
    return rows


def _caption(speaker: Speaker) -> tuple[str, list[dict[str, Any]]]:
    things, facts = [], []
    if speaker.chance(65):
        room = article(speaker.room)
        facts.append({"type": "room", "kind": speaker.recipe["kind"]})
    else:
        room = "a room"
    relation = _relation(speaker)
    told = {relation[1]["subject"], relation[1]["object"]} if relation else set()
    others = [row for row in _existing(speaker) if row[1]["class"] not in told]
    for text, fact in others[: 2 if relation else 3]:
        things.append(text)
        facts.append(fact)
    if relation:
        things.append(relation[0])
        facts.append(relation[1])
    listed = things[0] if len(things) == 1 else ", ".join(things[:-1]) + " and " + things[-1]
    words = {
        "a": room,
        "A": room[0].upper() + room[1:],
        "list": listed,
        "List": listed[0].upper() + listed[1:],
    }
    text, _ = speaker.phrase(CAPTIONS, words)
    return text, facts


def _existing(speaker: Speaker) -> list[tuple[str, dict[str, Any]]]:
    """Return noun phrases with their facts for the visible classes, shuffled."""
    rows = []
    for cls in speaker.shuffled(sorted({speaker.cls(k) for k in speaker.visible})):
        seen = [k for k in speaker.by_class[cls] if k in speaker.names]
        noun = speaker.noun(cls)
        fact: dict[str, Any] = {"type": "exists", "class": cls, "colour": None, "count": None}
        if len(seen) > 1 and speaker.whole_class(cls) and len(seen) < len(NUMBERS):
            fact["count"] = len(seen)
            rows.append((f"{NUMBERS[len(seen)]} {plural(noun)}", fact))
        elif speaker.colour(seen[0]) and speaker.chance(70):
            fact["colour"] = speaker.colour(seen[0])
            rows.append((article(f"{fact['colour']} {noun}"), fact))
        else:
            rows.append((article(noun), fact))
    return rows


def _relation(speaker: Speaker) -> tuple[str, dict[str, Any]] | None:
    """Return a noun phrase such as "a lamp on a desk" with its fact; None if there is none."""
    found = []
    for i in speaker.visible:
        for j in speaker.visible:
            if i == j or speaker.cls(i) == speaker.cls(j):
                continue
            for name in RELATION_CLAUSES:
                if holds(speaker.geometry, name, i, j) and _worth_stating(speaker, name, i, j):
                    found += [(i, j, name)] * CLAUSE_WEIGHTS.get(name, 1)
    if not found:
        return None
    i, j, name = found[speaker.draw(len(found))]
    clause = RELATION_CLAUSES[name][speaker.draw(len(RELATION_CLAUSES[name]))]
    nouns = {"i": article(speaker.noun(speaker.cls(i))), "j": article(speaker.noun(speaker.cls(j)))}
    fact = {
        "type": "relation",
        "subject": speaker.cls(i),
        "predicate": name,
        "object": speaker.cls(j),
    }
    return clause.format(**nouns), fact


def _worth_stating(speaker: Speaker, predicate: str, i: int, j: int) -> bool:
    """Return whether a person would point out a relation that holds between i and j."""
    if predicate == "near":
        return not {speaker.cls(i), speaker.cls(j)} & {*NO_LANDMARK}
    if predicate == "facing":
        return speaker.geometry.distance[i][j] < FACING_MM and speaker.is_landmark(j)
    return True


def firm_size_words(cls: str, size: tuple[int, int, int]) -> list[str]:
    """Return the size words that an object would still earn with its sides a tenth off."""
    words = size_words(cls, size)
    for tenths in (9, 11):
        words = words & size_words(cls, [side * tenths // 10 for side in size])
    return sorted(words)


def phrases(speaker: Speaker) -> list[dict[str, Any]]:
    """Return 12 context-free phrases of class, colour and size about the visible objects."""

    rows: list[dict[str, Any]] = []
    said: set[str] = set()
    for turn in range(10 * PHRASE_COUNT):
        if len(rows) == PHRASE_COUNT or not speaker.visible:
            break
        k = speaker.visible[speaker.draw(len(speaker.visible))]
        sizes = firm_size_words(speaker.cls(k), speaker.items[k].size)
        size = sizes[speaker.draw(len(sizes))] if sizes and turn % 2 else None
        colour = speaker.colour(k) if speaker.chance(75) else None
        words = [w for w in (size, colour, speaker.noun(speaker.cls(k))) if w]
        thing = " ".join(words)
        text, _ = speaker.phrase(PHRASES, {"n": article(thing), "w": thing})
        if text not in said:
            said.add(text)
            row = {"text": text, "class": speaker.cls(k), "colour": colour or None, "size": size}
            rows.append({"id": f"p{len(rows):02d}", **row})
    return rows
