"""Point metrics against other implementations and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from metrics.reconstruction import distances
from metrics.reconstruction import pointcloud as geo
from metrics.reconstruction.alignment import icp, umeyama

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
