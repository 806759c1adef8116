"""Points inside meshes against the solid angles of all triangles, summed."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import marching_cubes

from metrics.reconstruction import winding
from metrics.reconstruction.winding import is_closed, winds_around
from tests.metrics import toy_truth

Mesh = tuple[np.ndarray, np.ndarray]


def winding_numbers(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Generalized winding numbers f64 [N] by the solid angles of van Oosterom and Strackee 1983."""
    total = np.zeros(len(points))
    for face in vertices[faces]:
        a, b, c = (corner - points for corner in face)
        la, lb, lc = (np.linalg.norm(side, axis=1) for side in (a, b, c))
        volume = (a * np.cross(b, c)).sum(1)
        ab, bc, ca = ((s * t).sum(1) for s, t in ((a, b), (b, c), (c, a)))
        total += 2 * np.arctan2(volume, la * lb * lc + ab * lc + bc * la + ca * lb)
    return total / (4 * np.pi)


def tetrahedra(generator: np.random.Generator, count: int) -> Mesh:
    """Random tetrahedra that overlap; some of them are turned inside out."""
    vertices = generator.uniform(-1, 1, (4 * count, 3))
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
    return vertices, (faces + 4 * np.arange(count)[:, None, None]).reshape(-1, 3)


def surface_of_field(generator: np.random.Generator) -> Mesh:
    """Marching cubes of random numbers: many parts, handles and tiny triangles, all closed."""
    field = np.pad(generator.normal(size=(5, 5, 5)), 1, constant_values=-1)
    vertices, faces, _, _ = marching_cubes(field, 0.0, gradient_direction="ascent")
    return vertices.astype(float) / 3 - 1, faces.astype(np.int64)


def voxels(generator: np.random.Generator) -> Mesh:
    """The sides of random voxels, whose edges can have four faces, on the planes of a grid."""
    solid = generator.random((4, 4, 4)) < 0.4
    boxes = [trimesh.creation.box(bounds=[cell, cell + 1]) for cell in np.argwhere(solid)]
    mesh = trimesh.util.concatenate(boxes)
    return np.asarray(mesh.vertices, float) / 2 - 1, np.asarray(mesh.faces, np.int64)


def nested(generator: np.random.Generator) -> Mesh:
    """A ball in a hollow ball in a ball, one of them through the others' sides."""
    ball = trimesh.creation.icosphere(subdivisions=1)
    parts = [
        (ball.vertices * radius + shift, ball.faces[:, ::turn])
        for radius, shift, turn in ((1.0, 0, 1), (0.7, 0.1, -1), (0.4, 0, 1), (0.5, 0.8, 1))
    ]
    return toy_truth.joined(parts)


SHAPES = (tetrahedra, surface_of_field, voxels, nested)


def make(shape, generator: np.random.Generator) -> Mesh:
    mesh = shape(generator, 12) if shape is tetrahedra else shape(generator)
    return np.asarray(mesh[0], float), np.asarray(mesh[1], np.int64)


def no_libigl(*_: object) -> None:
    raise AssertionError("libigl was called")


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_closed_meshes_agree_with_solid_angles(shape, seed):
    generator = np.random.default_rng(seed)
    vertices, faces = make(shape, generator)
    points = generator.uniform(-1.2, 1.2, (300, 3))
    wanted = winding_numbers(points, vertices, faces)
    assert np.abs(wanted - wanted.round()).max() < 1e-6
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("igl.fast_winding_number", no_libigl)
        assert np.array_equal(winds_around(points, vertices, faces), wanted > 0.5)
        # The same surface as triangles that share no vertex.
        soup = vertices[faces.reshape(-1)], np.arange(faces.size).reshape(-1, 3)
        assert np.array_equal(winds_around(points, *soup), wanted > 0.5)


