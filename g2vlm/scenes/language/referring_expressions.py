"""Every referring expression of a scene, by type: true of its targets alone, by a margin.

Each generator of `EXPRESSION_TYPES` yields all candidates of its type; `generate.references` picks
some of them. An expression is left out where a distractor (another object that the name may refer
to) fits it too, or is too close to tell.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations

from g2vlm.scenes.language.referring_context import (
    NO_LANDMARK,
    ReferenceCandidate,
    ReferringContext,
    clearly_less,
)
from g2vlm.scenes.language.templates import NUMBERS, ORDINALS, SIDES
from g2vlm.scenes.layout.relations import holds, volume

GEOMETRY = ("needs_geometry",)
VIEW = ("view_dependent", *GEOMETRY)
# The tallest is so by this length, or by a tenth of its height where that is more.
TALLER_MM = 150

Candidates = Iterator[ReferenceCandidate]


def _anchored(
    context: ReferringContext,
    template: str,
    cls: str,
    targets: list[int],
    anchor: int,
    tags: tuple[str, ...] = GEOMETRY,
    subset: str = "",
    expression_type: str = "",
    **fields: str,
) -> ReferenceCandidate:
    """Return a candidate that locates targets of a class by an anchor with a unique name."""
    text, refers_to = context.name(anchor)
    words = {**context.words(cls), "a": text, **fields}
    return ReferenceCandidate(
        template, words, targets, [anchor, *refers_to], subset, tags, expression_type
    )


def _unique(context: ReferringContext) -> Candidates:
    for k in context.visible:
        if not context.distractors(k):
            yield ReferenceCandidate("unique", context.words(context.cls(k)), [k])


def _attribute(context: ReferringContext) -> Candidates:
    """The only object of its name in its colour."""
    for k in context.visible:
        colour, distractors = context.colour(k), context.distractors(k)
        if colour and all(context.colour(m) != colour for m in distractors):
            words = {**context.words(context.cls(k)), "c": colour}
            yield ReferenceCandidate("attribute", words, [k])


def _by_distance(context: ReferringContext, template: str) -> Candidates:
    """The object of a class that is clearly closest to an anchor, or farthest from it."""
    distance = context.geometry.distance
    sign = 1 if template == "closest" else -1
    for cls, rows in context.by_class.items():
        if len(rows) < 2:
            continue
        compared = rows + context.also_called(cls)
        for anchor in context.named():
            if context.cls(anchor) in (cls, "ceiling light") or anchor in compared:
                continue
            order = sorted(compared, key=lambda k, a=anchor: sign * distance[k][a])
            low, high = sorted(distance[k][anchor] for k in order[:2])
            if clearly_less(low, high) and order[0] in rows and order[0] in context.names:
                yield _anchored(context, template, cls, [order[0]], anchor)


def _side(context: ReferringContext) -> Candidates:
    """The only object of its name on one side of an anchor, with no distractor undecided.

    The first view shows both and agrees with the side; its image shows no distractor there.
    """
    geometry = context.geometry
    anchors = [k for k in context.named() if context.cls(k) not in NO_LANDMARK]
    for k in sorted(context.in_first_view):
        for anchor in sorted(context.in_first_view.intersection(anchors)):
            side = geometry.side_in_view(k, anchor) if anchor != k else None
            if side is None or context.cls(anchor) == context.cls(k) or not context.same_class(k):
                continue
            distractors = [m for m in context.distractors(k) if m != anchor]
            their_sides = {geometry.side(m, anchor) for m in distractors}
            their_bearings = {geometry.bearing_order(m, anchor) for m in distractors}
            if {"left": 1, "right": -1}.get(side) in their_bearings:
                continue
            if side not in their_sides and None not in their_sides:
                yield _anchored(
                    context,
                    "side",
                    context.cls(k),
                    [k],
                    anchor,
                    VIEW,
                    expression_type=side,
                    s=SIDES[side],
                )


def _ordinal(context: ReferringContext) -> Candidates:
    """The first, second or third of a class from the left or right of the first view."""
    for cls, rows in context.by_class.items():
        order = context.left_to_right(rows) if 2 <= len(rows) <= 4 else None
        if not order or not context.is_countable(cls):
            continue
        for end, row in (("left", order), ("right", order[::-1])):
            for k, target in enumerate(row[: len(ORDINALS)]):
                words = {**context.words(cls), "e": end, "o": ORDINALS[k]}
                yield ReferenceCandidate("ordinal", words, [target], tags=VIEW)


def _size(context: ReferringContext) -> Candidates:
    """The largest and smallest of a class by half of the volume, and the tallest."""
    for cls, rows in context.by_class.items():
        if len(rows) < 2:
            continue
        compared = rows + context.also_called(cls)
        order = sorted(compared, key=lambda k: volume(context.items[k]))
        volumes = [volume(context.items[k]) for k in order]
        tall = sorted(compared, key=lambda k: -context.items[k].size[2])
        heights = [context.items[k].size[2] for k in tall]
        picks = (
            ("largest", order[-1], 2 * volumes[-1] > 3 * volumes[-2]),
            ("smallest", order[0], 2 * volumes[1] > 3 * volumes[0]),
            ("tallest", tall[0], heights[0] - heights[1] >= max(TALLER_MM, heights[0] // 10)),
        )
        for template, target, is_transparent in picks:
            if is_transparent and target in rows and target in context.names:
                yield ReferenceCandidate(template, context.words(cls), [target], tags=GEOMETRY)


def _on(context: ReferringContext) -> Candidates:
    for k in context.visible:
        support = context.items[k].support
        if support < 0 or not context.names.get(support):
            continue
        if all(context.items[m].support != support for m in context.distractors(k)):
            yield _anchored(context, "on", context.cls(k), [k], support, tags=())


def _under(context: ReferringContext) -> Candidates:
    """The only object of its name that carries a thing of some class, and carries just one."""
    for k in context.visible:
        below = context.items[k].support
        if below not in context.names or not context.same_class(below):
            continue
        supports = [context.items[m].support for m in (k, *context.distractors(k))]
        distractors = [m for m in context.distractors(below) if m in supports]
        if not distractors and supports.count(below) == 1:
            words, carried = context.words(context.cls(below)), context.words(context.cls(k))
            words["n"] = carried["n"]
            yield ReferenceCandidate("under", words, [below], [k])


def _facing(context: ReferringContext) -> Candidates:
    """The only seat or screen of its name that faces something on the floor."""
    anchors = [k for k in context.named() if context.is_landmark(k)]
    return _related(context, "facing", context.visible, anchors)


def _opening(context: ReferringContext) -> Candidates:
    """The object of a class that is clearly closest to the room's only door or window."""
    for kind in context.geometry.openings:
        for cls, rows in context.by_class.items():
            target = context.closest_to_opening(rows + context.also_called(cls), kind)
            if target in rows and target in context.names and len(rows) > 1:
                words = {**context.words(cls), "a": f"the {kind}"}
                yield ReferenceCandidate(
                    "closest", words, [target], tags=GEOMETRY, expression_type="opening"
                )


