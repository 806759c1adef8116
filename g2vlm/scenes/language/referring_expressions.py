"""Every referring expression of a scene, by form: true of its targets alone, with a margin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

from g2vlm.scenes.language.referring_context import NO_LANDMARK, Sentence, Speaker, clearly_less
from g2vlm.scenes.language.templates import NUMBERS, ORDINALS, SIDES
from g2vlm.scenes.layout.relations import volume

GEOMETRY = ("needs_geometry",)


def _unique(speaker: Speaker) -> Iterator[Sentence]:
    for k in speaker.visible:
        if not speaker.rivals(k):
            yield Sentence("unique", speaker.words(speaker.cls(k)), [k])


def _attribute(speaker: Speaker) -> Iterator[Sentence]:
    for k in speaker.visible:
        colour, others = speaker.colour(k), speaker.rivals(k)
        if colour and all(speaker.colour(m) != colour for m in others):
            yield Sentence("attribute", {**speaker.words(speaker.cls(k)), "c": colour}, [k])


def _extreme(speaker: Speaker, form: str) -> Iterator[Sentence]:
    """The object of a class closest to, or farthest from, an anchor, by the speaker's margin."""
    sign = 1 if form == "closest" else -1
    distance = speaker.geometry.distance
    for cls, rows in speaker.by_class.items():
        if len(rows) < 2:
            continue
        compared = rows + speaker.also_called(cls)
        for anchor in speaker.named():
            if speaker.cls(anchor) in (cls, "ceiling light") or anchor in compared:
                continue
            order = sorted(compared, key=lambda k, a=anchor: sign * distance[k][a])
            low, high = sorted(distance[k][anchor] for k in order[:2])
            if clearly_less(low, high) and order[0] in rows and order[0] in speaker.names:
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
    text, others = speaker.name(anchor)
    words = {**speaker.words(speaker.cls(target)), "a": text, **fields}
    return Sentence(form, words, [target], [anchor, *others], tags=tags, label=label)


def _side(speaker: Speaker) -> Iterator[Sentence]:
    """The only object of its name on one side of an anchor; none of its rivals is undecided. The
    first view, which the sides are of, shows both, and none of its rivals on that side."""
    geometry = speaker.geometry
    anchors = [k for k in speaker.named() if speaker.cls(k) not in NO_LANDMARK]
    for k in sorted(speaker.ahead):
        for anchor in sorted(speaker.ahead.intersection(anchors)):
            side = geometry.side_in_view(k, anchor) if anchor != k else None
            if side is None or speaker.cls(anchor) == speaker.cls(k) or not speaker.same(k):
                continue
            rivals = [m for m in speaker.rivals(k) if m != anchor]
            rest = {geometry.side(m, anchor) for m in rivals}
            turns = {geometry.bearing_order(m, anchor) for m in rivals}
            if {"left": 1, "right": -1}.get(side) in turns:
                continue
            if side not in rest and None not in rest:
                tags = ("view_dependent", *GEOMETRY)
                yield _anchored(speaker, "side", k, anchor, tags, side, s=SIDES[side])


