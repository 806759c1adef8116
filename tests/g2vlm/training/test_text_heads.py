"""How scenes are drawn for the heads that read sentences."""

from types import SimpleNamespace

import numpy as np
import pytest

from g2vlm.training.text_heads import BUCKETS, sample_sets

COUNT = 4


def scene_sets(sizes: list[int]) -> list[list]:
    """Return one set of objects for each scene, of that size."""
    return [[(SimpleNamespace(scene=row), np.arange(size))] for row, size in enumerate(sizes)]


@pytest.mark.parametrize("scenes", [3, COUNT, 10, 40])
def test_every_scene_is_drawn_equally_often(scenes):
    generator, draws = np.random.default_rng(0), 4000
    sets, usable = scene_sets(list(range(1, scenes + 1))), list(range(scenes))
    counts = np.zeros(scenes)
    for _ in range(draws):
        rows, chosen = sample_sets(generator, sets, usable, COUNT)
        assert len(set(rows)) == len(rows) == min(COUNT, scenes)
        assert [objects.scene for objects, _ in chosen] == rows
        counts[rows] += 1
    expected = draws * min(COUNT, scenes) / scenes
    assert np.abs(counts - expected).max() <= 5 * expected**0.5


def test_scenes_of_a_step_have_similarly_many_objects():
    generator = np.random.default_rng(0)
    sizes = np.arange(1, 61)
    sets, usable = scene_sets(sizes.tolist()), list(range(60))
    spreads = []
    for _ in range(300):
        rows, _ = sample_sets(generator, sets, usable, COUNT)
        spreads.append(np.ptp(sizes[rows]))
    apart = [np.ptp(generator.choice(sizes, COUNT, replace=False)) for _ in range(300)]
    assert np.mean(spreads) < 2 * np.mean(apart) / BUCKETS


def test_only_usable_scenes_are_drawn():
    generator = np.random.default_rng(0)
    for _ in range(50):
        rows, _ = sample_sets(generator, scene_sets([5] * 30), [3, 7, 11, 20, 29], COUNT)
        assert set(rows) <= {3, 7, 11, 20, 29}
