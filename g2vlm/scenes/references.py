"""Referring expressions: every candidate of a scene, checked with its margin, then a mixed draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

from g2vlm.scenes.geometry import point_to_footprint
from g2vlm.scenes.layout import Room
from g2vlm.scenes.phrasings import NUMBERS, ORDINALS, REFERENCES, SIDES
from g2vlm.scenes.relations import volume
from g2vlm.scenes.speaker import Sentence, Speaker, clearly_less

COUNT = 24
# How many of each form to draw before the rest fills up, in this order.
QUOTAS = {
    "zero": 2,
    "multi": 2,
    "closest": 3,
    "side": 3,
    "on": 2,
    "unique": 3,
    "attribute": 2,
    "farthest": 2,
    "size": 2,
    "facing": 1,
    "opening": 2,
    "ordinal": 1,
    "under": 1,
    "between": 1,
    "counted": 1,
}
GEOMETRY = ("needs_geometry",)
# Anchors of which pairs are tried: 28 pairs a scene are more than enough.
ANCHORS = 8


def references(speaker: Speaker) -> list[dict[str, Any]]:
    """Return up to 24 references of a scene, each true of exactly its targets."""
    buckets = {name: speaker.shuffled(list(FORMS[name](speaker))) for name in QUOTAS}
    rows: list[dict[str, Any]] = []
    said: set[str] = set()
    for name, quota in QUOTAS.items():
        for _ in range(quota):
            _say(speaker, buckets[name], rows, said)
    order = [n for n in QUOTAS if n not in ("zero", "multi")]
    for turn in range(12 * len(order)):
        if len(rows) >= COUNT:
            break
        _say(speaker, buckets[order[turn % len(order)]], rows, said)
    while len(rows) < COUNT and (buckets["zero"] or buckets["multi"]):
        _say(speaker, buckets["multi"] or buckets["zero"], rows, said)
    return [{"id": f"r{k:02d}", **row} for k, row in enumerate(rows[:COUNT])]


def _say(speaker: Speaker, bucket: list[Sentence], rows: list[dict], said: set[str]) -> None:
    """Word the bucket's next sentence; one that was said already is left out."""
    if not bucket:
        return
    sentence = bucket.pop()
    text, kept = speaker.phrase(REFERENCES[sentence.form], sentence.fields)
    if text in said:
        return
    said.add(text)
    tags = (*sentence.tags, "test_phrasing") if kept else sentence.tags
    rows.append(
        {
            "text": text,
            "targets": sorted(sentence.targets),
            "anchors": sorted(set(sentence.anchors)),
            "kind": sentence.kind or kind_of(speaker, sentence.targets),
            "form": sentence.label or sentence.form,
            "tags": sorted(set(tags)),
        }
    )


def kind_of(speaker: Speaker, targets: list[int]) -> str:
    """Return unique, or multiple when the target has others of its class (ScanRefer's subsets)."""
    return "multiple" if speaker.same(targets[0]) else "unique"


def _unique(speaker: Speaker) -> Iterator[Sentence]:
    for k in speaker.visible:
        if not speaker.same(k):
            yield Sentence("unique", speaker.words(speaker.cls(k)), [k])


def _attribute(speaker: Speaker) -> Iterator[Sentence]:
    for k in speaker.visible:
        colour, others = speaker.colour(k), speaker.same(k)
        if colour and all(speaker.colour(m) != colour for m in others):
            yield Sentence("attribute", {**speaker.words(speaker.cls(k)), "c": colour}, [k])


def _extreme(speaker: Speaker, form: str) -> Iterator[Sentence]:
    """The object of a class closest to, or farthest from, an anchor, by 0.3 m and a tenth."""
    sign = 1 if form == "closest" else -1
    distance = speaker.geometry.distance
    for cls, rows in speaker.by_class.items():
        if len(rows) < 2:
            continue
        for anchor in speaker.named():
            if speaker.cls(anchor) in (cls, "ceiling light"):
                continue
            order = sorted(rows, key=lambda k, a=anchor: sign * distance[k][a])
            ends = sorted(distance[k][anchor] for k in order[:2])
            if clearly_less(*ends) and order[0] in speaker.names:
                yield _anchored(speaker, form, order[0], anchor, GEOMETRY)


def _anchored(
    speaker: Speaker,
    form: str,
    target: int,
    anchor: int,
    tags: tuple[str, ...],
    label: str = "",
    **fields: str,
) -> Sentence:
    text, more, others = speaker.name(anchor)
    words = {**speaker.words(speaker.cls(target)), "a": text, **fields}
    return Sentence(form, words, [target], [anchor, *others], tags=(*tags, *more), label=label)


def _side(speaker: Speaker) -> Iterator[Sentence]:
    """The only object of its class on one side of an anchor; none of the others is undecided."""
    for k in speaker.visible:
        for anchor in speaker.named():
            side = speaker.geometry.side(k, anchor) if anchor != k else None
            if side is None or speaker.cls(anchor) == speaker.cls(k) or not speaker.same(k):
                continue
            rest = {speaker.geometry.side(m, anchor) for m in speaker.same(k)}
            if side not in rest and None not in rest:
                tags = ("view_dependent", *GEOMETRY)
                yield _anchored(speaker, "side", k, anchor, tags, side, s=SIDES[side])


