"""Upright boxes with a heading against PyTorch3D and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, HalfspaceIntersection

from metrics.scene_graph.boxes import box_iou
from metrics.scene_graph.oriented import oriented_iou, paired_oriented_iou, true_boxes

BOXES = st.integers(0, 2**32 - 1).map(lambda seed: some_boxes(np.random.default_rng(seed), 6))


def some_boxes(generator: np.random.Generator, count: int) -> np.ndarray:
    centre = generator.uniform(-0.7, 0.7, (count, 3))
    size, yaw = generator.uniform(0.2, 1.5, (count, 3)), generator.uniform(-4, 4, (count, 1))
    return np.concatenate([centre, size, yaw], axis=1)


def corners(boxes: np.ndarray) -> np.ndarray:
    """Corners [N, 8, 3] in the order that PyTorch3D asks for."""
    signs = [[-1, -1, -1], [1, -1, -1], [1, 1, -1], [-1, 1, -1]]
    signs = np.array(signs + [[x, y, 1] for x, y, _ in signs]) / 2
    local = signs * boxes[:, None, 3:6]
    c, s = np.cos(boxes[:, 6]), np.sin(boxes[:, 6])
    zero, one = np.zeros_like(c), np.ones_like(c)
    turn = np.array([[c, -s, zero], [s, c, zero], [zero, zero, one]]).transpose(2, 0, 1)
    return local @ turn.transpose(0, 2, 1) + boxes[:, None, :3]


def polytope_iou(first: np.ndarray, second: np.ndarray) -> float:
    """IoU of two boxes [7] as polytopes of half-spaces, by qhull."""
    planes = []
    for box in (first, second):
        c, s = np.cos(box[6]), np.sin(box[6])
        for axis, half in zip(([c, s, 0], [-s, c, 0], [0, 0, 1]), box[3:6] / 2, strict=True):
            along = float(np.dot(axis, box[:3]))
            planes += [[*axis, -along - half], [*(-np.array(axis)), along - half]]
    rows = np.array(planes)
    # The middle of the shared space lies farthest from every plane.
    cost, bounds = [0, 0, 0, -1], [(None, None)] * 3 + [(0, None)]
    found = linprog(cost, np.c_[rows[:, :3], np.ones(12)], -rows[:, 3], bounds=bounds)
    if found.status != 0 or found.x[3] < 1e-9:
        return 0.0
    shared = ConvexHull(HalfspaceIntersection(rows, found.x[:3]).intersections).volume
    return shared / (first[3:6].prod() + second[3:6].prod() - shared)


def test_overlap_agrees_with_polytopes():
    generator = np.random.default_rng(1)
    first, second = some_boxes(generator, 10), some_boxes(generator, 10)
    wanted = [[polytope_iou(a, b) for b in second] for a in first]
    np.testing.assert_allclose(oriented_iou(first, second), wanted, atol=1e-6)


def test_overlap_agrees_with_pytorch3d_except_where_that_is_wrong():
    torch = pytest.importorskip("torch")
    ops = pytest.importorskip("pytorch3d.ops")
    generator = np.random.default_rng(0)
    first, second = some_boxes(generator, 30), some_boxes(generator, 40)
    as_tensors = (torch.from_numpy(corners(boxes)).float() for boxes in (first, second))
    theirs = ops.box3d_overlap(*as_tensors)[1].numpy()
    mine = oriented_iou(first, second)
    assert (mine > 0.05).mean() > 0.2
    apart = np.argwhere(np.abs(mine - theirs) > 1e-4)
    assert len(apart) <= 0.01 * mine.size
    for i, j in apart:
        assert mine[i, j] == pytest.approx(polytope_iou(first[i], second[j]), abs=1e-6)


def clipped_area(first: np.ndarray, second: np.ndarray) -> float:
    """Area that two footprints [7] share: one is cut by each side of the other in turn."""
    # About a centre: the formula for the area loses digits far from the origin.
    polygon, clip = (corners(box[None])[0, :4, :2] - first[:2] for box in (first, second))
    polygon = polygon.tolist()
    for start, end in zip(clip, np.roll(clip, -1, axis=0), strict=True):
        normal = np.array([start[1] - end[1], end[0] - start[0]])
        inside = [float(normal @ (np.array(point) - start)) for point in polygon]
        cut = []
        for k, point in enumerate(polygon):
            before, depth = polygon[k - 1], inside[k - 1]
            if (depth >= 0) != (inside[k] >= 0):
                share = depth / (depth - inside[k])
                cut.append([b + share * (p - b) for b, p in zip(before, point, strict=True)])
            if inside[k] >= 0:
                cut.append(point)
        polygon = cut
    x, y = np.array(polygon).reshape(-1, 2).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


@pytest.mark.parametrize("case", ["random", "turned", "shifted", "thin", "far", "huge"])
def test_overlap_agrees_with_clipped_polygons(case):
    generator = np.random.default_rng(3)
    first, second = some_boxes(generator, 200), some_boxes(generator, 200)
    if case == "turned":  # sides in common, or parallel
        second[:, :6], second[:, 6] = first[:, :6], first[:, 6] + np.arange(200) % 5 * np.pi / 2
    elif case == "shifted":  # one side along another
        second[:], c, s = first, np.cos(first[:, 6]), np.sin(first[:, 6])
        second[:, :2] += (first[:, 3] * np.linspace(0, 1, 200) * np.array([c, s])).T
    elif case == "thin":
        second[:, 3] = 10.0 ** -np.linspace(0, 15, 200)
    elif case == "far":
        first[:, :2] += 1e6
        second[:, :2] += 1e6
    elif case == "huge":
        second[:, 3:5] *= 1e6
    first[:, 2] = second[:, 2] = 0.0
    first[:, 5] = second[:, 5] = 1.0
    shared = np.array([clipped_area(a, b) for a, b in zip(first, second, strict=True)])
    total = first[:, 3] * first[:, 4] + second[:, 3] * second[:, 4] - shared
    found = paired_oriented_iou(first, second)
    np.testing.assert_allclose(found, shared / total, atol=1e-9 if case == "far" else 1e-12)
    np.testing.assert_allclose(paired_oriented_iou(second, first), found, atol=1e-12)
    assert (found > 0).mean() > 0.3


@settings(max_examples=30, deadline=None)
@given(BOXES)
def test_identity_symmetry_and_turning_the_world(boxes):
    own = oriented_iou(boxes, boxes)
    assert np.diagonal(own) == pytest.approx(np.ones(len(boxes)))
    np.testing.assert_allclose(own, own.T, atol=1e-9)
    turned = boxes.copy()
    c, s = np.cos(1.1), np.sin(1.1)
    turned[:, :2] = boxes[:, :2] @ np.array([[c, s], [-s, c]]) + [3, -2]
    turned[:, 6] += 1.1
    np.testing.assert_allclose(oriented_iou(turned, turned), own, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(BOXES, BOXES)
def test_without_a_heading_it_is_the_axis_aligned_overlap(first, second):
    first[:, 6] = second[:, 6] = 0
    wanted = box_iou(first[:, :6], second[:, :6])
    np.testing.assert_allclose(oriented_iou(first, second), wanted, atol=1e-9)
    quarter = first.copy()
    quarter[:, 6] = np.pi / 2
    quarter[:, [3, 4]] = first[:, [4, 3]]
    np.testing.assert_allclose(oriented_iou(quarter, second), wanted, atol=1e-9)


def test_touching_apart_and_flat_boxes_do_not_overlap():
    box = np.array([[0, 0, 0, 1, 1, 1, 0.3]])
    assert oriented_iou(box, box + [0, 0, 1.0, 0, 0, 0, 0])[0, 0] == pytest.approx(0)
    assert oriented_iou(box, box + [5, 0, 0, 0, 0, 0, 0])[0, 0] == 0
    flat = np.array([[0, 0, 0, 0, 0, 0, 0.0]])
    assert oriented_iou(flat, flat)[0, 0] == 0
    huge = np.array([[0, 0, 0, 1e200, 1e200, 1e200, 0.3]])
    assert oriented_iou(huge, np.concatenate([huge, box])).tolist() == [[0, 0]]
    assert oriented_iou(np.zeros((0, 7)), box).shape == (0, 1)


def test_true_boxes_need_size_and_heading_of_every_object():
    item = {"box": [1, 2, 3, 9, 9, 9], "size_mm": [500, 600, 700], "yaw": 0.5}
    np.testing.assert_allclose(true_boxes([item]), [[1, 2, 3, 0.5, 0.6, 0.7, 0.5]])
    assert true_boxes([item, {"box": [0] * 6}]) is None
