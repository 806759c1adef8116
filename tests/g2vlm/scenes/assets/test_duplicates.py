"""Models of one shape are duplicates whatever their texture, size and turn; others are not."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm.scenes.render.meshes import Material, Model
from tests.g2vlm.scenes.assets.duplicates import (
    duplicate_pairs,
    sample_surface,
    separated_pairs,
    symmetries,
)


def model(corners: np.ndarray) -> Model:
    """Return the tetrahedron fan over `corners`, fitted to the unit box."""
    low, high = corners.min(0), corners.max(0)
    vertices = (corners - (low + high) / 2) / (high - low) + [0, 0, 0.5]
    faces = np.array([(0, i, j) for i in range(1, len(corners)) for j in range(1, i)])
    count = len(faces)
    return Model(
        vertices.astype(np.float32),
        faces.astype(np.int32),
        np.zeros((count, 3, 2), np.float32),
        np.zeros(count, np.int32),
        (Material((1.0, 1.0, 1.0)),),
        (),
    )


@pytest.fixture(scope="module")
def pairs():
    generator = np.random.default_rng(3)
    shape = generator.random((6, 3))
    turned = shape @ symmetries()[5].T * [2.0, 0.5, 3.0]
    models = {"a": shape, "same": turned, "other": generator.random((6, 3))}
    samples = {name: sample_surface(model(v), 20_000, name) for name, v in models.items()}
    return list(duplicate_pairs(samples))


def test_a_mirrored_turned_and_stretched_copy_is_the_same_shape(pairs):
    assert [(a, b) for a, b, _ in pairs] == [("a", "same")]
    assert 0 < pairs[0][2] < 0.01


def test_symmetries_are_eight_and_keep_the_vertical():
    matrices = symmetries()
    assert len({m.tobytes() for m in matrices + 0.0}) == 8
    assert sorted(np.linalg.det(matrices).round()) == [-1.0] * 4 + [1.0] * 4
    assert (matrices[:, 2] == [0, 0, 1]).all()


def test_points_are_uniform_by_area():
    fan = model(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.001], [0.2, 0.2, 1]]))
    corners = fan.vertices[fan.faces]
    sides = corners[:, 1:] - corners[:, :1]
    area = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1)
    middle = (area[:, None] * corners.mean(axis=1)).sum(0) / area.sum() - [0, 0, 0.5]
    points = sample_surface(fan, 20_000, "fan")
    assert np.abs(points).max() <= 0.5 + 1e-6
    assert points.mean(axis=0) == pytest.approx(middle, abs=0.01)


def test_only_duplicates_of_one_class_in_two_groups_are_reported():
    class Row:
        def __init__(self, cls, group):
            self.cls, self.group = cls, group

    models = {"a": Row("chair", "g1"), "b": Row("chair", "g2"), "c": Row("table", "g3")}
    found = [("a", "b", 0.001), ("a", "c", 0.002)]
    assert separated_pairs(models, found) == found[:1]
