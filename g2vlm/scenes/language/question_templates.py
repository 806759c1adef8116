"""Candidate questions of each type about a scene: true by a margin, with their clues.

Each entry of `QUESTION_TYPES` returns two pools of candidates; `generate.questions` asks one of
each. Which one depends on the answers of earlier questions, see `answer_balancing`.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from g2vlm.scenes.assets.classes import article
from g2vlm.scenes.language.answer_balancing import Clue, QuestionCandidate
from g2vlm.scenes.language.referring_context import (
    MARGIN_MM,
    NO_LANDMARK,
    ReferringContext,
    clearly_less,
)
from g2vlm.scenes.language.templates import RELATION_QUESTIONS
from g2vlm.scenes.layout.integer_geometry import divide, twice_area
from g2vlm.scenes.layout.relations import dominant_side, holds
from metrics.scene_graph.predicates import FAMILIES

YES_NO = ["yes", "no"]
SIDES = [*FAMILIES["side"]]
TURNS = ["left", "right", "behind"]
# Candidates of a type: enough to choose from, fewer than a full room would give.
ENOUGH = 48
# Sizes (cm) that are asked for, from and below: the name of a rug or of a cup tells its size. Below
# and from the bound in between are asked for equally often.
SIZES_CM = (35, 140)
SIZE_BOUND_CM = 70
# Bounds of the bins of distance (dm) whose shares are balanced.
DISTANCE_BINS_DM = (7, 13, 20, 29)
# Counts from here on are one outcome.
COUNT_OUTCOMES = 3
# Shortest distance from someone who stands at an object to what is asked of.
STANDING_MM = 800
# Classes with a front that questions may ask about; stools and benches are used from any side.
QUESTIONED_FRONTS = ("chair", "armchair", "sofa", "computer", "television")


class Named(NamedTuple):
    """An object, its class, a name for it, and the other objects that the name refers to."""

    index: int
    cls: str
    name: str
    refers_to: tuple[int, ...]


def _clues(
    outcome: str, outcomes: int, *keys: tuple[str, ...], strict: tuple[str, ...] = ()
) -> tuple[Clue, ...]:
    """Return the clues of an outcome, one for each key; the last one is of the key `strict`."""
    clues = [Clue(key, outcome, outcomes) for key in keys]
    return (*clues, *([Clue(strict, outcome, outcomes, True)] if strict else []))


def _named(context: ReferringContext) -> list[Named]:
    """Return every object that has a name, shuffled."""
    rows = context.shuffled(context.named())
    return [Named(k, context.cls(k), *context.name(k)) for k in rows]


def _groups(context: ReferringContext, rows: list[Named], size: int) -> Iterator[list[Named]]:
    """Yield drawn pairs or triples of named objects of different classes, each at most once."""
    if len(rows) < size:
        return
    picks = context.rng.integers(0, len(rows), (8 * ENOUGH, size)).tolist()
    for picked in dict.fromkeys(map(tuple, picks)):
        group = [rows[n] for n in picked]
        if len({row.cls for row in group}) == size and _independent(group):
            yield group


def _independent(rows: list[Named]) -> bool:
    """Return whether no name refers to another of the objects, which would give the answer."""
    return not {row.index for row in rows} & {k for row in rows for k in row.refers_to}


def _ask(
    template: str, rows: list[Named], answer: str, choices: list[str], clues: tuple[Clue, ...]
) -> QuestionCandidate:
    """Return a question about one to three named objects, which are a, b and c of its template."""
    fields = {key: row.name for key, row in zip("abc", rows, strict=False)}
    objects = [k for row in rows for k in (row.index, *row.refers_to)]
    return QuestionCandidate(template, fields, answer, choices, objects, clues)


def tenths(value: int, unit: int) -> str:
    """Return value / (10 * unit) with one decimal, halves up.

    >>> tenths(1450, 100), tenths(980, 100)
    ('1.5', '1.0')
    """
    whole = divide(value, unit)
    return f"{whole // 10}.{whole % 10}"


def floor_area(room: dict[str, Any]) -> int:
    """Return a recipe room's floor area in mm²: of its outline where it is not a rectangle."""
    if "outline_mm" not in room:
        return room["size_mm"][0] * room["size_mm"][1]
    return twice_area(room["outline_mm"]) // 2


