"""What could be asked of a scene: drafts of each question type, true by a margin, with clues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from g2vlm.scenes.assets.classes import article
from g2vlm.scenes.language.answer_balancing import Clue, Draft
from g2vlm.scenes.language.referring_context import MARGIN_MM, NO_LANDMARK, Speaker, clearly_less
from g2vlm.scenes.language.templates import RELATION_QUESTIONS
from g2vlm.scenes.layout.integer_geometry import divide, twice_area
from g2vlm.scenes.layout.relations import dominant_side, holds
from metrics.scene_graph.predicates import FAMILIES

YES_NO = ["yes", "no"]
SIDES = [*FAMILIES["side"]]
TURNS = ["left", "right", "behind"]
# Enough to choose from, without drafting all that could be said of a full room.
ENOUGH = 48
# Steps of length (cm) and distance (dm) whose share the ledger keeps even.
SIZE_STEPS_CM = (35, 55, 80, 110, 160)
DISTANCE_STEPS_DM = (7, 13, 20, 29)
COUNT_OUTCOMES = 4

# An object, a name for it, and the objects that the name leans on.
Named = tuple[int, str, tuple[int, ...]]


def _clues(outcome: str, outcomes: int, *keys: tuple[str, ...]) -> tuple[Clue, ...]:
    return tuple((key, outcome, outcomes) for key in keys)


def _step(value: int, steps: tuple[int, ...]) -> str:
    return str(sum(value >= bound for bound in steps))


def _named(speaker: Speaker) -> list[Named]:
    """Return every object with a name, shuffled."""
    return [(k, *speaker.name(k)) for k in speaker.shuffled(speaker.named())]


def _groups(speaker: Speaker, rows: list[Named], size: int) -> Iterator[list[Named]]:
    """Yield drawn pairs or triples of named objects of different classes, each at most once."""
    if len(rows) < size:
        return
    picks = speaker.rng.integers(0, len(rows), (8 * ENOUGH, size)).tolist()
    classes = [speaker.cls(row[0]) for row in rows]
    for picked in dict.fromkeys(map(tuple, picks)):
        if len({classes[n] for n in picked}) == size and _apart(group := [rows[n] for n in picked]):
            yield group


def _apart(rows: list[Named]) -> bool:
    """Say whether no name leans on another of the objects, which would say what is asked."""
    return not {row[0] for row in rows} & {k for row in rows for k in row[2]}


def _of(*rows: Named) -> list[int]:
    return [k for row in rows for k in (row[0], *row[2])]


def _count(speaker: Speaker) -> list[list[Draft]]:
    """Counts of a class, or of a class in one colour."""
    drafts = []
    for cls, rows in speaker.by_class.items():
        if not speaker.whole_class(cls):
            continue
        colours = sorted({speaker.colour(k) for k in rows})
        for colour in ("", *(c for c in colours if len(colours) > 1)):
            some = [k for k in rows if not colour or speaker.colour(k) == colour]
            outcome = str(min(len(some), COUNT_OUTCOMES))
            keys = (("count",), ("count", cls), ("count", cls, colour), ("count", "", colour))
            keys = (*keys, ("count", cls, "", speaker.room))
            clues = _clues(outcome, COUNT_OUTCOMES, *keys)
            words = speaker.words(cls, colour)
            drafts.append(Draft("count", words, str(len(some)), "number", [], rows, clues))
    return [drafts, drafts]


def _distance(speaker: Speaker) -> list[list[Draft]]:
    def drafts() -> Iterator[Draft]:
        for a, b in _groups(speaker, _named(speaker), 2):
            d = speaker.geometry.distance[a[0]][b[0]]
            if d >= MARGIN_MM:
                pair = sorted((speaker.cls(a[0]), speaker.cls(b[0])))
                keys = (("far",), *(("far", cls) for cls in pair), ("far", *pair))
                step = _step(d // 100, DISTANCE_STEPS_DM)
                clues = _clues(step, len(DISTANCE_STEPS_DM) + 1, *keys)
                fields = {"a": a[1], "b": b[1]}
                yield Draft(
                    "absolute_distance", fields, tenths(d, 100), "number", [], _of(a, b), clues
                )

    found = list(islice(drafts(), ENOUGH))
    return [found, found]


def tenths(value: int, unit: int) -> str:
    """Return value / (10 * unit) with one decimal, halves up.

    >>> tenths(1450, 100), tenths(980, 100)
    ('1.5', '1.0')
    """
    whole = divide(value, unit)
    return f"{whole // 10}.{whole % 10}"


def _object_size(speaker: Speaker) -> list[list[Draft]]:
    drafts = []
    for row in _named(speaker):
        cls, longest = speaker.cls(row[0]), divide(max(speaker.items[row[0]].size), 10)
        keys = (("size", cls), ("size", cls, speaker.colour(row[0])))
        clues = _clues(_step(longest, SIZE_STEPS_CM), len(SIZE_STEPS_CM) + 1, *keys)
        drafts.append(
            Draft("object_size", {"a": row[1]}, str(longest), "number", [], _of(row), clues)
        )
    return [drafts, drafts]


def floor_area(room: dict[str, Any]) -> int:
    """Return the floor's area in mm²: of the outline, where a room is no rectangle."""
    if "outline_mm" not in room:
        return room["size_mm"][0] * room["size_mm"][1]
    return twice_area(room["outline_mm"]) // 2