def _ordinal(speaker: Speaker) -> Iterator[Sentence]:
    for cls, rows in speaker.by_class.items():
        order = speaker.left_to_right(rows) if 2 <= len(rows) <= 4 else None
        if not order or not speaker.whole_class(cls):
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
        compared = rows + speaker.also_called(cls)
        order = sorted(compared, key=lambda k: volume(speaker.items[k]))
        sizes = [volume(speaker.items[k]) for k in order]
        tall = sorted(compared, key=lambda k: -speaker.items[k].size[2])
        heights = [speaker.items[k].size[2] for k in tall]
        picks = []
        if 2 * sizes[-1] > 3 * sizes[-2]:
            picks.append(("largest", order[-1]))
        if 2 * sizes[1] > 3 * sizes[0]:
            picks.append(("smallest", order[0]))
        if heights[0] - heights[1] >= max(150, heights[0] // 10):
            picks.append(("tallest", tall[0]))
        for form, target in picks:
            if target in rows and target in speaker.names:
                yield Sentence(form, speaker.words(cls), [target], [], tags=GEOMETRY)


def _on(speaker: Speaker) -> Iterator[Sentence]:
    for k in speaker.visible:
        support = speaker.items[k].support
        if support < 0 or not speaker.names.get(support):
            continue
        if all(speaker.items[m].support != support for m in speaker.rivals(k)):
            yield _anchored(speaker, "on", k, support, ())


def _under(speaker: Speaker) -> Iterator[Sentence]:
    for k in speaker.visible:
        below = speaker.items[k].support
        if below not in speaker.names or not speaker.same(below):
            continue
        bearing = [speaker.items[m].support for m in (k, *speaker.rivals(k))]
        rivals = [m for m in speaker.rivals(below) if m in bearing]
        if not rivals and bearing.count(below) == 1:
            words = speaker.words(speaker.cls(below))
            words["n"] = speaker.words(speaker.cls(k))["n"]
            yield Sentence("under", words, [below], [k])


def _facing(speaker: Speaker) -> Iterator[Sentence]:
    """The only seat or screen of its name that faces something on the floor."""
    facing = speaker.geometry.facing
    anchors = [k for k in speaker.named() if speaker.is_landmark(k)]
    for k in speaker.visible:
        for anchor in anchors:
            if speaker.cls(anchor) == speaker.cls(k) or not facing(k, anchor):
                continue
            rest = [facing(m, anchor) for m in speaker.rivals(k) if m != anchor]
            if not any(value is None or value for value in rest):
                yield _anchored(speaker, "facing", k, anchor, GEOMETRY)


def _opening(speaker: Speaker) -> Iterator[Sentence]:
    """The object of a class closest to the room's only door or window, by the speaker's margin."""
    for kind in speaker.geometry.openings:
        for cls, rows in speaker.by_class.items():
            target = speaker.closest_to_opening(rows + speaker.also_called(cls), kind)
            if target in rows and target in speaker.names and len(rows) > 1:
                words = {**speaker.words(cls), "a": f"the {kind}"}
                yield Sentence("closest", words, [target], tags=GEOMETRY, label="opening")


def _near(speaker: Speaker) -> Iterator[Sentence]:
    """The only object of its name near an anchor; every rival is clearly not near it."""
    near = speaker.geometry.next_to
    for k in speaker.visible:
        for anchor in speaker.named() if speaker.same(k) else ():
            if speaker.cls(anchor) in (speaker.cls(k), *NO_LANDMARK) or not near(k, anchor):
                continue
            if all(near(m, anchor) is False for m in speaker.rivals(k) if m != anchor):
                yield _anchored(speaker, "near", k, anchor, GEOMETRY)


def _between(speaker: Speaker) -> Iterator[Sentence]:
    """The only object of its name between two anchors; every rival is clearly not."""
    between = speaker.geometry.between
    anchors = [k for k in speaker.named() if speaker.cls(k) not in NO_LANDMARK]
    for k in speaker.visible:
        if not speaker.same(k) or speaker.cls(k) in NO_LANDMARK:
            continue
        for i, j in combinations(anchors, 2):
            if len({speaker.cls(n) for n in (i, j, k)}) < 3 or not between(k, i, j):
                continue
            if all(between(m, i, j) is False for m in speaker.rivals(k) if m not in (i, j)):
                text, others = speaker.name(j)
                sentence = _anchored(speaker, "between", k, i, GEOMETRY, b=text)
                sentence.anchors += [j, *others]
                yield sentence


def _counted(speaker: Speaker) -> Iterator[Sentence]:
    """The object that carries, or has near it, more of some class than any of its rivals."""
    near, items = speaker.geometry.next_to, speaker.items
    for cls, rows in speaker.by_class.items():
        if len(rows) < 2 or cls in NO_LANDMARK:
            continue
        for other, things in speaker.by_class.items():
            if other == cls or other in NO_LANDMARK or not speaker.whole_class(other):
                continue
            rivals = [m for m in speaker.also_called(cls) if m not in things]
            compared = rows + rivals
            if not speaker.captured:  # A captured box may leave out what something stands on.
                on = {k: [m for m in things if items[m].support == k] for k in compared}
                yield from _most(speaker, "counted_on", on, (cls, other))
            if all(near(k, m) is not None for k in compared for m in things):
                by = {k: [m for m in things if near(k, m)] for k in compared}
                yield from _most(speaker, "counted_near", by, (cls, other))


def _most(
    speaker: Speaker, form: str, having: dict[int, list[int]], classes: tuple[str, str]
) -> Iterator[Sentence]:
    """Yield a sentence of the object that has two or more things where every other has fewer, if
    it is of the first of two classes; the things are of the second."""
    cls, things = classes
    order = sorted(having, key=lambda k: -len(having[k]))
    first, second = (len(having[k]) for k in order[:2])
    told = speaker.cls(order[0]) == cls and order[0] in speaker.names
    if told and first > second and 2 <= first < len(NUMBERS):
        words = speaker.words(cls)
        words |= {"k": NUMBERS[first], "ns": speaker.words(things)["ts"]}
        yield Sentence(form, words, [order[0]], having[order[0]], tags=GEOMETRY, label="counted")


def _multi(speaker: Speaker) -> Iterator[Sentence]:
    for cls, rows in speaker.by_class.items():
        if len(rows) < 2 or not speaker.whole_class(cls):
            continue
        yield Sentence("all", speaker.words(cls), rows, [], "multi")
        for colour in sorted({speaker.colour(k) for k in rows}):
            some = [k for k in rows if speaker.colour(k) == colour]
            if 2 <= len(some) < len(rows):
                yield Sentence("all", speaker.words(cls, colour), some, [], "multi")
        for anchor in speaker.named():
            near = {k: speaker.geometry.next_to(k, anchor) for k in rows if k != anchor}
            some = [k for k, value in near.items() if value]
            if (
                speaker.cls(anchor) not in (cls, "rug")
                and len(some) >= 2
                and None not in near.values()
            ):
                text, others = speaker.name(anchor)
                words = {**speaker.words(cls), "a": text}
                leans = [anchor, *others]
                yield Sentence("all_near", words, some, leans, "multi", tags=GEOMETRY)


def _zero(speaker: Speaker) -> Iterator[Sentence]:
    """Expressions of nothing here: an absent class, an absent colour, a thing that is not on it."""
    absent = [
        cls for cls in speaker.known if cls not in speaker.by_class and speaker.whole_class(cls)
    ]
    for cls in speaker.shuffled(absent)[:3]:
        yield Sentence("unique", speaker.words(cls), [], [], "zero")
    colours = sorted({item.row.colour for item in speaker.items})
    for cls, rows in speaker.by_class.items():
        other = [c for c in colours if all(speaker.colour(k) != c for k in rows)]
        if other and speaker.whole_class(cls):
            colour = other[speaker.draw(len(other))]
            fields = {**speaker.words(cls), "c": colour}
            yield Sentence("attribute", fields, [], [], "zero")
    if speaker.captured:  # A box may leave out the foot that something stands on.
        return
    tops = [k for k in speaker.visible if speaker.items[k].support >= 0]
    for k in tops:
        bare = [m for m in speaker.named() if speaker.items[m].carries >= 0]
        bearing = {speaker.items[m].support for m in (k, *speaker.rivals(k))}
        for support in bare:
            if support not in bearing:
                text, others = speaker.name(support)
                words = {**speaker.words(speaker.cls(k)), "a": text}
                yield Sentence("on", words, [], [support, *others], "zero")


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
    "near": _near,
    "between": _between,
    "counted": _counted,
    "multi": _multi,
    "zero": _zero,
}
