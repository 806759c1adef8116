"""Occupancy, meshes, voxels and held-out views on shapes whose answer is known."""

from __future__ import annotations

import time

import numpy as np
import pytest

from metrics.reconstruction.occupancy import (
    grid_occupancy,
    mesh_contains,
    occupancy_iou,
    room_box,
    room_from_corners,
)
from metrics.reconstruction.pointcloud import Cloud
from metrics.reconstruction.rendering import (
    depth_absrel,
    depth_delta,
    mesh_depth,
    point_depth,
    point_radii,
)
from metrics.reconstruction.voxels import grid_around, known_voxels, voxel_iou, voxelise
from metrics.truth import Truth
from tests.metrics import toy_truth


def turned_corners(yaw: float) -> np.ndarray:
    corners, _ = toy_truth.box_mesh(toy_truth.room_box())
    c, s = np.cos(yaw), np.sin(yaw)
    return corners @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]])


@pytest.mark.parametrize("yaw", [0.0, 0.4, np.pi / 2, 2.5])
def test_room_from_corners_in_any_order(yaw):
    corners = turned_corners(yaw)
    room = room_from_corners(np.random.default_rng(0).permutation(corners))
    assert sorted(room.half * 2) == pytest.approx(sorted(toy_truth.SIZE))
    vertices, faces = room_box(room, 0.0)
    assert np.abs(vertices[:, None] - corners[None]).sum(-1).min(1).max() < 1e-3
    volume = np.einsum("ij,ij->i", vertices[faces[:, 0]], np.cross(*_edges(vertices, faces)))
    assert volume.sum() / 6 == pytest.approx(np.prod(toy_truth.SIZE), rel=1e-3)