def _room_size(speaker: Speaker) -> list[list[Draft]]:
    answer = tenths(floor_area(speaker.recipe["room"]), 100_000)
    draft = Draft("room_size", {}, answer, "number", [], [])
    return [[draft], [draft] * 8]


def _relative_distance(speaker: Speaker) -> list[list[Draft]]:
    """Which of two is closer to a third, by the speaker's margin."""

    def drafts() -> Iterator[Draft]:
        distance = speaker.geometry.distance
        for a, b, c in _groups(speaker, _named(speaker), 3):
            to_b, to_c = distance[a[0]][b[0]], distance[a[0]][c[0]]
            if clearly_less(to_b, to_c) or clearly_less(to_c, to_b):
                fields = {"a": a[1], "b": b[1], "c": c[1]}
                choices = [b[1].removeprefix("the "), c[1].removeprefix("the ")]
                right = int(to_c < to_b)
                clues = _either(speaker, "closer", speaker.cls(a[0]), (b, c), right)
                yield Draft(
                    "relative_distance",
                    fields,
                    choices[right],
                    "choice",
                    choices,
                    _of(a, b, c),
                    clues,
                )

    found = list(islice(drafts(), ENOUGH))
    return [found, found]


def _either(
    speaker: Speaker, form: str, of: str, options: tuple[Named, Named], right: int
) -> tuple[Clue, ...]:
    """Clues of a choice between two: which place is right, and what was right for each class."""
    clues = list(_clues(str(right), 2, (form,)))
    for place, (k, name, _) in enumerate(options):
        cls = speaker.cls(k)
        keys = ((form, cls), (form, cls, of), (form, "name", name))
        clues += _clues("right" if place == right else "wrong", 2, *keys)
    return tuple(clues)


def _relative_direction(speaker: Speaker) -> list[list[Draft]]:
    rows = [row for row in _named(speaker) if speaker.cls(row[0]) not in NO_LANDMARK]

    def seen() -> Iterator[Draft]:
        for a, b in _groups(speaker, [row for row in rows if row[0] in speaker.ahead], 2):
            side = speaker.geometry.side_in_view(a[0], b[0])
            if side:
                one, two = speaker.cls(a[0]), speaker.cls(b[0])
                keys = (("seen",), ("seen", one), ("seen", "of", two), ("seen", one, two))
                fields = {"a": a[1], "b": b[1]}
                clues = _clues(side, 4, *keys)
                yield Draft("relative_direction", fields, side, "choice", SIDES, _of(a, b), clues)

    def standing() -> Iterator[Draft]:
        for a, b, c in _groups(speaker, rows, 3):
            if speaker.items[b[0]].row.stands != "floor":
                continue
            side = facing_side(speaker, a[0], b[0], c[0])
            if side:
                one, two, three = (speaker.cls(row[0]) for row in (a, b, c))
                keys = (("turn",), ("turn", one), ("turn", "at", two), ("turn", "to", three))
                keys = (*keys, ("turn", one, two), ("turn", one, "", three))
                fields = {"a": a[1], "b": b[1], "c": c[1]}
                clues = _clues(side, 3, *keys)
                yield Draft("standing", fields, side, "choice", TURNS, _of(a, b, c), clues)

    return [list(islice(seen(), ENOUGH)), list(islice(standing(), ENOUGH))]


