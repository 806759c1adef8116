"""Questions of eight types, two a scene, with balanced answers and margins that make them true."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

from g2vlm.scenes.geometry import divide, twice_area
from g2vlm.scenes.phrasings import QUESTIONS
from g2vlm.scenes.relations import dominant
from g2vlm.scenes.speaker import MARGIN_MM, Speaker

TYPES = (
    "count",
    "absolute_distance",
    "object_size",
    "room_size",
    "relative_distance",
    "relative_direction",
    "existence",
    "spatial_relation",
)
YES_NO = ["yes", "no"]
SIDES = ["left", "right", "front", "behind"]

# What a question needs: its phrasings' form, their fields, answer, kind, choices, objects.
Draft = tuple[str, dict[str, str], str, str, list[str], list[int]]


def questions(speaker: Speaker) -> list[dict[str, Any]]:
    """Return up to 16 questions of a scene, two of each type."""
    rows: list[dict[str, Any]] = []
    said: set[str] = set()
    for name in TYPES:
        turns = MAKERS[name](speaker)
        for drafts in turns:
            for draft in drafts:
                if _say(speaker, name, draft, rows, said):
                    break
    return [{"id": f"q{k:02d}", **row} for k, row in enumerate(rows)]


def _say(speaker: Speaker, kind: str, draft: Draft, rows: list[dict], said: set[str]) -> bool:
    form, fields, answer, answer_kind, choices, objects = draft
    text, _ = speaker.phrase(QUESTIONS[form], {"room": speaker.room, **fields})
    if text in said:
        return False
    said.add(text)
    rows.append(
        {
            "type": kind,
            "text": text,
            "answer": answer,
            "answer_kind": answer_kind,
            "choices": choices,
            "objects": sorted(set(objects)),
        }
    )
    return True


def _named(speaker: Speaker) -> list[tuple[int, str, tuple[int, ...]]]:
    """Return (object, a name, objects the name leans on), shuffled.

    Names that depend on the view are left to references: a question states its own view.
    """
    rows = []
    for k in speaker.shuffled(speaker.named()):
        plain = [name for name in speaker.names[k] if not name[1]]
        if plain:
            text, _, others = plain[speaker.draw(len(plain))]
            rows.append((k, text, others))
    return rows


def _pairs(speaker: Speaker) -> list[tuple]:
    rows = _named(speaker)
    return speaker.shuffled(
        [(a, b) for a, b in permutations(rows, 2) if speaker.cls(a[0]) != speaker.cls(b[0])]
    )


def _count(speaker: Speaker) -> list[Iterator[Draft]]:
    """Counts of a class, or of a class in one colour; larger counts first half of the time."""

    def drafts(many: bool) -> Iterator[Draft]:
        found = []
        for cls, rows in speaker.by_class.items():
            if speaker.seen_class(cls):
                found.append((speaker.words(cls), rows, rows))
                for colour in sorted({speaker.colour(k) for k in rows}):
                    some = [k for k in rows if speaker.colour(k) == colour]
                    if len(some) < len(rows):
                        found.append((speaker.words(cls, colour), some, rows))
        found = speaker.shuffled(found)
        for words, some, rows in sorted(found, key=lambda f: (len(f[1]) < 2) == many):
            yield "count", words, str(len(some)), "number", [], rows

    return [drafts(True), drafts(speaker.chance(50))]


def _distance(speaker: Speaker) -> list[Iterator[Draft]]:
    def drafts() -> Iterator[Draft]:
        for (i, a, more), (j, b, others) in _pairs(speaker):
            d = speaker.geometry.distance[i][j]
            if d >= MARGIN_MM:
                objects = [i, j, *more, *others]
                answer = tenths(d, 100)
                yield "absolute_distance", {"a": a, "b": b}, answer, "number", [], objects

    return [drafts(), drafts()]


def tenths(value: int, unit: int) -> str:
    """Return value / (10 * unit) with one decimal, halves up.

    >>> tenths(1450, 100), tenths(980, 100)
    ('1.5', '1.0')
    """
    whole = divide(value, unit)
    return f"{whole // 10}.{whole % 10}"


def _object_size(speaker: Speaker) -> list[Iterator[Draft]]:
    def drafts() -> Iterator[Draft]:
        for k, a, others in _named(speaker):
            answer = str(divide(max(speaker.items[k].size), 10))
            yield "object_size", {"a": a}, answer, "number", [], [k, *others]

    return [drafts(), drafts()]


def floor_area(room: dict[str, Any]) -> int:
    """Return the floor's area in mm²: of the outline, where a room is no rectangle."""
    if "outline_mm" not in room:
        return room["size_mm"][0] * room["size_mm"][1]
    return twice_area(room["outline_mm"]) // 2


def _room_size(speaker: Speaker) -> list[Iterator[Draft]]:
    area = floor_area(speaker.recipe["room"])

    def drafts() -> Iterator[Draft]:
        for _ in range(8):
            yield "room_size", {}, tenths(area, 100_000), "number", [], []

    return [drafts(), drafts()]


