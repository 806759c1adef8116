"""True occupancy on the grid, and the points that cover triangles."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from g2vlm.scenes.render.occupancy import room_occupancy, surface_points

SIGNS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
QUADS = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]


def _box(low, high, without: int | None = None) -> np.ndarray:
    corners = np.array(low) + SIGNS * (np.array(high) - np.array(low))
    quads = [q for k, q in enumerate(QUADS) if k != without]
    triangles = [[q[0], q[1], q[2]] for q in quads] + [[q[0], q[2], q[3]] for q in quads]
    return corners[np.array(triangles)].astype(np.float32)


ROOM = np.array([2.0, 2.0, 2.0])


def test_a_closed_shell_is_solid():
    grid = room_occupancy([_box([0.41, 0.41, 0.41], [0.99, 0.99, 0.99])], ROOM)
    assert grid.shape == (50, 50, 50)
    assert grid[10:25, 10:25, 10:25].all() and grid.sum() == 15**3


def test_a_box_without_its_lid_is_hollow():
    grid = room_occupancy([_box([0.41, 0.41, 0.41], [0.99, 0.99, 0.99], without=5)], ROOM)
    assert not grid[12:23, 12:23, 12:25].any()
    assert grid[10, 10:25, 10:25].all() and grid[10:25, 10:25, 10].all()


def test_two_objects_are_solid_and_the_gap_between_them_free():
    boxes = [_box([0.2, 0.2, 0.0], [0.6, 0.6, 0.5]), _box([1.2, 0.2, 0.0], [1.6, 0.6, 0.5])]
    grid = room_occupancy(boxes, ROOM)
    assert grid[10, 10, 5] and grid[35, 10, 5] and not grid[22].any()


def test_an_object_at_the_far_wall_stays_inside_the_grid():
    grid = room_occupancy([_box([1.9, 1.9, 1.9], [2.0, 2.0, 2.0])], ROOM)
    assert grid[-1, -1, -1]


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float32, (3, 3), elements=st.floats(-1, 1, width=32)),
    st.floats(0.05, 0.5),
    st.integers(0, 1000),
)
def test_every_point_of_a_triangle_is_near_a_sample(triangle, spacing, seed):
    samples = surface_points(triangle[None], spacing)
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(3), 50)
    points = weights @ triangle
    gaps = np.linalg.norm(points[:, None] - samples[None], axis=2).min(axis=1)
    assert gaps.max() <= spacing * 1.001 + 1e-5