@pytest.mark.parametrize("ray", winding._RAYS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_crossings_are_winding_numbers(ray, seed):
    generator = np.random.default_rng(seed)
    vertices, faces = tetrahedra(generator, 12)
    points = generator.uniform(-1.2, 1.2, (300, 3))
    number, certain = winding._crossings(points, vertices, faces, ray)
    assert certain.all()
    assert np.array_equal(number, winding_numbers(points, vertices, faces).round())


def test_points_of_the_grid_of_a_mesh_are_decided_without_libigl(monkeypatch):
    monkeypatch.setattr("igl.fast_winding_number", no_libigl)
    vertices, faces = voxels(np.random.default_rng(0))
    places = np.arange(-1.25, 1.5, 0.5)  # centres of voxels, in line with vertices and diagonals
    points = np.stack(np.meshgrid(places, places, places), -1).reshape(-1, 3)
    wanted = winding_numbers(points, vertices, faces) > 0.5
    assert wanted.any() and np.array_equal(winds_around(points, vertices, faces), wanted)


def test_a_ray_through_edges_and_vertices_is_not_certain():
    vertices, faces = toy_truth.box_mesh(np.array([0, 0, 0, 2, 2, 2]))
    inside = np.array([[0, 0, 0], [0.5, 0.2, 0], [1.5, 0, 0], [0, 0, -1.5], [0.3, -0.4, -5]])
    number, certain = winding._crossings(inside, vertices, np.asarray(faces), (0.0, 0.0))
    # The first and the fourth are below the middle of a side, which a diagonal crosses.
    assert certain.tolist() == [False, True, True, False, True]
    assert number[certain].tolist() == [1, 0, 0]
    below_corner = np.array([[1.0, 1.0, -3.0], [1.0, 0.3, -3.0], [1.0, 1.0, 3.0]])
    _, certain = winding._crossings(below_corner, vertices, np.asarray(faces), (0.0, 0.0))
    assert certain.tolist() == [False, False, True]


def test_points_on_the_surface_are_left_to_libigl(monkeypatch):
    asked = []

    def number(_vertices, _faces, points):
        asked.append(points)
        return np.ones(len(points))

    monkeypatch.setattr("igl.fast_winding_number", number)
    vertices, faces = make(surface_of_field, np.random.default_rng(1))
    on_surface = vertices[faces[5:9]].mean(axis=1)
    points = np.concatenate([vertices[:3], on_surface, [[0.01, 0.02, 0.03]]])
    inside = winds_around(points, vertices, faces)
    assert np.array_equal(np.concatenate(asked)[:3], vertices[:3])
    assert len(asked[0]) < len(points) and inside[:3].all()


@pytest.mark.parametrize("shape", SHAPES)
def test_open_meshes_get_libigl(shape):
    import igl

    generator = np.random.default_rng(3)
    vertices, faces = make(shape, generator)
    faces = faces[generator.random(len(faces)) < 0.8]
    points = generator.uniform(-1, 1, (500, 3))
    assert not is_closed(faces)
    wanted = np.asarray(igl.fast_winding_number(vertices, faces, points)) > 0.5
    assert np.array_equal(winds_around(points, vertices, faces), wanted)


def test_large_and_small_coordinates_agree():
    generator = np.random.default_rng(5)
    vertices, faces = make(surface_of_field, generator)
    points = generator.uniform(-1, 1, (2000, 3))
    wanted = winds_around(points, vertices, faces)
    assert wanted.any() and not wanted.all()
    # Powers of two change no digit; the shift does, by less than the distance to the surface.
    for scale, shift in ((2.0**-20, 0.0), (2.0**20, 0.0), (1.0, 1000.0)):
        moved = winds_around(points * scale + shift, vertices * scale + shift, faces)
        assert np.array_equal(moved, wanted)


def test_blocks_do_not_change_the_result(monkeypatch):
    generator = np.random.default_rng(6)
    vertices, faces = tetrahedra(generator, 40)
    points = generator.uniform(-1, 1, (2000, 3))
    wanted = winds_around(points, vertices, faces)
    for block in (1, 50, 10**9):
        monkeypatch.setattr(winding, "_BLOCK", block)
        some = slice(None, 60 if block == 1 else None)
        assert np.array_equal(winds_around(points[some], vertices, faces), wanted[some])


def test_flat_and_repeated_triangles_count_nothing():
    vertices, faces = tetrahedra(np.random.default_rng(7), 1)
    flat = np.array([[0, 0, 1], [1, 2, 2], [3, 3, 3], [0, 1, 2], [2, 1, 0]])
    points = np.random.default_rng(8).uniform(-1, 1, (500, 3))
    wanted = winds_around(points, vertices, faces)
    assert np.array_equal(winds_around(points, vertices, np.vstack([faces, flat])), wanted)
    assert not winds_around(points, vertices, flat).any()


def test_one_point_and_points_in_a_plane():
    vertices, faces = toy_truth.box_mesh(np.array([0, 0, 0, 2, 2, 2]))
    vertices, faces = np.asarray(vertices, float), np.asarray(faces, np.int64)
    assert winds_around(np.zeros((1, 3)), vertices, faces).tolist() == [True]
    places = np.linspace(-1.5, 1.5, 7)
    line = np.stack([places, np.full(7, 0.1), np.full(7, 0.2)], axis=1)
    assert np.array_equal(winds_around(line, vertices, faces), np.abs(places) < 1)