def _relative_distance(speaker: Speaker) -> list[Iterator[Draft]]:
    """Which of two is closer to a third, by 0.3 m; the right one is named first half the time."""

    def drafts(first: bool) -> Iterator[Draft]:
        rows, distance = _named(speaker), speaker.geometry.distance
        triples = speaker.shuffled(list(permutations(range(len(rows)), 3)))
        for x, y, z in triples:
            (i, a, more), (j, b, others), (k, c, rest) = rows[x], rows[y], rows[z]
            classes = {speaker.cls(i), speaker.cls(j), speaker.cls(k)}
            near, far = (j, k) if first else (k, j)
            if len(classes) == 3 and distance[i][far] - distance[i][near] >= MARGIN_MM:
                choices = [_short(b), _short(c)]
                objects = [i, j, k, *more, *others, *rest]
                answer = choices[0 if first else 1]
                yield (
                    "relative_distance",
                    {"a": a, "b": b, "c": c},
                    answer,
                    "choice",
                    choices,
                    objects,
                )

    turn = speaker.chance(50)
    return [drafts(turn), drafts(not turn)]


def _short(name: str) -> str:
    return name.removeprefix("the ")


def _relative_direction(speaker: Speaker) -> list[Iterator[Draft]]:
    def seen(wanted: str) -> Iterator[Draft]:
        rest = []
        for (i, a, more), (j, b, others) in _pairs(speaker):
            side = speaker.geometry.side(i, j)
            draft = (
                "relative_direction",
                {"a": a, "b": b},
                side,
                "choice",
                SIDES,
                [i, j, *more, *others],
            )
            if side == wanted:
                yield draft
            elif side:
                rest.append(draft)
        yield from rest

    def standing(wanted: str) -> Iterator[Draft]:
        rows, rest = _named(speaker), []
        for x, y, z in speaker.shuffled(list(permutations(range(len(rows)), 3)))[:400]:
            (i, a, more), (j, b, others), (k, c, third) = rows[x], rows[y], rows[z]
            side = facing_side(speaker, i, j, k)
            if speaker.items[j].row.stands != "floor" or side is None:
                continue
            if len({speaker.cls(n) for n in (i, j, k)}) < 3:
                continue
            objects = [i, j, k, *more, *others, *third]
            fields = {"a": a, "b": b, "c": c}
            draft = ("standing", fields, side, "choice", ["left", "right", "behind"], objects)
            if side == wanted:
                yield draft
            else:
                rest.append(draft)
        yield from rest

    return [seen(SIDES[speaker.draw(4)]), standing(("left", "right", "behind")[speaker.draw(3)])]


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
    side = dominant(ahead // 1000, left // 1000)
    return {"left": "left", "right": "right", "front": "behind"}.get(side or "")


def _existence(speaker: Speaker) -> list[Iterator[Draft]]:
    def yes() -> Iterator[Draft]:
        for k in speaker.shuffled(speaker.visible):
            cls = speaker.cls(k)
            colour = speaker.colour(k) if speaker.chance(50) else ""
            rows = [m for m in speaker.by_class[cls] if not colour or speaker.colour(m) == colour]
            if all(m in speaker.names for m in rows):
                yield "existence", speaker.words(cls, colour), "yes", "choice", YES_NO, rows

    def no() -> Iterator[Draft]:
        colours = sorted({item.row.colour for item in speaker.items})
        for cls in speaker.shuffled(list(speaker.known)):
            rows = speaker.by_class.get(cls, [])
            other = [c for c in colours if all(speaker.colour(k) != c for k in rows)]
            if not rows and speaker.chance(60):
                yield "existence", speaker.words(cls), "no", "choice", YES_NO, []
            elif rows and other and speaker.seen_class(cls):
                words = speaker.words(cls, other[speaker.draw(len(other))])
                yield "existence", words, "no", "choice", YES_NO, rows

    return [yes(), no()] if speaker.chance(50) else [no(), yes()]


def _spatial_relation(speaker: Speaker) -> list[Iterator[Draft]]:
    """A yes-or-no question about a judged pair, and what is on something (or another such)."""

    def judged(answer: bool) -> Iterator[Draft]:
        pairs, geometry = _pairs(speaker), speaker.geometry
        tests: dict[str, Callable[[int, int], bool | None]] = {
            "on": lambda i, j: speaker.items[i].support == j,
            "near": geometry.near,
            "larger": geometry.larger,
            "facing": geometry.facing,
        }
        for form in speaker.shuffled(sorted(tests)):
            for (i, a, more), (j, b, others) in pairs:
                if tests[form](i, j) is answer and _sensible(speaker, form, i, j):
                    word = "yes" if answer else "no"
                    objects = [i, j, *more, *others]
                    yield form, {"a": a, "b": b}, word, "choice", YES_NO, objects
                    break

    def what() -> Iterator[Draft]:
        for j, a, others in _named(speaker):
            on = [k for k, item in enumerate(speaker.items) if item.support == j]
            if len(on) == 1 and on[0] in speaker.names:
                answer = speaker.cls(on[0])
                yield "what_on", {"a": a}, answer, "word", [], [j, on[0], *others]
        yield from judged(speaker.chance(50))

    return [judged(speaker.chance(50)), what()]


def _sensible(speaker: Speaker, form: str, i: int, j: int) -> bool:
    """Leave out questions whose answer needs no look: whether a wardrobe is on a bottle."""
    a, b = speaker.items[i], speaker.items[j]
    if form == "on" and speaker.captured:  # A box may leave out the foot that it stands on.
        return a.support == j
    if form == "on":
        return a.row.stands == "top" and b.carries >= 0
    if form == "facing":
        return a.row.front and a.row.cls in ("chair", "armchair", "sofa", "computer", "television")
    return True


MAKERS: dict[str, Callable[[Speaker], list[Iterator[Draft]]]] = {
    "count": _count,
    "absolute_distance": _distance,
    "object_size": _object_size,
    "room_size": _room_size,
    "relative_distance": _relative_distance,
    "relative_direction": _relative_direction,
    "existence": _existence,
    "spatial_relation": _spatial_relation,
}
