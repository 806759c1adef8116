"""Captions and context-free phrases, with the facts that decide which scenes they are true of."""

from collections.abc import Iterator
from typing import Any

from g2vlm.scenes.assets.catalog import size_words
from g2vlm.scenes.assets.classes import article, plural
from g2vlm.scenes.language.referring_context import NO_LANDMARK, ReferringContext
from g2vlm.scenes.language.templates import CAPTIONS, NUMBERS, PHRASES, RELATION_CLAUSES
from g2vlm.scenes.layout.relations import holds

CAPTION_COUNT, PHRASE_COUNT = 4, 12
# How much likelier a caption is to state a relation of this predicate than of others.
CLAUSE_WEIGHTS = {"on": 3, "facing": 2}
# Captions state what an object faces only within this distance.
FACING_MM = 1500

Fact = dict[str, Any]


def captions(context: ReferringContext) -> list[dict[str, Any]]:
    """Return 4 captions, each a sentence and the facts that it states."""
    return _distinct("c", (_caption(context) for _ in range(8 * CAPTION_COUNT)), CAPTION_COUNT)


def _distinct(prefix: str, rows: Iterator[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return the first `count` rows of different texts with ids, fewer where `rows` ends."""
    distinct: dict[str, dict[str, Any]] = {}
    # The count is checked before a row is drawn, since a drawn row changes all later draws.
    while len(distinct) < count and (row := next(rows, None)):
        distinct.setdefault(row["text"], row)
    return [{"id": f"{prefix}{k:02d}", **row} for k, row in enumerate(distinct.values())]


def _caption(context: ReferringContext) -> dict[str, Any]:
    room, facts = "a room", []
    if context.chance(65):
        room = article(context.room)
        facts.append({"type": "room", "kind": context.recipe["kind"]})
    relation = _relation_clause(context)
    related = {relation[1]["subject"], relation[1]["object"]} if relation else set()
    others = [row for row in _object_phrases(context) if row[1]["class"] not in related]
    rows = others[: 2 if relation else 3] + ([relation] if relation else [])
    parts = [text for text, _ in rows]
    facts += [fact for _, fact in rows]
    listed = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    fields = {
        "a": room,
        "A": room[0].upper() + room[1:],
        "list": listed,
        "List": listed[0].upper() + listed[1:],
    }
    text, _ = context.fill(CAPTIONS, fields)
    return {"text": text, "facts": facts}


def _object_phrases(context: ReferringContext) -> list[tuple[str, Fact]]:
    """Return a noun phrase and its fact for each visible class, shuffled."""
    rows = []
    for cls in context.shuffled(sorted({context.cls(k) for k in context.visible})):
        visible = [k for k in context.by_class[cls] if k in context.names]
        noun = context.noun(cls)
        fact: Fact = {"type": "exists", "class": cls, "colour": None, "count": None}
        if 1 < len(visible) < len(NUMBERS) and context.is_countable(cls):
            fact["count"] = len(visible)
            text = f"{NUMBERS[len(visible)]} {plural(noun)}"
        elif context.colour(visible[0]) and context.chance(70):
            fact["colour"] = context.colour(visible[0])
            text = article(f"{fact['colour']} {noun}")
        else:
            text = article(noun)
        rows.append((text, fact))
    return rows


def _relation_clause(context: ReferringContext) -> tuple[str, Fact] | None:
    """Return a noun phrase such as "a lamp on a desk" with its fact; None if there is none."""
    triplets = []
    for i in context.visible:
        for j in context.visible:
            if i == j or context.cls(i) == context.cls(j):
                continue
            for name in RELATION_CLAUSES:
                if holds(context.geometry, name, i, j) and _is_notable(context, name, i, j):
                    triplets += [(i, j, name)] * CLAUSE_WEIGHTS.get(name, 1)
    if not triplets:
        return None
    i, j, name = triplets[context.draw(len(triplets))]
    clause = RELATION_CLAUSES[name][context.draw(len(RELATION_CLAUSES[name]))]
    nouns = {"i": article(context.noun(context.cls(i))), "j": article(context.noun(context.cls(j)))}
    fact = {
        "type": "relation",
        "subject": context.cls(i),
        "predicate": name,
        "object": context.cls(j),
    }
    return clause.format(**nouns), fact


def _is_notable(context: ReferringContext, predicate: str, i: int, j: int) -> bool:
    """Return whether a caption may state a relation that holds between i and j."""
    if predicate == "near":
        return not {context.cls(i), context.cls(j)} & {*NO_LANDMARK}
    if predicate == "facing":
        return context.geometry.distance[i][j] < FACING_MM and context.is_landmark(j)
    return True


def robust_size_words(cls: str, size: tuple[int, int, int]) -> list[str]:
    """Return the size words that also fit an object with its sides a tenth smaller or larger."""
    smaller, larger = ([side * tenths // 10 for side in size] for tenths in (9, 11))
    return sorted(size_words(cls, size) & size_words(cls, smaller) & size_words(cls, larger))


def phrases(context: ReferringContext) -> list[dict[str, Any]]:
    """Return 12 context-free phrases of class, colour and size about the visible objects."""
    turns = range(10 * PHRASE_COUNT) if context.visible else ()
    return _distinct("p", (_phrase(context, bool(turn % 2)) for turn in turns), PHRASE_COUNT)


def _phrase(context: ReferringContext, with_size: bool) -> dict[str, Any]:
    k = context.visible[context.draw(len(context.visible))]
    cls = context.cls(k)
    sizes = robust_size_words(cls, context.items[k].size)
    size = sizes[context.draw(len(sizes))] if sizes and with_size else None
    colour = context.colour(k) if context.chance(75) else None
    noun_phrase = " ".join(word for word in (size, colour, context.noun(cls)) if word)
    text, _ = context.fill(PHRASES, {"n": article(noun_phrase), "w": noun_phrase})
    return {"text": text, "class": cls, "colour": colour or None, "size": size}
