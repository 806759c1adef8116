"""Occupancy coarse to fine equals the fine grid, and meshes of solids are closed and outward."""

from __future__ import annotations

import numpy as np
import trimesh

from g2vlm.inference.surface import FreeSpace, bounds_of, mesh_of, occupancy_grid
from tests.inference.synthetic import BOXES, views

LOW, HIGH = np.array([-1.0, -1.0, -1.0]), np.array([1.0, 1.0, 1.0])


def ball(xyz: np.ndarray) -> np.ndarray:
    """Logits of a ball of radius 0.6 m, steep at its surface."""
    return (0.6 - np.linalg.norm(xyz, axis=1)) * 20


def test_coarse_to_fine_equals_asking_everywhere_with_fewer_questions() -> None:
    asked = []

    def counted(xyz: np.ndarray) -> np.ndarray:
        asked.append(len(xyz))
        return ball(xyz)

    fine = occupancy_grid(ball, LOW, HIGH, 0.0, voxel=0.05, levels=0)
    grid = occupancy_grid(counted, LOW, HIGH, 0.0, voxel=0.05, levels=2)
    assert (grid.solid == fine.solid).all()
    assert sum(asked) < 0.6 * fine.logits.size


def test_mesh_is_closed_outward_and_of_the_right_volume() -> None:
    grid = occupancy_grid(ball, LOW, HIGH, 0.0, voxel=0.05, levels=1)
    mesh = mesh_of(grid, np.array([[0.6, 0, 0], [-0.6, 0, 0]]), np.array([[9, 0, 0], [0, 9, 0]]))
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True)
    assert solid.is_watertight
    assert abs(solid.volume / (4 / 3 * np.pi * 0.6**3) - 1) < 0.03
    right = mesh.vertices[:, 0] > 0.05
    assert (mesh.colours[right] == [9, 0, 0]).all()


def test_solids_at_the_border_are_closed_and_an_empty_field_gives_no_face() -> None:
    everything = occupancy_grid(lambda x: np.full(len(x), 5.0), LOW, HIGH, 0.0, 0.2, 0)
    nowhere = np.zeros((0, 3))
    mesh = mesh_of(everything, nowhere, nowhere.astype("u1"))
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True)
    assert solid.is_watertight and abs(solid.volume - 8) < 0.4
    empty = occupancy_grid(lambda x: np.full(len(x), -5.0), LOW, HIGH, 0.0, 0.2, 0)
    assert len(mesh_of(empty, nowhere, nowhere.astype("u1")).faces) == 0


def test_free_space_is_hardly_ever_inside_a_box() -> None:
    true, intrinsics, pose = views()
    free = FreeSpace(true.depth[:, 2::4, 2::4], intrinsics, pose)
    random = np.random.default_rng(0)
    for box in BOXES:
        inside = random.uniform(-0.5, 0.5, (200, 3)) * box[3:] + box[:3]
        assert free.contains(inside, 0.02).mean() < 0.02
    assert free.contains(np.array([[1.0, 0.0, 1.3]]), 0.1).all()
    behind = np.array([[1.0, 0.0, -0.5], [9.0, 0.0, 1.0]])
    assert not free.contains(behind, 0.0).any()


def test_bounds_ignore_strays_and_stay_sane() -> None:
    points = np.random.default_rng(0).uniform(0, 2, (5000, 3))
    points[0] = [500, 0, 0]
    points[1] = np.nan
    low, high = bounds_of(points)
    assert (low > -0.4).all() and (high < 2.4).all()
    low, high = bounds_of(np.zeros((0, 3)))
    assert (high > low).all()
    low, high = bounds_of(np.full((10, 3), 1e6))
    assert (high > low).all() and (high <= 12.0).all()