Candidates = Iterator[QuestionCandidate]
Pools = list[list[QuestionCandidate]]


def _twice(candidates: Candidates, limit: int | None = None) -> Pools:
    """Return the same candidates, the first `limit` of them, for both questions of a type."""
    pool = list(islice(candidates, limit))
    return [pool, pool]


def _count(context: ReferringContext) -> Candidates:
    """Counts of a class, or of a class in one colour."""
    for cls, rows in context.by_class.items():
        if not context.is_countable(cls):
            continue
        colours = sorted({context.colour(k) for k in rows})
        for colour in ("", *(c for c in colours if len(colours) > 1)):
            some = [k for k in rows if not colour or context.colour(k) == colour]
            outcome = str(min(len(some), COUNT_OUTCOMES))
            clues = _clues(
                outcome,
                COUNT_OUTCOMES,
                ("count",),
                ("count", cls),
                ("count", "", colour),
                strict=("count", cls, colour),
            )
            words = context.words(cls, colour)
            yield QuestionCandidate("count", words, str(len(some)), [], rows, clues)


def _absolute_distance(context: ReferringContext) -> Candidates:
    for a, b in _groups(context, _named(context), 2):
        d = context.geometry.distance[a.index][b.index]
        if d < MARGIN_MM:
            continue
        first, second = sorted((a.cls, b.cls))
        clues = _clues(
            str(bisect_right(DISTANCE_BINS_DM, d // 100)),
            len(DISTANCE_BINS_DM) + 1,
            ("far",),
            ("far", first),
            ("far", second),
            ("far", first, second),
        )
        yield _ask("absolute_distance", [a, b], tenths(d, 100), [], clues)


def _object_size(context: ReferringContext) -> Candidates:
    """Sizes of objects, named as in other questions or by a colour that no other object has."""
    for row in [*_only_in_colour(context), *_named(context)]:
        longest = divide(max(context.items[row.index].size), 10)
        if not SIZES_CM[0] <= longest < SIZES_CM[1]:
            continue
        outcome = "long" if longest >= SIZE_BOUND_CM else "short"
        colour = context.colour(row.index)
        shown = [row.cls, *([colour] if colour in row.name.split() else [])]
        if row.cls not in row.name:
            shown = ["", colour]
        known = [shown[: end + 1] for end in range(len(shown))]
        strict = [Clue(("size", *words), outcome, 2, True) for words in known]
        yield _ask("object_size", [row], str(longest), [], (Clue(("size",), outcome, 2), *strict))


def _only_in_colour(context: ReferringContext) -> list[Named]:
    """Return the visible objects whose colour no other object has, named by it without a class.

    None of a capture, since it labels few of the objects in its room.
    """
    if context.captured:
        return []
    by_colour: dict[str, list[int]] = {}
    for k in range(len(context.items)):
        by_colour.setdefault(context.colour(k), []).append(k)
    return [
        Named(rows[0], context.cls(rows[0]), f"the only {colour} object", ())
        for colour, rows in by_colour.items()
        if colour and len(rows) == 1 and rows[0] in context.names
    ]


def _room_size(context: ReferringContext) -> Pools:
    area = floor_area(context.recipe["room"])
    candidate = QuestionCandidate("room_size", {}, tenths(area, 100_000), [], [])
    # The second question has other words for the same answer; some draws repeat the first.
    return [[candidate], [candidate] * 8]


def _relative_distance(context: ReferringContext) -> Candidates:
    """Which of two objects is clearly closer to a third."""
    distance = context.geometry.distance
    for a, b, c in _groups(context, _named(context), 3):
        to_b, to_c = distance[a.index][b.index], distance[a.index][c.index]
        if not (clearly_less(to_b, to_c) or clearly_less(to_c, to_b)):
            continue
        right = int(to_c < to_b)
        choices = [b.name.removeprefix("the "), c.name.removeprefix("the ")]
        clues = _choice_clues("closer", a.cls, (b, c), right)
        yield _ask("relative_distance", [a, b, c], choices[right], choices, clues)


def _choice_clues(
    key: str, anchor: str, options: tuple[Named, Named], right: int
) -> tuple[Clue, ...]:
    """Return clues of a choice between two: their order, and for each its class and name.

    Args:
        key: what the question asks.
        anchor: class of the object that both are compared by.
        right: position of the right option.
    """
    clues = list(_clues(str(right), 2, (key,)))
    for position, option in enumerate(options):
        clues += _clues(
            "right" if position == right else "wrong",
            2,
            (key, option.cls),
            (key, option.cls, anchor),
            (key, "name", option.name),
        )
    return tuple(clues)


def _relative_direction(context: ReferringContext) -> Pools:
    """On which side of an object another is: for the first camera, and for a person there."""
    rows = [row for row in _named(context) if row.cls not in NO_LANDMARK]
    return [
        list(islice(_sides_for_camera(context, rows), ENOUGH)),
        list(islice(_sides_for_person(context, rows), ENOUGH)),
    ]


def _sides_for_camera(context: ReferringContext, rows: list[Named]) -> Candidates:
    in_view = [row for row in rows if row.index in context.in_first_view]
    for a, b in _groups(context, in_view, 2):
        side = context.geometry.side_in_view(a.index, b.index)
        if not side:
            continue
        clues = _clues(
            side,
            len(SIDES),
            ("seen",),
            ("seen", a.cls),
            ("seen", "of", b.cls),
            ("seen", a.cls, b.cls),
        )
        yield _ask("relative_direction", [a, b], side, SIDES, clues)


def _sides_for_person(context: ReferringContext, rows: list[Named]) -> Candidates:
    for a, b, c in _groups(context, rows, 3):
        if context.items[b.index].row.placement != "floor":
            continue
        side = side_for_person(context, a.index, b.index, c.index)
        if not side:
            continue
        clues = _clues(
            side,
            len(TURNS),
            ("turn",),
            ("turn", a.cls),
            ("turn", "at", b.cls),
            ("turn", "to", c.cls),
            ("turn", a.cls, b.cls),
            ("turn", a.cls, "", c.cls),
        )
        yield _ask("standing", [a, b, c], side, TURNS, clues)


def side_for_person(context: ReferringContext, target: int, at: int, facing: int) -> str | None:
    """Return left, right or behind: where the target is for one who stands at an object and faces
    another; None where it is ahead or not clear."""
    position, ahead_of, end = (context.items[n].centre for n in (at, facing, target))
    fx, fy = ahead_of[0] - position[0], ahead_of[1] - position[1]
    tx, ty = end[0] - position[0], end[1] - position[1]
    least = STANDING_MM * STANDING_MM
    if fx * fx + fy * fy < least or tx * tx + ty * ty < least:
        return None
    # Dot and cross product: the target's offset in the person's axes, times the length of (fx, fy).
    ahead, left = tx * fx + ty * fy, ty * fx - tx * fy
    # The rule of sides needs the offset's direction alone, so any scale of both parts will do.
    side = dominant_side(ahead // 1000, left // 1000)
    # Further along a camera's heading is "behind"; for the person it is ahead, which is not asked.
    return {"left": "left", "right": "right", "front": "behind"}.get(side or "")


def _existence(context: ReferringContext) -> Candidates:
    """Whether a class, or a class in a colour of the room, is in the room."""
    colours = sorted({item.row.colour for item in context.items} - {""})
    for cls in context.known_classes:
        rows = context.by_class.get(cls, [])
        if not context.is_countable(cls):
            continue
        for colour in ("", *colours):
            some = [k for k in rows if not colour or context.colour(k) == colour]
            answer = "yes" if some else "no"
            words = context.words(cls, colour)
            clues = _clues(
                answer,
                len(YES_NO),
                ("is",),
                ("is", cls),
                ("is", cls, colour),
                ("is", "", colour),
            )
            yield QuestionCandidate("existence", words, answer, YES_NO, some or rows, clues)


def _spatial_relation(context: ReferringContext) -> Pools:
    """Whether one relation holds for a pair, and which of two things is on something.

    Where nothing is on anything, the second is another question about the same relation.
    """
    candidates = list(_relation_holds(context))
    predicates = sorted({candidate.template for candidate in candidates})
    if predicates:  # One of them, so that those with the most pairs do not crowd out the rest.
        predicate = predicates[context.draw(len(predicates))]
        candidates = [row for row in candidates if row.template == predicate]
    return [candidates, list(_what_is_on(context)) or candidates]


def _relation_holds(context: ReferringContext) -> Candidates:
    named = {row.index: row for row in _named(context)}
    pairs = [
        (named[k], named[item.support])
        for k, item in enumerate(context.items)
        if k in named and item.support in named
    ]
    pairs += islice(_groups(context, list(named.values()), 2), ENOUGH)
    for a, b in pairs:
        if not _independent([a, b]):
            continue
        for predicate in RELATION_QUESTIONS:
            value = holds(context.geometry, predicate, a.index, b.index)
            if value is None or not _needs_a_look(context, predicate, a.index, b.index):
                continue
            answer = "yes" if value else "no"
            clues = _clues(
                answer,
                len(YES_NO),
                (predicate,),
                (predicate, a.cls),
                (predicate, "", b.cls),
                (predicate, a.cls, b.cls),
            )
            yield _ask(predicate, [a, b], answer, YES_NO, clues)


def _needs_a_look(context: ReferringContext, predicate: str, i: int, j: int) -> bool:
    """Return whether common sense leaves the answer open: no wardrobe is on a bottle."""
    a, b = context.items[i], context.items[j]
    if predicate == "on" and context.captured:  # A box may leave out the foot that it stands on.
        return a.support == j
    if predicate == "on":
        return a.row.placement == "top" and b.carries >= 0
    if predicate == "facing":
        return a.row.cls in QUESTIONED_FRONTS and bool(a.row.front) and context.is_landmark(j)
    return True


def _what_is_on(context: ReferringContext) -> Candidates:
    """Which of two things is on an object; the other one is elsewhere in the room."""
    small = [k for k in context.visible if context.items[k].row.placement == "top"]
    for below in _named(context):
        carried = [k for k, item in enumerate(context.items) if item.support == below.index]
        elsewhere = [m for m in small if not {m, *context.distractors(m)}.intersection(carried)]
        for k in (k for k in small if k in carried):
            for m in elsewhere:
                right = context.draw(2)
                pair = (k, m) if right == 0 else (m, k)
                nouns = [context.cls(n) for n in pair]
                if any(context.cls(n) in nouns for n in below.refers_to):
                    continue  # The name would give the answer.
                fields = {"a": below.name, "b": article(nouns[0]), "c": article(nouns[1])}
                options = tuple(Named(n, context.cls(n), context.cls(n), ()) for n in pair)
                clues = _choice_clues("what", below.cls, options, right)
                needed = [below.index, *below.refers_to, *carried]
                objects = [*needed, *context.by_class[context.cls(m)]]
                yield QuestionCandidate("what_on", fields, nouns[right], nouns, objects, clues)


# The candidates of both questions of each type.
QUESTION_TYPES: dict[str, Callable[[ReferringContext], Pools]] = {
    "count": lambda context: _twice(_count(context)),
    "absolute_distance": lambda context: _twice(_absolute_distance(context), ENOUGH),
    "object_size": lambda context: _twice(_object_size(context)),
    "room_size": _room_size,
    "relative_distance": lambda context: _twice(_relative_distance(context), ENOUGH),
    "relative_direction": _relative_direction,
    "existence": lambda context: _twice(_existence(context)),
    "spatial_relation": _spatial_relation,
}
