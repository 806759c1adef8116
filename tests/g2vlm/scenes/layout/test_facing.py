"""The relation facing: questions about it, and where it is void."""

from __future__ import annotations

import re
from types import SimpleNamespace

from g2vlm.scenes.language.mention_parser import parse_mentions
from g2vlm.scenes.language.referring_context import NO_LANDMARK
from g2vlm.scenes.layout.relations import SceneGeometry


def test_what_is_faced_stands_on_the_floor(drawn):
    asked = 0
    front = re.compile(r"\b(fac|front\b|turned towards|oriented|look towards)")
    for recipe, line in zip(drawn.recipes, drawn.language, strict=True):
        about = {o["index"]: o for o in recipe["objects"]}
        for question in line["questions"]:
            if question["type"] == "spatial_relation" and front.search(question["text"]):
                asked += 1
                second = parse_mentions(question["text"], [about[k] for k in question["objects"]])[
                    1
                ]
                low = [about[k]["support"] < 0 for k in second.objects]
                assert any(low), question["text"]
                assert not {about[k]["class"] for k in second.objects} & {*NO_LANDMARK}
    assert asked > 2


def test_facing_is_void_where_the_front_axis_meets_a_footprint():
    chair = SimpleNamespace(cls="chair", front=True)

    def facing(centre, ring):
        seat = SimpleNamespace(row=chair, centre=(0, 0), yaw=0)
        other = SimpleNamespace(row=chair, centre=centre, ring=ring)
        return SceneGeometry.facing(SimpleNamespace(items=[seat, other]), 0, 1)

    def box(x, y, half):
        return [
            (x - half, y - half),
            (x + half, y - half),
            (x + half, y + half),
            (x - half, y + half),
        ]

    # A front points along -y.
    assert facing((0, -1000), box(0, -1000, 300)) is True
    assert facing((1000, -1000), box(1000, -1000, 300)) is False
    assert facing((1000, -1000), box(1000, -1000, 1100)) is None
    assert facing((0, 1000), box(0, 1000, 300)) is False
    # A slanted footprint has corners ahead and on both sides; the axis passes behind all of it.
    slanted = [(-1200, 900), (1200, -700), (1400, -400), (-1000, 1200)]
    assert facing((100, 250), slanted) is False
    assert facing((100, -250), [(x, y - 400) for x, y in slanted]) is None
