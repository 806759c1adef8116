"""Points and textured surfaces of exact depth lie on the room, without duplicates."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm.captures import Capture
from g2vlm.use.surfaces import Refined, coloured_points, textured_surface
from tests.g2vlm.inference.synthetic import BOXES, ROOM_HIGH, ROOM_LOW


@pytest.fixture(scope="module")
def exact(capture: Capture) -> Refined:
    return Refined(capture.depth, np.ones_like(capture.depth))


def away(points: np.ndarray) -> np.ndarray:
    """Distance in metres of points [M, 3] from the nearest of the room's and boxes' faces."""
    best = np.minimum(np.abs(points - ROOM_LOW), np.abs(points - ROOM_HIGH)).min(1)
    for box in BOXES:
        low, high = box[:3] - box[3:] / 2, box[:3] + box[3:] / 2
        outside = np.maximum(np.maximum(low - points, points - high), 0)
        inside = np.minimum(points - low, high - points).min(1)
        gap = np.where(inside > 0, inside, np.linalg.norm(outside, axis=1))
        best = np.minimum(best, gap)
    return best


def test_points_lie_on_the_room_without_duplicates(capture: Capture, exact: Refined) -> None:
    cloud = coloured_points(capture, exact)
    assert away(cloud.points).max() < 0.03
    cells = np.floor((cloud.points - cloud.points.min(0)) / 0.01).astype(int)
    assert len(np.unique(cells, axis=0)) > 0.99 * len(cells)
    assert set(np.unique(cloud.frame)) == set(range(5))


def test_surfaces_lie_on_the_room(capture: Capture, exact: Refined) -> None:
    for part in textured_surface(capture, exact):
        middle = part.vertices[part.faces].mean(1)
        assert np.quantile(away(middle), 0.98) < 0.04


def test_surfaces_face_the_camera(capture: Capture, exact: Refined) -> None:
    for part in textured_surface(capture, exact):
        frame = capture.names.index(part.name)
        a, b, c = part.vertices[part.faces].transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        assert ((normal * (capture.pose[frame, :3, 3] - a)).sum(1) > 0).all()


def test_texture_coordinates_match_the_camera(capture: Capture, exact: Refined) -> None:
    for part in textured_surface(capture, exact):
        frame = capture.names.index(part.name)
        local = (part.vertices - capture.pose[frame, :3, 3]) @ capture.pose[frame, :3, :3]
        pixel = local @ capture.intrinsics[frame].T
        pixel = pixel[:, :2] / pixel[:, 2:]
        flipped = np.stack([part.uv[:, 0], 1 - part.uv[:, 1]], 1)
        np.testing.assert_allclose(flipped * capture.size, pixel, atol=0.01)


def test_two_equal_frames_give_one_surface(capture: Capture, exact: Refined) -> None:
    from dataclasses import replace

    def doubled(order: list[int]) -> tuple[Capture, Refined]:
        fields = {k: getattr(capture, k)[order] for k in ("rgb", "depth", "intrinsics", "pose")}
        made = replace(capture, **fields, names=tuple(map(str, range(len(order)))))
        return made, Refined(made.depth, np.ones_like(made.depth))

    once = sum(len(p.faces) for p in textured_surface(*doubled([0])))
    twice = sum(len(p.faces) for p in textured_surface(*doubled([0, 0])))
    assert once > 1000
    assert twice < 1.06 * once


def test_an_edge_is_not_bridged(capture: Capture, exact: Refined) -> None:
    """No triangle spans from the lamp's box to the wall behind it."""
    for part in textured_surface(capture, exact):
        corners = part.vertices[part.faces]
        sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).max(1)
        assert sides.max() < 0.5