def _ordinal(speaker: Speaker) -> Iterator[Sentence]:
    for cls, rows in speaker.by_class.items():
        order = speaker.left_to_right(rows) if 2 <= len(rows) <= 4 else None
        if not order or not speaker.seen_class(cls):
            continue
        for end, row in (("left", order), ("right", order[::-1])):
            for k, target in enumerate(row[: len(ORDINALS)]):
                words = {**speaker.words(cls), "e": end, "o": ORDINALS[k]}
                tags = ("view_dependent", *GEOMETRY)
                yield Sentence("ordinal", words, [target], [], tags=tags)


def _size(speaker: Speaker) -> Iterator[Sentence]:
    for cls, rows in speaker.by_class.items():
        if len(rows) < 2:
            continue
        order = sorted(rows, key=lambda k: volume(speaker.items[k]))
        sizes = [volume(speaker.items[k]) for k in order]
        tall = sorted(rows, key=lambda k: -speaker.items[k].size[2])
        heights = [speaker.items[k].size[2] for k in tall]
        picks = []
        if 2 * sizes[-1] > 3 * sizes[-2]:
            picks.append(("largest", order[-1]))
        if 2 * sizes[1] > 3 * sizes[0]:
            picks.append(("smallest", order[0]))
        if heights[0] - heights[1] >= 150 and 10 * (heights[0] - heights[1]) >= heights[0]:
            picks.append(("tallest", tall[0]))
        for form, target in picks:
            if target in speaker.names:
                yield Sentence(form, speaker.words(cls), [target], [], tags=GEOMETRY)


def _on(speaker: Speaker) -> Iterator[Sentence]:
    for k in speaker.visible:
        support = speaker.items[k].support
        if support < 0 or not speaker.names.get(support):
            continue
        if all(speaker.items[m].support != support for m in speaker.same(k)):
            yield _anchored(speaker, "on", k, support, ())


def _under(speaker: Speaker) -> Iterator[Sentence]:
    for k in speaker.visible:
        below = speaker.items[k].support
        if below not in speaker.names or not speaker.same(below):
            continue
        bearing = [speaker.items[m].support for m in speaker.by_class[speaker.cls(k)]]
        rivals = [m for m in speaker.same(below) if m in bearing]
        if not rivals and bearing.count(below) == 1:
            words = speaker.words(speaker.cls(below))
            words["n"] = speaker.words(speaker.cls(k))["n"]
            yield Sentence("under", words, [below], [k])


def _facing(speaker: Speaker) -> Iterator[Sentence]:
    facing = speaker.geometry.facing
    for k in speaker.visible:
        for anchor in speaker.named():
            if speaker.cls(anchor) == speaker.cls(k) or not facing(k, anchor):
                continue
            rest = [facing(m, anchor) for m in speaker.same(k)]
            if not any(value is None or value for value in rest):
                yield _anchored(speaker, "facing", k, anchor, GEOMETRY)


def _opening(speaker: Speaker) -> Iterator[Sentence]:
    """The object of a class closest to the room's only door or window, clearly."""
    room = Room(tuple(speaker.recipe["room"]["size_mm"]), speaker.rng)
    for kind in ("door", "window"):
        cut = [o for o in speaker.recipe["openings"] if o["kind"] == kind]
        if len(cut) != 1:
            continue
        point = _middle(cut[0], room)
        for cls, rows in speaker.by_class.items():
            far = [(point_to_footprint(point, speaker.items[k].ring), k) for k in rows]
            far.sort()
            if len(far) < 2 or far[0][1] not in speaker.names:
                continue
            if clearly_less(far[0][0], far[1][0]):
                words = {**speaker.words(cls), "a": f"the {kind}"}
                yield Sentence("closest", words, [far[0][1]], tags=GEOMETRY, label="opening")


def _between(speaker: Speaker) -> Iterator[Sentence]:
    """The only object of its class that stands between two anchors of other classes."""
    anchors = speaker.shuffled(speaker.named())[:ANCHORS]
    for a, b in combinations(anchors, 2):
        classes = {speaker.cls(a), speaker.cls(b)}
        for cls, rows in speaker.by_class.items():
            if cls in classes or len(classes) < 2 or len(rows) < 2:
                continue
            ends = speaker.items[a].centre, speaker.items[b].centre
            found = [lies_between(speaker.items[k].centre, *ends) for k in rows]
            if found.count(True) != 1 or None in found:
                continue
            target = rows[found.index(True)]
            if target in speaker.names:
                text, tags, others = speaker.name(b)
                sentence = _anchored(speaker, "between", target, a, (*GEOMETRY, *tags), b=text)
                sentence.anchors += [b, *others]
                yield sentence


