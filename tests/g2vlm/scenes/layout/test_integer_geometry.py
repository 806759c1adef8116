"""The integer geometry against floating point and against dense sampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g2vlm.scenes.layout.integer_geometry import (
    UNIT,
    corners,
    cosine,
    footprint_distance,
    gap,
    point_to_footprint,
    sine,
)

boxes = st.tuples(
    st.tuples(st.integers(-3000, 3000), st.integers(-3000, 3000)),
    st.tuples(st.integers(100, 2000), st.integers(100, 2000)),
    st.sampled_from(range(0, 360, 15)),
)


@pytest.mark.parametrize("degrees", range(-360, 721, 7))
def test_sine_table(degrees):
    assert sine(degrees) == round(math.sin(math.radians(degrees)) * UNIT)
    assert cosine(degrees) == round(math.cos(math.radians(degrees)) * UNIT)


def outline(centre, size, yaw, count=40):
    ring = np.array(corners(centre, size, yaw), float)
    t = np.linspace(0, 1, count, endpoint=False)[:, None]
    return np.concatenate(
        [a + t * (b - a) for a, b in zip(ring, np.roll(ring, -1, 0), strict=True)]
    )


@settings(max_examples=60, deadline=None)
@given(boxes, boxes)
def test_distance_is_that_of_dense_outlines(a, b):
    ra, rb = (corners(*box) for box in (a, b))
    exact = footprint_distance(ra, a[2], rb, b[2])
    pa, pb = outline(*a), outline(*b)
    sampled = np.sqrt(((pa[:, None] - pb[None]) ** 2).sum(-1)).min()
    inside = any(point_to_footprint((int(x), int(y)), rb) == 0 for x, y in pa)
    inside |= any(point_to_footprint((int(x), int(y)), ra) == 0 for x, y in pb)
    if exact == 0:
        assert inside or sampled < 60
    else:
        assert exact - 2 <= sampled <= exact + 60
        assert gap(ra, a[2], rb, b[2]) <= exact + 1


def test_gap_of_a_turned_square():
    flat = corners((0, 0), (200, 200), 0)
    turned = corners((300, 0), (200, 200), 45)
    assert gap(flat, 0, turned, 45) == pytest.approx(300 - 100 - 100 * math.sqrt(2), abs=2)
    assert gap(flat, 0, corners((150, 0), (200, 200), 0), 0) == -50