def _near(context: ReferringContext) -> Candidates:
    """The only object of its name near an anchor."""
    targets = [k for k in context.visible if context.same_class(k)]
    anchors = [k for k in context.named() if context.cls(k) not in NO_LANDMARK]
    return _related(context, "near", targets, anchors)


def _related(
    context: ReferringContext, predicate: str, targets: list[int], anchors: list[int]
) -> Candidates:
    """The only object of its name with a relation to an anchor; it clearly fails of distractors."""
    scene = context.geometry
    for k in targets:
        for anchor in anchors:
            if context.cls(anchor) == context.cls(k) or not holds(scene, predicate, k, anchor):
                continue
            distractors = [m for m in context.distractors(k) if m != anchor]
            if all(holds(scene, predicate, m, anchor) is False for m in distractors):
                yield _anchored(context, predicate, context.cls(k), [k], anchor)


def _between(context: ReferringContext) -> Candidates:
    """The only object of its name between two anchors; every distractor is clearly not."""
    between = context.geometry.between
    anchors = [k for k in context.named() if context.cls(k) not in NO_LANDMARK]
    for k in context.visible:
        if not context.same_class(k) or context.cls(k) in NO_LANDMARK:
            continue
        for i, j in combinations(anchors, 2):
            if len({context.cls(n) for n in (i, j, k)}) < 3 or not between(k, i, j):
                continue
            distractors = [m for m in context.distractors(k) if m not in (i, j)]
            if all(between(m, i, j) is False for m in distractors):
                text, refers_to = context.name(j)
                candidate = _anchored(context, "between", context.cls(k), [k], i, b=text)
                candidate.anchors += [j, *refers_to]
                yield candidate


