"""Every sentence is parsed and evaluated on the recipe alone, in floating point.

The parser knows the templates and English names ("the larger of the two lamps", "the lamp on the
desk") and shares no geometry with the generator. It has no void bands: a sentence that is true by a
margin is true by the bare definition, and false of everything else of the class.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from g2vlm.scenes.assets.catalog import REVIEWED, read_models
from g2vlm.scenes.assets.classes import ALSO_CALLED, CLASSES, SYNONYMS, plural
from g2vlm.scenes.language.templates import NUMBERS, ORDINALS, QUESTIONS, REFERENCES, SIDES
from tests.g2vlm.scenes.language.test_language import centre, distance, volume
from tests.g2vlm.scenes.layout.test_recipes import opening_foot, turned

NOUNS = {word: cls for cls in CLASSES for word in (cls, *SYNONYMS.get(cls, ()))}
NOUNS |= {plural(word): cls for word, cls in list(NOUNS.items())}
_NOUN = "|".join(sorted(map(re.escape, NOUNS), key=len, reverse=True))
_COLOURS = sorted({row.colour for row in read_models(REVIEWED).values()})
_THING = rf"(?:(?P<c>{'|'.join(_COLOURS)}) )?(?P<t>{_NOUN})"
NEAR_MM = 500
# Dense outlines measure a distance up to 30 mm too long.
SLACK_MM = 30


_NAMED = rf"(?:(?:{'|'.join(_COLOURS)}) )?(?:{_NOUN})"
_NAME = (
    rf"the (?:larg|small)(?:er|est) of the \w+ (?:{_NOUN})|"
    rf"the (?:left|right)(?:most)? one of the \w+ (?:{_NOUN})|"
    rf"the {_NAMED}(?: (?:on|near|closest to) the (?:door|window|{_NAMED}))?"
)
_KIND = f"an? {_NAMED}"
# The pattern of each field of a template; in questions, names or kinds of things.
_REFERENCE_FIELDS = {
    "a": f"{_NAME}|the door|the window",
    "b": _NAME,
    "t": _NAMED,
    "ts": _NAMED,
    "ns": _NAMED,
    "n": _KIND,
    "c": "|".join(_COLOURS),
    "s": "|".join(SIDES.values()),
    "o": "|".join(ORDINALS),
    "k": "|".join(NUMBERS),
    "e": "left|right",
}


_ONLY = rf"the only (?:{'|'.join(_COLOURS)}) object"
_QUESTION_FIELDS = {**_REFERENCE_FIELDS, **dict.fromkeys("abc", f"{_NAME}|{_KIND}|{_ONLY}")}


def pattern(template, fields):
    """A template as a pattern; a field named twice must match the same words."""
    seen: set[str] = set()

    def field(match):
        name = match.group(1)
        again = name in seen
        seen.add(name)
        return f"(?P={name})" if again else f"(?P<{name}>{fields.get(name, '.+?')})"

    return re.compile(re.sub(r"\\\{(\w+)\\\}", field, re.escape(template)) + r"\Z")


REFERENCE_PATTERNS, QUESTION_PATTERNS = (
    {
        form: [pattern(template, fields) for template in templates]
        for form, templates in table.items()
    }
    for table, fields in ((REFERENCES, _REFERENCE_FIELDS), (QUESTIONS, _QUESTION_FIELDS))
)


class SceneReader:
    """Resolves names and evaluates relations on the objects of a recipe."""

    def __init__(self, recipe, models):
        self.models, self.recipe, self.objects = models, recipe, recipe["objects"]
        self.far = {}

    def called(self, words):
        """Objects that a noun, with or without a colour and an article, may refer to."""
        match = re.fullmatch(rf"(?:(?:the|a|an) )?{_THING}", words)
        if not match:
            return None
        cls, colour = NOUNS[match["t"]], match["c"]
        rows = [o["index"] for o in self.objects if o["class"] in {cls, *ALSO_CALLED.get(cls, ())}]
        return [k for k in rows if colour in (None, self.objects[k]["colour"])]

    def named(self, words):
        """The one object that a name refers to; a name of several or of none fails."""
        only = re.fullmatch(r"the only (\w+) object", words)
        if only:
            found = [o["index"] for o in self.objects if o["colour"] == only[1]]
        else:
            found = self.called(words)
        if found is None:
            found = self._described(words)
        assert len(found) == 1, (self.recipe["id"], words, found)
        return found[0]

    def _described(self, words):
        sized = re.fullmatch(
            rf"the (larger|largest|smaller|smallest) of the (\w+) ({_NOUN})", words
        )
        if sized:
            rows = self.counted(sized[3], sized[2])
            order = sorted(rows, key=lambda k: volume(self.objects[k]))
            return [order[-1] if sized[1].startswith("large") else order[0]]
        placed = re.fullmatch(rf"the (left|right)(?:most)? one of the (\w+) ({_NOUN})", words)
        if placed:
            rows = self.counted(placed[3], placed[2])
            order = sorted(rows, key=lambda k: -centre(self.recipe, k)[1])
            return [order[0] if placed[1] == "left" else order[-1]]
        noun, place, other = re.fullmatch(
            rf"the ({_NOUN}) (on|near|closest to) (.+)", words
        ).groups()
        rows = self.called(noun)
        if other in ("the door", "the window"):
            return self.closest(rows, other.removeprefix("the "))
        anchor = self.named(other)
        return [k for k in rows if k != anchor and self.holds(place, k, anchor)]

    def counted(self, noun, number):
        rows = self.called(noun)
        assert len(rows) == NUMBERS.index(number), (self.recipe["id"], noun, number)
        return rows

    def distance(self, i, j):
        key = min(i, j), max(i, j)
        if key not in self.far:
            self.far[key] = distance(self.objects[i], self.objects[j])
        return self.far[key]

    def closest(self, rows, kind):
        """The object closest to the only door or window, by dense outlines."""
        foot = {**opening_foot(self.recipe, kind), "base_mm": 0}
        flat = {k: {**self.objects[k], "base_mm": 0} for k in rows}
        return [min(rows, key=lambda k: distance(foot, flat[k]))]

    def holds(self, form, i, j):
        """Whether a relation holds between i and j by its bare definition."""
        a, b = self.objects[i], self.objects[j]
        if form == "on":
            return a["support"] == j
        if form == "near":
            return self.distance(i, j) < NEAR_MM + SLACK_MM
        if form == "larger":
            return volume(a) > volume(b)
        if form == "facing":
            if not self.models[a["model"]].front:
                return False  # A round stool faces nothing.
            offset = np.array(b["centre_mm"], float) - a["centre_mm"]
            front = turned(np.array([[0.0, -1.0]]), a["yaw_deg"])[0]
            return front @ offset / np.linalg.norm(offset) > np.cos(np.radians(25))
        raise AssertionError(form)

    def side(self, i, j):
        dx, dy = centre(self.recipe, i) - centre(self.recipe, j)
        if abs(dx) > abs(dy):
            return "behind" if dx > 0 else "front"
        return "left" if dy > 0 else "right"

    def between(self, k, i, j):
        a, b, p = (np.array(self.objects[n]["centre_mm"], float) for n in (i, j, k))
        way = b - a
        share = (p - a) @ way / (way @ way)
        off = np.linalg.norm(p - a - share * way) / np.linalg.norm(way)
        return 0.2 < share < 0.8 and off < 0.3


def fits(reader, form, match):
    """The objects that one reading of a reference is true of; None if the reading fails."""
    words = match.groupdict()
    noun = words.get("t") or words.get("ts")
    if form in ("attribute",):
        noun = f"{words['c']} {noun}"
    rows = reader.called(noun)
    if rows is None:
        return None
    objects, a = reader.objects, words.get("a")
    if form in ("unique", "attribute", "all"):
        return rows
    if form in ("closest", "farthest"):
        if a in ("the door", "the window"):
            return reader.closest(rows, a.removeprefix("the "))
        anchor = reader.named(a)
        order = sorted(rows, key=lambda k: reader.distance(k, anchor))
        return [order[0] if form == "closest" else order[-1]]
    if form == "side":
        side = next(name for name, text in SIDES.items() if text == words["s"])
        anchor = reader.named(a)
        return [k for k in rows if k != anchor and reader.side(k, anchor) == side]
    if form == "ordinal":
        order = sorted(rows, key=lambda k: -centre(reader.recipe, k)[1])
        order = order if words["e"] == "left" else order[::-1]
        return [order[ORDINALS.index(words["o"])]]
    if form in ("largest", "smallest"):
        order = sorted(rows, key=lambda k: volume(objects[k]))
        return [order[-1] if form == "largest" else order[0]]
    if form == "tallest":
        return [max(rows, key=lambda k: objects[k]["size_mm"][2])]
    if form == "under":
        above = reader.called(words["n"])
        return [k for k in rows if any(objects[m]["support"] == k for m in above)]
    if form == "between":
        ends = reader.named(a), reader.named(words["b"])
        return [k for k in rows if k not in ends and reader.between(k, *ends)]
    if form in ("counted_on", "counted_near"):
        things, place = reader.called(words["ns"]), form.removeprefix("counted_")
        least = NUMBERS.index(words["k"])
        return [k for k in rows if sum(reader.holds(place, m, k) for m in things) >= least]
    place = "near" if form == "all_near" else form
    anchor = reader.named(a)
    return [k for k in rows if k != anchor and reader.holds(place, k, anchor)]


TEMPLATES_OF_FORM = dict.fromkeys(SIDES, ("side",)) | {
    "opening": ("closest",),
    "counted": ("counted_on", "counted_near"),
}


def check_reference(recipe, ref, models):
    """Fail unless some reading of the text is true of the targets and of nothing else."""
    reader, readings = SceneReader(recipe, models), []
    for form in TEMPLATES_OF_FORM.get(ref["form"], (ref["form"],)):
        for words in REFERENCE_PATTERNS[form]:
            match = words.match(ref["text"])
            if match:
                try:
                    readings.append(fits(reader, form, match))
                except (AssertionError, AttributeError, ValueError, StopIteration):
                    readings.append(None)
    assert sorted(ref["targets"]) in [r and sorted(r) if r else r for r in readings], (
        recipe["id"],
        ref["text"],
        ref["targets"],
        readings,
    )


def check_question(recipe, question, models):
    """Fail unless some reading of a question's text gives its answer."""
    reader, answers = SceneReader(recipe, models), []
    for form in TEMPLATES_OF_TYPE[question["type"]]:
        for words in QUESTION_PATTERNS[form]:
            match = words.match(question["text"])
            if match:
                try:
                    answers.append(ANSWERS[form](reader, match.groupdict(), question))
                except (AssertionError, AttributeError, TypeError, ValueError):
                    answers.append(None)
    assert any(right for right in answers), (recipe["id"], question, answers)