def facing_side(speaker: Speaker, i: int, j: int, k: int) -> str | None:
    """Return left, right or behind: where i is for one who stands at j and faces k; else None."""
    at, to, of = (speaker.items[n].centre for n in (j, k, i))
    fx, fy = to[0] - at[0], to[1] - at[1]
    length = fx * fx + fy * fy
    ox, oy = of[0] - at[0], of[1] - at[1]
    if length < 800 * 800 or ox * ox + oy * oy < 800 * 800:
        return None
    ahead, left = ox * fx + oy * fy, oy * fx - ox * fy
    # The sides' rule needs an offset, not its length: any common scale of both parts will do.
    side = dominant_side(ahead // 1000, left // 1000)
    return {"left": "left", "right": "right", "front": "behind"}.get(side or "")


def _existence(speaker: Speaker) -> list[list[Draft]]:
    """Yes for what stands here, no for classes that do not and for colours that a class lacks."""
    colours = sorted({item.row.colour for item in speaker.items} - {""})
    drafts = []
    for cls in speaker.known:
        rows = speaker.by_class.get(cls, [])
        if not speaker.whole_class(cls):
            continue
        for colour in ("", *colours):
            some = [k for k in rows if not colour or speaker.colour(k) == colour]
            answer = "yes" if some else "no"
            keys = (("is",), ("is", cls), ("is", cls, colour), ("is", "", colour))
            keys = (*keys, ("is", cls, "", speaker.room))
            words = speaker.words(cls, colour)
            clues = _clues(answer, 2, *keys)
            drafts.append(Draft("existence", words, answer, "choice", YES_NO, some or rows, clues))
    return [drafts, drafts]


def _spatial_relation(speaker: Speaker) -> list[list[Draft]]:
    """A yes-or-no question about a judged pair, and what is on something (or another such)."""
    judged = _judged(speaker)
    forms = sorted({draft.form for draft in judged})
    if forms:  # Else those that hold of most pairs would be asked alone.
        form = forms[speaker.draw(len(forms))]
        judged = [draft for draft in judged if draft.form == form]
    return [judged, _what_on(speaker) or judged]


def _judged(speaker: Speaker) -> list[Draft]:
    drafts = []
    named = {row[0]: row for row in _named(speaker)}
    pairs = [
        (named[k], named[item.support])
        for k, item in enumerate(speaker.items)
        if k in named and item.support in named
    ]
    pairs += islice(_groups(speaker, list(named.values()), 2), ENOUGH)
    for a, b in pairs:
        one, two = speaker.cls(a[0]), speaker.cls(b[0])
        if not _apart([a, b]):
            continue
        for form in RELATION_QUESTIONS:
            held = holds(speaker.geometry, form, a[0], b[0])
            if held is None or not _sensible(speaker, form, a[0], b[0]):
                continue
            answer = "yes" if held else "no"
            keys = ((form,), (form, one), (form, "", two), (form, one, two))
            fields, clues = {"a": a[1], "b": b[1]}, _clues(answer, 2, *keys)
            drafts.append(Draft(form, fields, answer, "choice", YES_NO, _of(a, b), clues))
    return drafts


def _what_on(speaker: Speaker) -> list[Draft]:
    """Which of two things is on something; the other one is here too, and stands elsewhere."""
    drafts = []
    small = [k for k in speaker.visible if speaker.items[k].row.stands == "top"]
    for below in _named(speaker):
        bearing = [k for k, item in enumerate(speaker.items) if item.support == below[0]]
        elsewhere = [m for m in small if not {m, *speaker.rivals(m)}.intersection(bearing)]
        for k in (k for k in small if k in bearing):
            for m in elsewhere:
                right = speaker.draw(2)
                pair = (k, m) if right == 0 else (m, k)
                nouns = [speaker.cls(n) for n in pair]
                if any(speaker.cls(n) in nouns for n in below[2]):
                    continue  # The name would say what is asked.
                fields = {"a": below[1], "b": article(nouns[0]), "c": article(nouns[1])}
                options = tuple((n, noun, ()) for n, noun in zip(pair, nouns, strict=True))
                clues = _either(speaker, "what", speaker.cls(below[0]), options, right)
                objects = [*_of(below), *bearing, *speaker.by_class[speaker.cls(m)]]
                drafts.append(
                    Draft("what_on", fields, nouns[right], "choice", nouns, objects, clues)
                )
    return drafts


def _sensible(speaker: Speaker, form: str, i: int, j: int) -> bool:
    """Leave out questions whose answer needs no look: whether a wardrobe is on a bottle."""
    a, b = speaker.items[i], speaker.items[j]
    if form == "on" and speaker.captured:  # A box may leave out the foot that it stands on.
        return a.support == j
    if form == "on":
        return a.row.stands == "top" and b.carries >= 0
    if form == "facing":  # A stool or a bench may be sat on from any side.
        turned = a.row.cls in ("chair", "armchair", "sofa", "computer", "television")
        return turned and bool(a.row.front) and speaker.is_landmark(j)
    return True


MAKERS: dict[str, Callable[[Speaker], list[list[Draft]]]] = {
    "count": _count,
    "absolute_distance": _distance,
    "object_size": _object_size,
    "room_size": _room_size,
    "relative_distance": _relative_distance,
    "relative_direction": _relative_direction,
    "existence": _existence,
    "spatial_relation": _spatial_relation,
}
