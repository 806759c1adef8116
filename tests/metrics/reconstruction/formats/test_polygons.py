"""Triangles cover a polygon exactly: their areas add up to its own (Newell), wherever it lies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.files import InputError
from metrics.reconstruction.formats import polygons
from metrics.reconstruction.formats.polygons import cut_polygons, triangles_of


def crosses(corners: np.ndarray) -> np.ndarray:
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def newell(outline: np.ndarray) -> np.ndarray:
    """Return twice the area of a polygon [n, 3] as a vector, by its sides alone."""
    centred = outline - outline.mean(axis=0)
    return np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0)


def star(seed: int, size: int) -> np.ndarray:
    """Return a polygon [size, 3] around a point, with corners near and far, in a random plane."""
    generator = np.random.default_rng(seed)
    turns = 2 * np.pi * (np.arange(size) + generator.uniform(0, 0.8, size)) / size
    radii = generator.uniform(0.2, 2, size)
    plane, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    flat = np.stack([radii * np.cos(turns), radii * np.sin(turns), np.zeros(size)], axis=1)
    return flat @ plane.T


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 60), st.sampled_from([0.0, 1e3, -1e7]))
def test_triangles_cover_a_concave_polygon_exactly(seed, size, shift):
    outline = star(seed, size) + shift
    found = triangles_of(outline, np.array([size]), np.arange(size), "a")
    assert len(found) == size - 2
    parts, whole = crosses(outline[found]), newell(outline)
    # Parts that overlap or leave the outline would face the other way or add up to more.
    assert np.linalg.norm(parts, axis=1).sum() == pytest.approx(np.linalg.norm(whole), rel=1e-6)
    assert parts.sum(axis=0) == pytest.approx(whole, rel=1e-6, abs=1e-6)


def test_polygons_of_all_sizes_keep_their_order(monkeypatch):
    monkeypatch.setattr(polygons, "_BLOCK", 16)  # several blocks
    outlines = [star(seed, 3 + seed % 9) for seed in range(200)]
    counts = np.array([len(outline) for outline in outlines])
    points = np.concatenate(outlines)
    found = triangles_of(points, counts, np.arange(len(points)), "a")
    owner = np.repeat(np.arange(200), counts)[found]
    assert (owner == owner[:, :1]).all() and (np.diff(owner[:, 0]) >= 0).all()
    areas = np.bincount(owner[:, 0], np.linalg.norm(crosses(points[found]), axis=1))
    assert areas == pytest.approx([np.linalg.norm(newell(outline)) for outline in outlines])


def test_convex_polygons_are_fans_from_their_first_corner():
    turns = 2 * np.pi * np.arange(6) / 6
    points = np.stack([np.cos(turns), np.sin(turns), 0 * turns], axis=1)
    rows, corners, crossing = cut_polygons(points, np.arange(6)[None], "a")
    assert corners.tolist() == [[0, k, k + 1] for k in range(1, 5)]
    assert rows.tolist() == [0] * 4 and not crossing.any()


def test_a_hole_that_a_bridge_joins_to_the_outline_stays_open():
    outer, hole = [(0, 0), (4, 0), (4, 4), (0, 4)], [(1, 1), (1, 3), (3, 3), (3, 1)]
    outline = [*outer, outer[0], *hole, hole[0]]
    points = np.array([(x, y, 0) for x, y in outline], float)
    found = triangles_of(points, np.array([len(points)]), np.arange(len(points)), "a")
    assert np.linalg.norm(crosses(points[found]), axis=1).sum() / 2 == pytest.approx(12)


def test_a_bent_quad_is_cut_once_and_a_folded_one_along_its_fold():
    bent = np.array([[0, 0, 0], [1, 0, 0.1], [1, 1, 0], [0, 1, 0.1]])
    found = triangles_of(bent, np.array([4]), np.arange(4), "a")
    assert found.tolist() == [[0, 1, 2], [0, 2, 3]]
    # Seen along its normal the third corner lies inside of the other three.
    dart = np.array([[0, 0, 0], [2, 0, 0], [0.5, 0.5, 0.1], [0, 2, 0]])
    found = triangles_of(dart[[1, 2, 3, 0]], np.array([4]), np.arange(4), "a")
    assert all({1, 3} <= set(row) for row in found.tolist())


BOW_TIE = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 0], [0, 1, 0]], float)
LOPSIDED = np.array([[0, 0, 0], [2, 0, 0], [0, 1, 0], [1, -1, 0]], float)


@pytest.mark.parametrize("outline", [BOW_TIE, LOPSIDED])
def test_polygons_that_cross_themselves_may_have_a_hundredth_of_the_area(outline):
    large = 30 * np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], float)
    counts, indices = np.array([4, 4]), np.arange(8)
    points = np.concatenate([outline, large])
    # Shown as a fan, as in viewers, where it hardly counts.
    assert triangles_of(points, counts, indices, "a")[:2].tolist() == [[0, 1, 2], [0, 2, 3]]
    with pytest.raises(InputError, match="a: polygons that cross themselves have .*% of its area"):
        triangles_of(points / [1, 1, 1] * np.repeat([[1], [0.1]], 4, axis=0), counts, indices, "a")


def test_a_concave_polygon_with_too_many_corners_is_refused():
    size = polygons.MOST_CORNERS + 1
    turns = 2 * np.pi * np.arange(size) / size
    radii = 1 + 0.5 * np.sin(50 * turns)
    points = np.stack([radii * np.cos(turns), radii * np.sin(turns), 0 * turns], axis=1)
    with pytest.raises(InputError, match="a concave polygon has 10001 corners, more than 10000"):
        triangles_of(points, np.array([size]), np.arange(size), "a")
    circle = points / np.linalg.norm(points, axis=1, keepdims=True)
    assert len(triangles_of(circle, np.array([size]), np.arange(size), "a")) == size - 2