def _number(measured, question, slack):
    return abs(float(question["answer"]) - measured) <= slack


def _equals(answer, question):
    return answer == question["answer"]


def _closer(reader, words, question):
    a, b, c = (reader.named(words[name]) for name in "abc")
    nearer = words["b" if reader.distance(a, b) < reader.distance(a, c) else "c"]
    return _equals(nearer.removeprefix("the "), question)


def _side_for_person(reader, words, question):
    of, at, to = (
        np.array(reader.objects[reader.named(words[name])]["centre_mm"], float) for name in "abc"
    )
    (fx, fy), (ox, oy) = to - at, of - at
    angle = np.degrees(np.arctan2(fx * oy - fy * ox, fx * ox + fy * oy))
    side = "left" if 45 < angle < 135 else "right" if -135 < angle < -45 else "behind"
    return abs(angle) > 45 and _equals(side, question)


def _what_is_on(reader, words, question):
    below = reader.named(words["a"])
    held = {k for k, o in enumerate(reader.objects) if o["support"] == below}
    first, second = (bool(held.intersection(reader.called(words[name]))) for name in "bc")
    return first != second and _equals(question["choices"][0 if first else 1], question)


def _relation_holds(form):
    def answer(reader, words, question):
        i, j = reader.named(words["a"]), reader.named(words["b"])
        return _equals("yes" if reader.holds(form, i, j) else "no", question)

    return answer


