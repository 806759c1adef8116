"""Coarse-to-fine occupancy equals the fine grid; meshes are closed with outward normals."""

from __future__ import annotations

from functools import partial

import numpy as np
import trimesh

from g2vlm.inference.surface import Region, is_free, mesh_of, occupancy_grid, region_of
from tests.g2vlm.inference.synthetic import BOXES, views

CUBE = Region(np.array([-1.0, -1.0, -1.0]), np.array([1.0, 1.0, 1.0]), 0.0)


def ball(xyz: np.ndarray) -> np.ndarray:
    """Logits of a ball of radius 0.6 m, steep at its surface."""
    return (0.6 - np.linalg.norm(xyz, axis=1)) * 20


def test_coarse_to_fine_equals_the_fine_grid_with_fewer_queries() -> None:
    counts = []

    def counted(xyz: np.ndarray) -> np.ndarray:
        counts.append(len(xyz))
        return ball(xyz)

    fine = occupancy_grid(ball, CUBE, 0.0, voxel=0.05, levels=0)
    grid = occupancy_grid(counted, CUBE, 0.0, voxel=0.05, levels=2)
    assert (grid.solid == fine.solid).all()
    assert sum(counts) < 0.6 * fine.logits.size


def test_mesh_is_closed_outward_and_of_the_right_volume() -> None:
    grid = occupancy_grid(ball, CUBE, 0.0, voxel=0.05, levels=1)
    mesh = mesh_of(grid, np.array([[0.6, 0, 0], [-0.6, 0, 0]]), np.array([[9, 0, 0], [0, 9, 0]]))
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True)
    assert solid.is_watertight
    assert abs(solid.volume / (4 / 3 * np.pi * 0.6**3) - 1) < 0.03
    right = mesh.vertices[:, 0] > 0.05
    assert (mesh.colours[right] == [9, 0, 0]).all()


def test_meshes_are_closed_at_the_border_and_empty_without_solids() -> None:
    everything = occupancy_grid(lambda x: np.full(len(x), 5.0), CUBE, 0.0, 0.2, 0)
    nowhere = np.zeros((0, 3))
    mesh = mesh_of(everything, nowhere, nowhere.astype("u1"))
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True)
    assert solid.is_watertight and abs(solid.volume - 8) < 0.4
    empty = occupancy_grid(lambda x: np.full(len(x), -5.0), CUBE, 0.0, 0.2, 0)
    assert len(mesh_of(empty, nowhere, nowhere.astype("u1")).faces) == 0


def test_free_space_is_hardly_ever_inside_a_box() -> None:
    true, intrinsics, pose = views()
    free = partial(is_free, true.depth[:, 2::4, 2::4], intrinsics, pose)
    random = np.random.default_rng(0)
    for box in BOXES:
        inside = random.uniform(-0.5, 0.5, (200, 3)) * box[3:] + box[:3]
        assert free(inside, 0.02).mean() < 0.02
    assert free(np.array([[1.0, 0.0, 1.3]]), 0.1).all()
    behind = np.array([[1.0, 0.0, -0.5], [9.0, 0.0, 1.0]])
    assert not free(behind, 0.0).any()


def test_region_turns_with_the_room_and_ignores_strays() -> None:
    random = np.random.default_rng(0)
    angle = np.radians(25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    flat = random.uniform([0, 0], [4, 3], (20000, 2))
    points = np.column_stack([flat @ turn.T, random.uniform(0, 2.5, 20000)])
    points[0], points[1] = [500, 0, 0], np.nan
    region = region_of(points)
    assert abs(np.degrees(region.angle) - 25) < 2.5
    assert (region.high - region.low)[:2].prod() < 14
    assert region.contains(points[2:]).mean() > 0.99
    low, high = region.corners()
    assert ((points[2:] >= low) & (points[2:] <= high)).all(1).mean() > 0.99
    outside = np.array([[0.2, 2.9]]) @ turn.T + [[0, 0]]
    assert not region.contains(np.column_stack([outside - [1.5, 0], [1.0]])).any()


def test_region_stays_sane_without_good_points() -> None:
    for points in (np.zeros((0, 3)), np.full((10, 3), 1e6), np.full((10, 3), 2.0)):
        low, high = region_of(points).corners()
        assert (high > low).all() and (high <= 12.5).all()


def test_cells_with_surface_points_are_always_refined() -> None:
    def speck(xyz: np.ndarray) -> np.ndarray:
        return np.where(np.linalg.norm(xyz - 0.625, axis=1) < 0.1, 5.0, -9.0)

    blind = occupancy_grid(speck, CUBE, 0.0, voxel=0.05, levels=3)
    refined = occupancy_grid(speck, CUBE, 0.0, 0.05, 3, surface=np.array([[0.62, 0.62, 0.62]]))
    assert not blind.solid.any() and refined.solid.any()
