"""Threshold shares against searching every point, and the nearest-neighbour back ends."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.reconstruction import distances, gpu
from metrics.reconstruction import pointcloud as geo
from metrics.reconstruction.radius_counts import Samples, link, within


def surface(seed: int, count: int, noise: float = 0.0) -> np.ndarray:
    """Points on three walls of a unit room, some of them far away, in spatial order."""
    generator = np.random.default_rng(seed)
    points = generator.uniform(0, 1, (count, 3))
    points[np.arange(count), generator.integers(0, 3, count)] = 0
    points += generator.normal(0, noise, points.shape)
    points[: count // 50] += generator.uniform(-3, 3, (count // 50, 3))
    return points[geo.spatial_order(points)].astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**31),
    st.sampled_from([1, 30, 400, 3000]),
    st.sampled_from([1, 40, 2000]),
    st.sampled_from([0.0, 0.01, 0.05]),
    st.sampled_from([0.025, 0.05, 0.1]),
)
def test_shares_equal_those_of_a_search(seed, many, others, noise, threshold):
    source, target = Samples(surface(seed, many, noise)), Samples(surface(seed + 1, others))
    cell = threshold / 2
    found = within(source, target, cell, threshold, link(source, target))
    distance = target.cloud(cell).nearest(source.cloud(cell).points).distance
    assert found == distances.share_within(distance, threshold)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**31),
    st.sampled_from([0.0125, 0.025, 0.04]),
    st.sampled_from([0.005, 0.02, 0.06]),
)
def test_shares_of_dense_surfaces_equal_those_of_a_search(seed, threshold, gap):
    # Many samples in each 1 cm cell, so that coarser cells have other representatives.
    generator = np.random.default_rng(seed)
    sides = []
    for height in (0.0, gap):
        points = generator.uniform(0, 0.15, (4000, 3)) * [1, 1, 0.1] + [0, 0, height]
        sides.append(Samples(points[geo.spatial_order(points)]))
    source, target = sides
    assert len(target.others(threshold / 2).points) > 0
    found = within(source, target, threshold / 2, threshold, link(source, target))
    distance = target.cloud(threshold / 2).nearest(source.cloud(threshold / 2).points).distance
    assert found == distances.share_within(distance, threshold)


def test_a_share_is_exact_where_the_nearest_neighbours_do_not_represent_the_coarser_cells():
    # Twelve points of the 1 cm reduction are nearer than the one that represents the 8 cm cell.
    crowd = np.array(
        [[x, y, 0.005] for x in (0.005, 0.015, 0.025, 0.035) for y in (0.005, 0.015, 0.025)]
    )
    target = np.concatenate([crowd, [[0.039, 0.039, 0.035]]])
    source = np.array([[0.002, 0.002, 0.005]])
    sides = [Samples(points[geo.spatial_order(points)]) for points in (source, target)]
    assert len(sides[1].chosen(0.08)) == 1
    for threshold, share in ((0.064, 1.0), (0.058, 0.0)):
        known = link(*sides)
        assert within(*sides, 0.08, threshold, known) == share


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.0, -7.3, 1e6]))
def test_spatial_order_keeps_every_cell_in_one_run(seed, shift):
    points = surface(seed, 500) + np.float32(shift)
    ordered = points[geo.spatial_order(points)].astype(np.float64)
    for side in (0.1, 0.05, 0.025, 0.0125):
        cells = np.floor(ordered / side)
        runs = 1 + int((cells[1:] != cells[:-1]).any(axis=1).sum())
        assert runs == len(np.unique(cells, axis=0))


def test_spatial_order_of_nothing_and_of_points_very_far_away():
    assert len(geo.spatial_order(np.zeros((0, 3)))) == 0
    points = np.array([[0, 0, 0], [1e30, 0, 0], [0.01, 0, 0]], np.float32)
    assert sorted(geo.spatial_order(points).tolist()) == [0, 1, 2]


def test_a_search_beyond_float32_returns_a_valid_index():
    found = geo.Cloud(np.zeros((5, 3))).nearest(np.full((2, 3), 1e30))
    assert (found.distance > 1e15).all() and (found.index < 5).all()


@pytest.mark.parametrize("place", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_exhaustive_search_equals_the_tree(place):
    pytest.importorskip("pytorch3d.ops")
    if place == "cuda" and gpu.device() is None:
        pytest.skip("this build of PyTorch3D has no CUDA")
    points, queries = surface(1, 700), surface(2, 300, 0.02)
    distance, index = gpu.nearest(queries, points, place)
    tree = geo.Cloud(points)._search()
    wanted, _ = tree.query(queries, k=1)
    np.testing.assert_allclose(distance, wanted, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(points[index] - queries, axis=1), wanted, atol=1e-5)


def test_clouds_use_the_device_if_available(monkeypatch):
    pytest.importorskip("pytorch3d.ops")
    points, queries = surface(1, 300), surface(2, 200, 0.02)
    wanted = geo.Cloud(points).nearest(queries, 0.05)
    monkeypatch.setattr(gpu, "device", lambda: "cpu")
    found = geo.Cloud(points).nearest(queries, 0.05)
    np.testing.assert_allclose(found.distance, wanted.distance, atol=1e-5)


def test_torch_is_not_imported_without_a_driver(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(gpu.ctypes, "CDLL", missing)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert gpu.device.__wrapped__() is None