TEMPLATES_OF_TYPE = {name: (name,) for name in ("count", "absolute_distance", "object_size")}
TEMPLATES_OF_TYPE |= {name: (name,) for name in ("room_size", "relative_distance", "existence")}
TEMPLATES_OF_TYPE["relative_direction"] = ("relative_direction", "standing")
TEMPLATES_OF_TYPE["spatial_relation"] = ("on", "near", "larger", "facing", "what_on")
ANSWERS = {
    "count": lambda r, w, q: _number(len(r.called(w.get("ts") or w["t"])), q, 0),
    "absolute_distance": lambda r, w, q: _number(
        r.distance(r.named(w["a"]), r.named(w["b"])) / 1000, q, 0.09
    ),
    "object_size": lambda r, w, q: _number(
        max(r.objects[r.named(w["a"])]["size_mm"]) / 10, q, 0.51
    ),
    "room_size": lambda r, w, q: _number(
        r.recipe["room"]["size_mm"][0] * r.recipe["room"]["size_mm"][1] / 1e6, q, 0.051
    ),
    "relative_distance": _closer,
    "relative_direction": lambda r, w, q: _equals(r.side(r.named(w["a"]), r.named(w["b"])), q),
    "standing": _side_for_person,
    "existence": lambda r, w, q: _equals("yes" if r.called(w["n"]) else "no", q),
    **{form: _relation_holds(form) for form in ("on", "near", "larger", "facing")},
    "what_on": _what_is_on,
}


def test_every_sentence_reads_back_as_true(drawn):
    read = Counter()
    for recipe, line in zip(drawn.recipes, drawn.language, strict=True):
        for ref in line["references"]:
            check_reference(recipe, ref, drawn.models)
            read[ref["form"]] += 1
        for question in line["questions"]:
            check_question(recipe, question, drawn.models)
            read[question["type"]] += 1
    assert len(read) > 24 and sum(read.values()) > 700


def test_a_false_sentence_fails(drawn):
    recipe, line = drawn.recipes[0], drawn.language[0]
    ref = next(r for r in line["references"] if r["form"] in ("closest", "near", "on"))
    other = next(o["index"] for o in recipe["objects"] if o["index"] not in ref["targets"])
    with pytest.raises(AssertionError):
        check_reference(recipe, {**ref, "targets": [other]}, drawn.models)
    question = next(q for q in line["questions"] if q["type"] == "existence")
    wrong = "no" if question["answer"] == "yes" else "yes"
    with pytest.raises(AssertionError):
        check_question(recipe, {**question, "answer": wrong}, drawn.models)
