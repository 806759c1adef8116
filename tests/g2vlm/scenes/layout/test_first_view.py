"""Sentences about sides and openings agree with what the views show."""

from __future__ import annotations

from collections import Counter

import numpy as np

from g2vlm.scenes.assets.classes import ALSO_CALLED
from g2vlm.scenes.language.question_templates import SIDES
from g2vlm.scenes.language.referring_context import FIRST_VIEW_PIXELS
from tests.g2vlm.scenes.language.test_language import centre
from tests.g2vlm.scenes.layout.test_recipes import opening_foot, ring, turned


def test_sides_relate_objects_that_the_first_view_likely_shows(drawn):
    checked = 0
    for recipe, line, pixels in zip(drawn.recipes, drawn.language, drawn.pixels, strict=True):
        shown = pixels[0] >= FIRST_VIEW_PIXELS
        for ref in line["references"]:
            needed = [*ref["targets"], *ref["anchors"]]
            if ref["form"] == "ordinal":
                cls = recipe["objects"][ref["targets"][0]]["class"]
                needed = [o["index"] for o in recipe["objects"] if o["class"] == cls]
            if ref["form"] in (*SIDES, "ordinal"):
                checked += 1
                assert shown[ref["targets"]].all(), ref["text"]
                assert shown[ref["anchors"] or needed].any(), ref["text"]
                assert ref["form"] in SIDES or shown[needed].all(), ref["text"]
        for question in line["questions"]:
            if question["choices"] == SIDES:
                checked += 1
                assert shown[question["objects"]].sum() >= 2, question["text"]
    assert checked > 10


def turned_from(recipe, anchor, k):
    """Degrees, -180 to 180, to the left that the first camera turns from an anchor to k."""
    (ax, ay), (x, y) = centre(recipe, anchor), centre(recipe, k)
    return (np.degrees(np.arctan2(y, x) - np.arctan2(ay, ax)) + 180) % 360 - 180


def agrees_with_view(recipe, form, target, anchor):
    """Whether the first view's image has the target and none of its class on that side."""
    turn = turned_from(recipe, anchor, target)
    if form in ("front", "behind"):
        return abs(turn) < 15.1
    sign, cls = (1 if form == "left" else -1), recipe["objects"][target]["class"]
    called = {cls, *ALSO_CALLED.get(cls, ())}
    others = {o["index"] for o in recipe["objects"] if o["class"] in called} - {target, anchor}
    # What lies behind the camera is on no side in the image.
    rest = [turned_from(recipe, anchor, k) for k in others if centre(recipe, k)[0] > 0]
    return sign * turn > 4.9 and all(sign * away < 5.1 for away in rest)


def test_sides_agree_with_the_first_view(drawn):
    checked = Counter()
    for recipe, line in zip(drawn.recipes, drawn.language, strict=True):
        for ref in line["references"]:
            if ref["form"] in SIDES:
                checked[ref["form"]] += 1
                (target,), form = ref["targets"], ref["form"]
                # An anchor's name may refer to others, which are listed too.
                assert any(agrees_with_view(recipe, form, target, k) for k in ref["anchors"]), ref[
                    "text"
                ]
    assert min(checked[side] for side in SIDES) > 0


def test_a_named_door_or_window_is_in_view(drawn):
    checked = 0
    for recipe, line in zip(drawn.recipes, drawn.language, strict=True):
        texts = [r["text"] for r in (*line["references"], *line["questions"])]
        for kind in ("door", "window"):
            if not any(f"the {kind}" in text for text in texts):
                continue
            checked += 1
            ends = ring(opening_foot(recipe, kind))
            points = np.linspace(ends.min(0), ends.max(0), 9)
            turns = []
            for camera in recipe["cameras"][:4]:
                ahead = turned(points - camera["position_mm"][:2], -camera["yaw_deg"])
                angle = np.degrees(np.arctan2(ahead[:, 1], ahead[:, 0]))
                turns.append((np.abs(angle) <= camera["hfov_deg"] / 2 + 8).mean())
            assert max(turns) >= 0.3, recipe["id"]
    assert checked > 3