def _edges(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return vertices[faces[:, 1]], vertices[faces[:, 2]]


def test_occupancy_iou_leaves_void_out():
    truth = np.array([1, 1, 0, 0, 2, 2], np.uint8)
    predicted = np.array([True, False, True, False, True, False])
    assert occupancy_iou(predicted, truth) == pytest.approx(1 / 3)
    assert occupancy_iou(np.zeros(6, bool), truth) == 0
    assert occupancy_iou(np.zeros(2, bool), np.zeros(2, np.uint8)) == 1


def test_grid_is_free_outside_and_indexed_from_its_corner():
    grid = np.zeros((2, 2, 2), bool)
    grid[1, 0, 0] = True
    points = np.array([[1.15, 1.05, 1.05], [1.05, 1.05, 1.05], [5, 5, 5], [0.95, 1.05, 1.05]])
    assert grid_occupancy(points, grid, np.ones(3), 0.1).tolist() == [True, False, False, False]


def test_solid_and_free_boundary_meshes_of_one_room_agree(truth_dir):
    true = Truth(truth_dir).geometry("toy-0000")
    room = room_from_corners(true.room_corners)
    solids = toy_truth.joined([toy_truth.box_mesh(box) for _, box in toy_truth.BOXES[:2]])
    walls, inward = toy_truth.box_mesh(toy_truth.room_box())
    free = toy_truth.joined([(walls, inward[:, ::-1]), solids])
    points = true.occupancy_points
    first = mesh_contains(points, *solids, "solids", room)
    second = mesh_contains(points, *free, "free_boundary", room)
    assert first.any() and np.array_equal(first, second)
    box = np.array(toy_truth.BOXES[0][1])
    inside = (np.abs(points - box[:3]) < box[3:] / 2).all(axis=1)
    assert first[inside].all()
    assert not mesh_contains(points, *free, "solids", room).any()


def volume_inside(mesh: tuple[np.ndarray, np.ndarray], kind: str) -> float:
    """Volume in m3 of what a mesh makes solid of a room, by 100,000 points of the room."""
    room = room_from_corners(turned_corners(0.0))
    generator = np.random.default_rng(0)
    points = room.centre + generator.uniform(-1, 1, (100_000, 3)) * room.half @ room.axes
    return mesh_contains(points, *mesh, kind, room).mean() * np.prod(toy_truth.SIZE)


def test_closed_solids_have_their_volume():
    trimesh = pytest.importorskip("trimesh")
    balls = []
    for centre, radius in (([1, 0, 0.5], 0.4), ([2.5, 0.6, 1.5], 0.5), ([3, -1, 0.3], 0.25)):
        ball = trimesh.creation.icosphere(subdivisions=4, radius=radius)
        balls.append((ball.vertices + centre, ball.faces))
    wanted = sum(4 / 3 * np.pi * radius**3 for radius in (0.4, 0.5, 0.25))
    assert volume_inside(toy_truth.joined(balls), "solids") == pytest.approx(wanted, rel=0.03)


def test_the_solids_of_a_fused_shell_have_the_volume_of_the_furniture():
    measure = pytest.importorskip("skimage.measure")
    side, size = 0.05, np.array(toy_truth.SIZE)
    low = toy_truth.room_box()[:3] - size / 2
    places = [(np.arange(-4, round(length / side) + 4) + 0.5) * side for length in size]
    grid = low + np.stack(np.meshgrid(*places, indexing="ij"), -1)
    # Signed distance to the nearest surface, positive in free space: walls, bed and table.
    distance = (size / 2 - np.abs(grid - low - size / 2)).min(axis=-1)
    for _, box in toy_truth.BOXES[:2]:
        gap = (np.abs(grid - np.array(box[:3])) - np.array(box[3:]) / 2).max(axis=-1)
        distance = np.minimum(distance, gap)
    vertices, faces, _, _ = measure.marching_cubes(distance, 0.0, spacing=(side,) * 3)
    vertices = vertices + grid[0, 0, 0]
    enclosed = np.einsum("ij,ij->i", vertices[faces[:, 0]], np.cross(*_edges(vertices, faces)))
    if enclosed.sum() > 0:  # normals must point into the free space, the inside
        faces = faces[:, ::-1]
    wanted = sum(np.prod(box[3:]) for _, box in toy_truth.BOXES[:2])
    found = volume_inside((vertices, faces), "free_boundary")
    assert found == pytest.approx(wanted, rel=0.05)
    # Without the outer box the room's own inside is what winds, the wrong way round.
    assert volume_inside((vertices, faces), "solids") == 0


def test_empty_mesh_contains_nothing(truth_dir):
    true = Truth(truth_dir).geometry("toy-0000")
    room = room_from_corners(true.room_corners)
    nothing = np.zeros((0, 3))
    inside = mesh_contains(true.occupancy_points, nothing, nothing.astype(int), "solids", room)
    assert not inside.any()


def test_known_voxels_lie_between_camera_and_surface():
    matrix, pose = toy_truth.cameras(1, 0.0)
    pose[0, :3, 3] = [0, 0, 1.4]
    depth = np.full((1, *toy_truth.SHAPE), 1.0, np.float32)
    grid = grid_around(turned_corners(0.0), 0.1)
    known = known_voxels(depth, matrix, pose, grid)
    forward = pose[0, :3, 2]
    for distance, seen in ((0.0, True), (0.5, True), (0.98, True), (1.2, False), (-0.3, False)):
        voxel = voxelise((pose[0, :3, 3] + distance * forward)[None], grid)
        assert known[voxel].item() == seen


def test_voxel_iou_counts_known_voxels_alone():
    truth, mine, known = (np.zeros((1, 1, 4), bool) for _ in range(3))
    truth[0, 0, :2], mine[0, 0, 1:], known[0, 0, :3] = True, True, True
    assert voxel_iou(mine, truth, known) == pytest.approx(1 / 3)
    assert voxel_iou(np.zeros_like(mine), truth, known) == 0


def test_mesh_and_points_render_the_same_wall():
    vertices = np.array([[2, -9, -9], [2, 9, -9], [2, 9, 9], [2, -9, 9]], float)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    matrix, pose = toy_truth.cameras(1, 0.0)
    pose[0, :3, :3] = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    pose[0, :3, 3] = 0
    exact = mesh_depth(vertices, faces, toy_truth.SHAPE, matrix, pose)
    assert np.allclose(exact, 2.0, atol=1e-5)
    side = np.linspace(-2, 2, 81)
    wall = np.stack([np.full(81 * 81, 2.0), *(g.ravel() for g in np.meshgrid(side, side))], 1)
    drawn = point_depth(
        wall.astype(np.float32), point_radii(Cloud(wall)), toy_truth.SHAPE, matrix, pose
    )
    assert np.allclose(drawn, 2.0, atol=1e-5)
    assert mesh_depth(vertices, faces[:0], toy_truth.SHAPE, matrix, pose).max() == 0


def test_a_pile_of_equal_faces_renders_as_one(monkeypatch):
    generator = np.random.default_rng(0)
    vertices = generator.uniform([1, -2, -2], [4, 2, 2], (60, 3)).astype(np.float32)
    faces = generator.integers(0, 60, (40, 3))
    matrix, pose = toy_truth.cameras(1, 0.0)
    pose[0, :3, :3] = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    pose[0, :3, 3] = 0
    once = mesh_depth(vertices, faces, toy_truth.SHAPE, matrix, pose)
    assert once.any()
    # The copies have vertices of their own.
    piled = np.concatenate([vertices] * 2500), np.concatenate([faces + 60 * k for k in range(2500)])
    for most in (100_000, 99_999):
        monkeypatch.setattr("metrics.reconstruction.rendering._MANY_FACES", most)
        assert np.array_equal(mesh_depth(*piled, toy_truth.SHAPE, matrix, pose), once)
    start = time.process_time()
    mesh_depth(piled[0], np.tile(piled[1], (10, 1)), toy_truth.SHAPE, matrix, pose)
    assert time.process_time() - start < 10


def test_nearer_points_hide_farther_ones_and_those_behind_do_not_show():
    matrix, pose = toy_truth.cameras(1, 0.0)
    pose[0, :3, :3], pose[0, :3, 3] = np.eye(3), 0
    points = np.array([[0, 0, 1.0], [0, 0, 3.0], [0, 0, -1.0]], np.float32)
    drawn = point_depth(points, np.full(3, 0.01), toy_truth.SHAPE, matrix, pose)
    assert sorted(set(drawn.ravel().tolist())) == [0.0, 1.0]


def test_the_nearest_square_of_a_pixel_counts():
    generator = np.random.default_rng(3)
    matrix, pose = toy_truth.cameras(1, 0.0)
    pose[0, :3, :3], pose[0, :3, 3] = np.eye(3), 0
    height, width = toy_truth.SHAPE
    points = (generator.uniform([-2, -2, 0.3], [2, 2, 4], (400, 3))).astype(np.float32)
    radii = generator.uniform(0, 0.2, 400).astype(np.float32)
    expected = np.full((height, width), np.inf, np.float32)
    for (x, y, z), radius in zip(points, radii, strict=True):
        column = int(np.floor(x / z * matrix[0, 0, 0] + matrix[0, 0, 2]))
        row = int(np.floor(y / z * matrix[0, 1, 1] + matrix[0, 1, 2]))
        if not (-12 <= row < height + 12 and -12 <= column < width + 12):
            continue
        half = min(int(np.round(radius / z * matrix[0, 0, 0])), 12)
        square = expected[max(row - half, 0) : row + half + 1, max(column - half, 0) :]
        square = square[:, : max(column + half + 1 - max(column - half, 0), 0)]
        if row + half >= 0:
            square[:] = np.minimum(square, z)
    drawn = point_depth(points, radii, toy_truth.SHAPE, matrix, pose)[0]
    assert len(np.unique(drawn)) > 20
    assert np.array_equal(drawn, np.where(np.isfinite(expected), expected, 0))


def test_depth_errors_by_hand():
    truth = np.array([2.0, 2.0, 2.0, 0.0])
    predicted = np.array([2.2, 0.0, 9.0, 1.0])
    assert depth_absrel(predicted, truth) == pytest.approx((0.1 + 1 + 1) / 3)
    assert depth_delta(predicted, truth) == pytest.approx(1 / 3)
    assert depth_absrel(predicted, np.zeros(4)) is None
