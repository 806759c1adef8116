"""Point metrics against other implementations and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from metrics.reconstruction import distances
from metrics.reconstruction import pointcloud as geo
from metrics.reconstruction.alignment import icp, pixel_correspondences, umeyama

CLOUDS = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).uniform(0, 1, (40, 3)).astype(np.float32)
)


def both_ways(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    near = geo.Cloud(second).nearest(first).distance
    return near, geo.Cloud(first).nearest(second).distance


def test_reference_points_give_five_and_fifty():
    first, second = np.zeros((1, 3)), np.array([[3.0, 4.0, 0.0]])
    near, far = both_ways(first, second)
    assert distances.chamfer_l1(near, far) == 5.0
    assert distances.chamfer_l2sq(near, far) == 50.0


def test_chamfer_agrees_with_pytorch3d():
    torch = pytest.importorskip("torch")
    loss = pytest.importorskip("pytorch3d.loss")
    generator = np.random.default_rng(1)
    first = generator.normal(size=(300, 3)).astype(np.float32)
    second = generator.normal(size=(200, 3)).astype(np.float32)
    theirs, _ = loss.chamfer_distance(torch.from_numpy(first)[None], torch.from_numpy(second)[None])
    assert distances.chamfer_l2sq(*both_ways(first, second)) == pytest.approx(
        float(theirs), rel=1e-5
    )


def test_nearest_agrees_with_scipy_within_the_bound():
    generator = np.random.default_rng(2)
    cloud, queries = generator.uniform(size=(500, 3)), generator.uniform(size=(300, 3))
    distance, index = cKDTree(cloud.astype(np.float32)).query(queries.astype(np.float32))
    mine = geo.Cloud(cloud).nearest(queries)
    assert np.allclose(mine.distance, distance, atol=1e-6)
    assert (mine.index == index).all()
    bounded = geo.Cloud(cloud).nearest(queries, 0.05).distance
    assert np.array_equal(np.isfinite(bounded), distance < 0.05)


def test_empty_arrays_have_the_worst_value():
    empty, one = np.zeros(0, np.float32), np.ones(1, np.float32)
    assert distances.mean_distance(empty, clip=7.0) == 7.0
    assert distances.mean_distance(empty) == np.inf
    assert distances.mean_squared_distance(empty, clip=7.0) == 49.0
    assert distances.chamfer_l1(empty, one, clip=7.0) == 4.0
    assert distances.chamfer_l2sq(empty, empty, clip=7.0) == 2 * 7.0**2
    assert distances.share_within(empty, 0.1) == 0.0
    assert distances.normal_agreement(np.zeros((0, 3)), np.zeros((0, 3))) == 0.0
    assert distances.colour_error(empty, np.zeros((0, 3)), np.zeros((0, 3))) is None


def test_distances_are_clipped_and_scores_strict():
    distance = np.array([0.5, 9.0], np.float32)
    assert distances.mean_distance(distance, clip=2.0) == 1.25
    assert distances.share_within(distance, 0.5) == 0.0
    assert distances.fscore(0.0, 0.0) == 0.0


def test_f_score_by_hand():
    first = np.array([[0, 0, 0], [1, 0, 0], [9, 0, 0]], float)
    second = np.array([[0, 0.01, 0], [1, 0, 0.3]], float)
    near, far = both_ways(first, second)
    precision, recall = distances.share_within(near, 0.05), distances.share_within(far, 0.05)
    assert (precision, recall) == pytest.approx((1 / 3, 1 / 2))
    assert distances.fscore(precision, recall) == pytest.approx(0.4)


@settings(max_examples=25, deadline=None)
@given(CLOUDS, CLOUDS)
def test_duplicates_and_order_never_matter(first, second):
    chosen = geo.cell_representatives(first, 0.1)
    repeated = np.concatenate([first[::-1], first[:7], first[:7]])
    again = geo.cell_representatives(repeated, 0.1)
    mine, theirs = first[chosen], repeated[again]
    assert np.array_equal(mine, theirs)
    assert distances.mean_distance(geo.Cloud(second).nearest(mine).distance) >= 0


@settings(max_examples=25, deadline=None)
@given(CLOUDS)
def test_identity_is_perfect(cloud):
    near, far = both_ways(cloud, cloud)
    assert distances.chamfer_l1(near, far) == 0.0
    assert (
        distances.fscore(distances.share_within(near, 0.01), distances.share_within(far, 0.01))
        == 1.0
    )


@settings(max_examples=25, deadline=None)
@given(CLOUDS, st.floats(1e3, 1e9))
def test_cells_survive_points_very_far_away(cloud, far):
    wild = np.concatenate([cloud, [[far, -far, far]]])
    kept = geo.cell_representatives(wild, 0.01)
    assert len(cloud) in kept
    assert set(geo.cell_representatives(cloud, 0.01)) | {len(cloud)} == set(kept)


def test_one_point_a_cell():
    points = np.random.default_rng(3).uniform(0, 1, (5000, 3))
    chosen = geo.cell_representatives(points, 0.1)
    assert len(chosen) == len(np.unique(np.floor(points / 0.1), axis=0))


# Lattices have ties and copies; steps of 2.5 mm put points on the borders of cells.
LATTICES = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).integers(-9, 9, (200, 3)) * 0.0025
)


@settings(max_examples=50, deadline=None)
@given(LATTICES, st.sampled_from([0.01, 0.0125, 0.3]))
def test_the_point_nearest_to_the_centre_of_a_cell_represents_it(points, size):
    cells: dict[tuple[float, ...], tuple[float, ...]] = {}
    for place, point in enumerate(points):
        inside = point / size - np.floor(point / size) - 0.5
        away = (inside[0] ** 2 + inside[1] ** 2 + inside[2] ** 2) / 0.75
        best = (away, *point, place)
        cell = tuple(np.floor(point / size))
        cells[cell] = min(cells.get(cell, best), best)
    chosen = geo.cell_representatives(points, size)
    assert sorted(chosen.tolist()) == sorted(int(best[-1]) for best in cells.values())


@settings(max_examples=50, deadline=None)
@given(LATTICES, st.sampled_from([np.float32, np.float64]))
def test_distinct_rows_are_those_of_a_dictionary(points, dtype):
    points = np.where(points == 0, np.array([[0.0], [-0.0]] * 100), points).astype(dtype)
    seen: dict[tuple[float, ...], int] = {}
    number = [seen.setdefault(tuple(row.tolist()), len(seen)) for row in points]
    first = [number.index(value) for value in range(len(seen))]
    places, which = geo.distinct_rows(points)
    assert (places.tolist(), which.tolist()) == (first, number)


def test_rows_of_equal_hashes_are_compared(monkeypatch):
    points = np.random.default_rng(9).integers(0, 4, (300, 3)).astype(float)
    wanted = geo.distinct_rows(points)
    monkeypatch.setattr(geo, "_row_hashes", lambda rows: np.zeros(len(rows), np.uint64))
    found = geo.distinct_rows(points)
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_distinct_rows_of_few_points():
    for points in (np.zeros((0, 3)), np.ones((1, 3)), np.random.default_rng(0).random((50, 3))):
        places, number = geo.distinct_rows(points)
        assert places.tolist() == number.tolist() == list(range(len(points)))


def test_normals_do_not_depend_on_how_many_are_fitted_at_once(monkeypatch):
    cloud = geo.Cloud(np.random.default_rng(10).normal(size=(500, 3)))
    whole = geo.estimate_normals(cloud)
    monkeypatch.setattr(geo, "_BLOCK", 64)
    np.testing.assert_allclose(geo.estimate_normals(cloud), whole, rtol=0, atol=1e-6)


def test_normals_of_a_plane_and_of_random_clouds():
    generator = np.random.default_rng(4)
    flat = generator.uniform(size=(400, 3)) * [1, 1, 0]
    assert np.abs(geo.estimate_normals(geo.Cloud(flat))[:, 2]).min() > 0.999
    cloud = generator.normal(size=(300, 3)).astype(np.float32)
    mine = geo.estimate_normals(geo.Cloud(cloud))
    _, index = cKDTree(cloud).query(cloud, k=12)
    centred = cloud[index] - cloud[index].mean(axis=1, keepdims=True)
    spread = np.einsum("nki,nkj->nij", centred, centred).astype(float)
    exact = np.linalg.eigh(spread)[1][:, :, 0]
    assert np.abs(np.einsum("ij,ij->i", mine, exact)).min() > 0.999


def test_normal_consistency_of_perpendicular_planes_is_zero():
    up, side = np.tile([0, 0, 1.0], (5, 1)), np.tile([1.0, 0, 0], (5, 1))
    assert distances.normal_consistency(distances.normal_agreement(up, side), 0.0) == 0.0
    assert distances.normal_agreement(up, -up) == 1.0


def test_cell_normals_do_not_cancel_across_a_thin_sheet():
    points = np.array([[0.001, 0.001, 0.001], [0.001, 0.001, 0.002]])
    normals = np.array([[0, 0, 1.0], [0, 0, -1.0]], np.float32)
    averaged = geo.cell_normals(points, normals, 0.01, np.array([0]))
    assert np.allclose(averaged, [[0, 0, 1]])


def test_mesh_samples_are_uniform_by_area():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [3, 0, 0], [0, 3, 5], [9, 9, 9]], float)
    faces = np.array([[0, 1, 2], [0, 3, 2]])
    points, normals, face, weights = geo.sample_mesh(
        vertices, faces, 20_000, np.random.default_rng(5)
    )
    assert (face == 1).mean() == pytest.approx(0.75, abs=0.02)
    assert np.allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert np.allclose(np.abs(normals[:, 2]), 1)
    assert points[face == 0].mean(axis=0) == pytest.approx([1 / 3, 1 / 3, 0], abs=0.02)
    assert len(geo.sample_mesh(vertices, faces[:0], 10, np.random.default_rng(5))[0]) == 0


def test_colour_error_ignores_far_neighbours():
    mine, other = np.array([[0, 0, 0], [255, 0, 0]]), np.array([[51, 51, 51], [0, 0, 0]])
    mine, other = mine.astype(np.uint8), other.astype(np.uint8)
    assert distances.colour_error(np.array([0.01, 0.06]), mine, other) == pytest.approx(0.2)
    assert distances.colour_error(np.array([1.0, 1.0]), mine, other) is None


def turn(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def test_umeyama_recovers_a_similarity():
    source = np.random.default_rng(6).normal(size=(50, 3))
    target = 1.7 * source @ turn(2.0).T + [1, -2, 3]
    found = umeyama(source, target)
    assert found.scale == pytest.approx(1.7)
    assert np.allclose(found.rotation, turn(2.0))
    assert np.allclose(found.apply(source), target, atol=1e-5)


def test_umeyama_returns_no_reflection_and_refuses_lines():
    source = np.random.default_rng(7).normal(size=(50, 3))
    found = umeyama(source, source * [1, 1, -1])
    assert np.linalg.det(found.rotation) == pytest.approx(1)
    line = np.outer(np.arange(5.0), [1, 2, 3])
    assert umeyama(line, line) is None
    assert umeyama(source[:2], source[:2]) is None


def test_icp_undoes_a_small_motion():
    source = np.random.default_rng(8).uniform(size=(2000, 3)) * [2, 1, 0.5]
    moved = 1.02 * source @ turn(0.02).T + 0.01
    found = icp(source, moved, with_scale=True)
    assert np.abs(found.apply(source) - moved).max() < 1e-3
    assert icp(source, moved, with_scale=False).scale == 1.0


def test_correspondences_are_pixels_inside_the_images_with_true_depth():
    generator = np.random.default_rng(11)
    depth = generator.uniform(1, 3, (2, 4, 5)) * (generator.random((2, 4, 5)) < 0.7)
    intrinsics = np.tile([[4.0, 0, 2.5], [0, 3.0, 2.0], [0, 0, 1]], (2, 1, 1))
    pose = np.tile(np.eye(4), (2, 1, 1))
    pose[1, :3] = np.column_stack([turn(0.4), [1, 2, 3]])
    pixels = generator.integers(-1, 6, (400, 3)).astype(np.int32)
    points = generator.random((400, 3)).astype(np.float32)
    mine, true = [], []
    for number in range(2):
        for point, (view, row, column) in zip(points, pixels, strict=True):
            inside = view == number and 0 <= row < 4 and 0 <= column < 5
            if not inside or depth[view, row, column] == 0:
                continue
            away = (np.array([column + 0.5, row + 0.5]) - [2.5, 2.0]) / [4.0, 3.0]
            local = np.array([*away, 1.0]) * depth[view, row, column]
            mine.append(point)
            true.append(pose[view, :3, :3] @ local + pose[view, :3, 3])
    found = pixel_correspondences(points, pixels, depth, intrinsics, pose)
    assert len(mine) > 20
    assert np.array_equal(found[0], mine) and np.allclose(found[1], true)
