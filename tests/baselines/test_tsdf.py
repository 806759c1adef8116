"""Fusion against rooms whose surface is known in closed form."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from baselines.tsdf_fusion.fusion import Surfels, Volume, fit_surfels, fuse
from baselines.tsdf_fusion.method import fuse_scene, load_settings
from baselines.tsdf_fusion.surface import (
    carve,
    drop_unsupported,
    extract_mesh,
    sample_mesh,
    solid_mesh,
    view_support,
)
from baselines.tsdf_fusion.tune import SMALLEST_VOXEL
from metrics.files import InputError, read_json
from metrics.geometry import lift_depth, to_frame
from metrics.reconstruction.occupancy import grid_occupancy, mesh_contains, room_from_corners
from tests.baselines.toy import render, truth_of


@pytest.fixture(scope="module")
def room() -> dict[str, np.ndarray]:
    return render(0, 96, 72)


@pytest.fixture(scope="module")
def truth(room: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return truth_of(room, 0, 40000)


@pytest.fixture(scope="module")
def noisy(room: dict[str, np.ndarray]) -> np.ndarray:
    depth = room["depth"][:4]
    noise = np.random.default_rng(1).normal(size=depth.shape).astype(np.float32)
    return depth + 0.004 * noise * depth**2


@pytest.fixture(scope="module")
def surfels(room: dict[str, np.ndarray], noisy: np.ndarray) -> Surfels:
    return fit_surfels(noisy, room["intrinsics"][:4], room["pose"][:4], load_settings())


@pytest.fixture(scope="module")
def volume(room: dict[str, np.ndarray], surfels: Surfels) -> Volume:
    return fuse(surfels, room["intrinsics"][:4], room["pose"][:4], load_settings())


def test_lifting_inverts_projection(room: dict[str, np.ndarray]) -> None:
    lifted = to_frame(lift_depth(room["depth"], room["intrinsics"]), room["pose"])
    view, row, column = 2, 17, 40
    local = np.linalg.inv(room["pose"][view].astype(float)) @ [*lifted[view, row, column], 1]
    image = room["intrinsics"][view] @ local[:3]
    np.testing.assert_allclose(image[:2] / image[2], [column + 0.5, row + 0.5], atol=1e-3)
    assert local[2] == pytest.approx(room["depth"][view, row, column], abs=1e-5)


def test_surfels_are_exact_on_noiseless_planes(room: dict[str, np.ndarray]) -> None:
    surfels = fit_surfels(
        room["depth"][:4], room["intrinsics"][:4], room["pose"][:4], load_settings()
    )
    kept = surfels.depth > 0
    assert kept.mean() > 0.6
    rotated = np.einsum("vij,vhwj->vhwi", room["pose"][:4, :3, :3], surfels.normal)
    agreement = (rotated * room["normal"][:4] / 127.0).sum(-1)[kept]
    assert np.median(agreement) > 0.995  # truth is quantised to 1/127
    assert np.median(np.abs(surfels.depth - room["depth"][:4])[kept]) < 1e-4


def test_plane_fits_remove_most_of_the_noise(
    room: dict[str, np.ndarray], noisy: np.ndarray, surfels: Surfels
) -> None:
    kept = surfels.depth > 0
    before = np.abs(noisy - room["depth"][:4])[kept].mean()
    after = np.abs(surfels.depth - room["depth"][:4])[kept].mean()
    assert after < 0.5 * before


def test_mesh_lies_on_the_surface_with_normals_into_free_space(
    volume: Volume, truth: dict[str, np.ndarray], surfels: Surfels, room: dict[str, np.ndarray]
) -> None:
    vertices, faces = extract_mesh(volume)
    colours, supported = view_support(
        vertices, room["rgb"][:4], surfels, room["intrinsics"][:4], room["pose"][:4], 0.08
    )
    vertices, faces, colours = drop_unsupported(vertices, faces, colours, supported)
    assert faces.max() == len(vertices) - 1
    corners = vertices[faces].astype(float)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    distance, nearest = cKDTree(truth["surface"]).query(corners.mean(1))
    assert (distance < 0.05).mean() > 0.95
    assert ((normal * truth["surface_normal"][nearest]).sum(1) > 0).mean() > 0.97
    painted = np.abs(colours.astype(int) - truth["surface_colour"][
        cKDTree(truth["surface"]).query(vertices)[1]]).max(1)  # fmt: skip
    assert (painted < 30).mean() > 0.9


def test_seams_between_views_are_dropped() -> None:
    vertices = np.eye(4, 3, dtype=np.float32)
    faces = np.array([[0, 1, 2], [1, 2, 3]], np.int32)
    colours = np.arange(12, dtype=np.uint8).reshape(4, 3)
    kept, left, paint = drop_unsupported(
        vertices, faces, colours, np.array([False, True, True, True])
    )
    np.testing.assert_array_equal(left, [[0, 1, 2]])
    np.testing.assert_array_equal(kept, vertices[1:])
    np.testing.assert_array_equal(paint, colours[1:])


def test_solids_lie_behind_surfaces_and_never_in_the_floor(
    room: dict[str, np.ndarray], truth: dict[str, np.ndarray], surfels: Surfels
) -> None:
    settings = load_settings()
    solid, corner = carve(surfels, room["intrinsics"][:4], room["pose"][:4], settings)
    height = corner[2] + (np.arange(solid.shape[2]) + 0.5) * settings.solid_voxel
    assert not solid[:, :, height <= settings.floor].any()
    mine = grid_occupancy(truth["occupancy_points"], solid, corner, settings.solid_voxel)
    true = truth["occupancy"] == 1
    assert (mine & true).sum() / true.sum() > 0.7
    assert (mine & ~true).sum() / (~true).sum() < 0.12


def test_carving_agrees_with_a_cell_by_cell_vote(
    room: dict[str, np.ndarray], surfels: Surfels
) -> None:
    settings = load_settings()
    solid, corner = carve(surfels, room["intrinsics"][:4], room["pose"][:4], settings)
    generator = np.random.default_rng(0)
    for cell in generator.integers(0, solid.shape, (300, 3)):
        centre = corner + (cell + 0.5) * settings.solid_voxel
        votes = 0
        for view in range(4):
            local = room["pose"][view, :3, :3].T @ (centre - room["pose"][view, :3, 3])
            column, row = (room["intrinsics"][view] @ local)[:2] / local[2]
            if local[2] > 0.05 and 0 <= column < 96 and 0 <= row < 72:
                depth = surfels.depth[view, int(row), int(column)]
                behind = local[2] - depth
                if depth > 0:
                    votes += settings.skin < behind < settings.thickness
                    votes -= behind < 0
        assert solid[tuple(cell)] == (votes > 0 and centre[2] > settings.floor)


def test_a_scene_without_depth_is_named(room: dict[str, np.ndarray]) -> None:
    empty = SimpleNamespace(
        scene="val-0000",
        depth=np.zeros((4, 72, 96), np.float32),
        intrinsics=room["intrinsics"][:4],
        pose=room["pose"][:4],
    )
    with pytest.raises(InputError, match="scene val-0000: no view .*; render the split again"):
        fuse_scene(empty, load_settings())


def test_samples_are_uniform_by_area_and_have_the_colours_of_their_faces() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 0, 0], [8, 0, 0], [5, 1, 0]], float)
    colours = np.repeat([[10, 20, 30], [200, 100, 50]], 3, axis=0).astype(np.uint8)
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    points, paint = sample_mesh(vertices, faces, colours, 1000, np.random.default_rng(0))
    second = points[:, 0] >= 5
    assert second.mean() == pytest.approx(0.75, abs=0.01)
    np.testing.assert_array_equal(np.unique(paint[second], axis=0), [[200, 100, 50]])


def test_the_chosen_settings_are_one_of_the_recorded_trials() -> None:
    record = read_json("baselines/tsdf_fusion/settings.json")
    assert record["split"] == "val"
    chosen = asdict(load_settings())
    for metric in ("fscore@5cm", "occupancy_iou"):
        tried = [row for row in record["trials"] if metric in row]
        best = max((row for row in tried if row.get("voxel", 1) >= SMALLEST_VOXEL),
                   key=lambda row: row[metric])  # fmt: skip
        assert all(chosen[name] == value for name, value in best.items() if name in chosen)


def test_the_solid_mesh_encloses_the_solid_cells(
    room: dict[str, np.ndarray], truth: dict[str, np.ndarray], surfels: Surfels
) -> None:
    settings = load_settings()
    solid, corner = carve(surfels, room["intrinsics"][:4], room["pose"][:4], settings)
    mesh = solid_mesh(solid, corner, settings.solid_voxel, settings.smoothing)
    points = truth["occupancy_points"]
    inside = mesh_contains(points, *mesh, "solids", room_from_corners(truth["room_corners"]))
    grid = grid_occupancy(points, solid, corner, settings.solid_voxel)
    assert (inside == grid).mean() > 0.97
    assert (inside & grid).sum() / (inside | grid).sum() > 0.7


def test_nothing_solid_gives_an_empty_mesh() -> None:
    vertices, faces = solid_mesh(np.zeros((4, 4, 4), bool), np.zeros(3), 0.04, 1.0)
    assert vertices.shape == faces.shape == (0, 3)