def _counted(context: ReferringContext) -> Candidates:
    """The object that carries, or has near it, more of some class than any distractor."""
    near, items = context.geometry.next_to, context.items
    for cls, rows in context.by_class.items():
        if len(rows) < 2 or cls in NO_LANDMARK:
            continue
        for other, things in context.by_class.items():
            if other == cls or other in NO_LANDMARK or not context.is_countable(other):
                continue
            compared = rows + [m for m in context.also_called(cls) if m not in things]
            if not context.captured:  # A captured box may leave out what something stands on.
                on = {k: [m for m in things if items[m].support == k] for k in compared}
                yield from _most(context, "counted_on", on, (cls, other))
            if all(near(k, m) is not None for k in compared for m in things):
                by = {k: [m for m in things if near(k, m)] for k in compared}
                yield from _most(context, "counted_near", by, (cls, other))


def _most(
    context: ReferringContext,
    template: str,
    counted: dict[int, list[int]],
    classes: tuple[str, str],
) -> Candidates:
    """Yield a candidate for the object with the most things, if it has two at least.

    Args:
        counted: the things of each compared object.
        classes: the class that the object must have, and that of the things.
    """
    cls, things = classes
    order = sorted(counted, key=lambda k: -len(counted[k]))
    target = order[0]
    first, second = (len(counted[k]) for k in order[:2])
    fits = context.cls(target) == cls and target in context.names
    if fits and first > second and 2 <= first < len(NUMBERS):
        words = {**context.words(cls), "k": NUMBERS[first], "ns": context.words(things)["ts"]}
        yield ReferenceCandidate(
            template, words, [target], counted[target], tags=GEOMETRY, expression_type="counted"
        )


def _multi(context: ReferringContext) -> Candidates:
    """Expressions of several targets: a class, a class in a colour, those of a class near
    something."""
    for cls, rows in context.by_class.items():
        if len(rows) < 2 or not context.is_countable(cls):
            continue
        yield ReferenceCandidate("all", context.words(cls), rows, subset="multi")
        for colour in sorted({context.colour(k) for k in rows}):
            some = [k for k in rows if context.colour(k) == colour]
            if 2 <= len(some) < len(rows):
                yield ReferenceCandidate("all", context.words(cls, colour), some, subset="multi")
        for anchor in context.named():
            near = {k: context.geometry.next_to(k, anchor) for k in rows if k != anchor}
            some = [k for k, value in near.items() if value]
            if context.cls(anchor) in (cls, "rug") or len(some) < 2 or None in near.values():
                continue
            yield _anchored(context, "all_near", cls, some, anchor, subset="multi")


def _zero(context: ReferringContext) -> Candidates:
    """Expressions without a target: an absent class, an absent colour, a bare top."""
    absent = [
        cls
        for cls in context.known_classes
        if cls not in context.by_class and context.is_countable(cls)
    ]
    for cls in context.shuffled(absent)[:3]:
        yield ReferenceCandidate("unique", context.words(cls), [], subset="zero")
    colours = sorted({item.row.colour for item in context.items})
    for cls, rows in context.by_class.items():
        other = [c for c in colours if all(context.colour(k) != c for k in rows)]
        if other and context.is_countable(cls):
            colour = other[context.draw(len(other))]
            words = {**context.words(cls), "c": colour}
            yield ReferenceCandidate("attribute", words, [], subset="zero")
    if context.captured:  # A box may leave out the foot that something stands on.
        return
    for k in context.visible:
        if context.items[k].support < 0:
            continue
        supports = {context.items[m].support for m in (k, *context.distractors(k))}
        for top in context.named():
            if context.items[top].carries >= 0 and top not in supports:
                yield _anchored(context, "on", context.cls(k), [], top, tags=(), subset="zero")


EXPRESSION_TYPES: dict[str, Callable[[ReferringContext], Candidates]] = {
    "unique": _unique,
    "attribute": _attribute,
    "closest": partial(_by_distance, template="closest"),
    "farthest": partial(_by_distance, template="farthest"),
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