def lies_between(point: tuple[int, int], a: tuple[int, int], b: tuple[int, int]) -> bool | None:
    """Say whether a point (mm) lies between a and b; None where people could disagree.

    Between: over the middle half of a segment of at least 1 m, off its line by a fifth of its
    length or less. Not: beyond a tenth of its ends, or off by two fifths or more.

    >>> lies_between((500, 100), (0, 0), (1000, 0)), lies_between((500, 300), (0, 0), (1000, 0))
    (True, None)
    >>> lies_between((950, 0), (0, 0), (1000, 0)), lies_between((500, 0), (0, 0), (900, 0))
    (False, None)
    """
    dx, dy = b[0] - a[0], b[1] - a[1]
    px, py = point[0] - a[0], point[1] - a[1]
    square, along, off = dx * dx + dy * dy, px * dx + py * dy, abs(px * dy - py * dx)
    if square < 1000 * 1000:
        return None
    if square <= 4 * along <= 3 * square and 5 * off <= square:
        return True
    outside = 10 * along < square or 10 * along > 9 * square or 5 * off >= 2 * square
    return False if outside else None


def _counted(speaker: Speaker) -> Iterator[Sentence]:
    """The object of a class that has so many of another class near it; its rivals have not."""
    near = speaker.geometry.near
    for cls, rows in speaker.by_class.items():
        for other, those in speaker.by_class.items():
            if other == cls or len(rows) < 2 or not speaker.seen_class(other):
                continue
            table = [[near(m, k) for m in those] for k in rows]
            if any(None in line for line in table):
                continue
            counts = [sum(line) for line in table]
            for k, count in zip(rows, counts, strict=True):
                if 1 <= count < len(NUMBERS) and counts.count(count) == 1 and k in speaker.names:
                    words = speaker.words(other)
                    noun = words["n"] if count == 1 else f"{NUMBERS[count]} {words['ts']}"
                    fields = {**speaker.words(cls), "m": noun}
                    held = [m for m in those if near(m, k)]
                    yield Sentence("counted", fields, [k], held, tags=GEOMETRY)


def _middle(opening: dict[str, Any], room: Room) -> tuple[int, int]:
    """Return the floor point (mm) under the middle of an opening."""
    if "ends_mm" in opening:
        (ax, ay), (bx, by) = opening["ends_mm"]
        return (ax + bx) // 2, (ay + by) // 2
    middle = opening["offset_mm"] + opening["width_mm"] // 2
    return room.wall_point(opening["wall"], middle, 0)


def _multi(speaker: Speaker) -> Iterator[Sentence]:
    for cls, rows in speaker.by_class.items():
        if len(rows) < 2 or not speaker.seen_class(cls):
            continue
        yield Sentence("all", speaker.words(cls), rows, [], "multi")
        for colour in sorted({speaker.colour(k) for k in rows}):
            some = [k for k in rows if speaker.colour(k) == colour]
            if 2 <= len(some) < len(rows):
                yield Sentence("all", speaker.words(cls, colour), some, [], "multi")
        for anchor in speaker.named():
            near = {k: speaker.geometry.near(k, anchor) for k in rows if k != anchor}
            some = [k for k, value in near.items() if value]
            if (
                speaker.cls(anchor) not in (cls, "rug")
                and len(some) >= 2
                and None not in near.values()
            ):
                text, tags, others = speaker.name(anchor)
                words = {**speaker.words(cls), "a": text}
                every = (*GEOMETRY, *tags)
                yield Sentence("all_near", words, some, [anchor, *others], "multi", tags=every)


def _zero(speaker: Speaker) -> Iterator[Sentence]:
    """Expressions of nothing here: an absent class, an absent colour, a thing that is not on it."""
    absent = [cls for cls in speaker.known if cls not in speaker.by_class]
    for cls in speaker.shuffled(absent)[:3]:
        yield Sentence("unique", speaker.words(cls), [], [], "zero")
    colours = sorted({item.row.colour for item in speaker.items})
    for cls, rows in speaker.by_class.items():
        other = [c for c in colours if all(speaker.colour(k) != c for k in rows)]
        if other and speaker.seen_class(cls):
            colour = other[speaker.draw(len(other))]
            fields = {**speaker.words(cls), "c": colour}
            yield Sentence("attribute", fields, [], [], "zero")
    if speaker.captured:  # A box may leave out the foot that something stands on.
        return
    tops = [k for k in speaker.visible if speaker.items[k].support >= 0]
    for k in tops:
        bare = [m for m in speaker.named() if speaker.items[m].carries >= 0]
        bearing = {speaker.items[m].support for m in speaker.by_class[speaker.cls(k)]}
        for support in bare:
            if support not in bearing:
                text, tags, others = speaker.name(support)
                words = {**speaker.words(speaker.cls(k)), "a": text}
                yield Sentence("on", words, [], [support, *others], "zero", tags=tags)


FORMS: dict[str, Callable[[Speaker], Iterator[Sentence]]] = {
    "unique": _unique,
    "attribute": _attribute,
    "closest": lambda speaker: _extreme(speaker, "closest"),
    "farthest": lambda speaker: _extreme(speaker, "farthest"),
    "side": _side,
    "ordinal": _ordinal,
    "size": _size,
    "on": _on,
    "under": _under,
    "facing": _facing,
    "opening": _opening,
    "between": _between,
    "counted": _counted,
    "multi": _multi,
    "zero": _zero,
}
