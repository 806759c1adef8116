"""The retrieval probe finds what is linear in a trunk, whatever a method learned of retrieval."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm.models.probe import FILE, PENALTY, RetrievalProbe
from metrics.files import InputError


def rooms(count, seed=0, noise=0.05):
    """Scenes [N, 24] and two texts [2, 10] of each that share eight hidden traits."""
    draw = np.random.default_rng(seed)
    traits = draw.normal(size=(count, 8))
    ways = np.random.default_rng(99)
    scenes = traits @ ways.normal(size=(8, 24)) + noise * draw.normal(size=(count, 24))
    words = traits @ ways.normal(size=(8, 10))
    return scenes * 3 + 5, [w + noise * draw.normal(size=(2, 10)) for w in words]


def right(probe, scenes, texts):
    """The share of first texts whose own scene is the most alike."""
    scores = probe.scores(np.stack([found[0] for found in texts]), scenes)
    return (scores.argmax(1) == np.arange(len(scenes))).mean()


def test_the_probe_retrieves_unseen_scenes():
    probe = RetrievalProbe.fit(*rooms(200))
    scenes, texts = rooms(40, seed=1)
    assert right(probe, scenes, texts) > 0.9
    shuffled = [texts[place] for place in np.random.default_rng(2).permutation(40)]
    assert right(probe, scenes, shuffled) < 0.2


def test_the_map_is_the_ridge_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is a test's peer")
    scenes, texts = rooms(60)
    texts[7] = texts[7][:0]
    probe = RetrievalProbe.fit(scenes, texts)
    told = np.delete(np.arange(60), 7)
    x = (scenes[told] - scenes.mean(0)) / scenes.std(0)
    every = np.concatenate(texts)
    means = np.stack([texts[row].mean(0) for row in told])
    y = (means - every.mean(0)) / every.std(0)
    ridge = sklearn.Ridge(alpha=PENALTY * len(told), fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(probe.weights, ridge.coef_.T, rtol=1e-4, atol=1e-5)


def test_a_constant_feature_has_no_effect():
    scenes, texts = rooms(100)
    scenes[:, 0] = 4.0
    assert np.isfinite(RetrievalProbe.fit(scenes, texts).scores(texts[0], scenes)).all()


def test_round_trip_and_faults(tmp_path):
    scenes, texts = rooms(30)
    probe = RetrievalProbe.fit(scenes, texts)
    probe.save(tmp_path)
    loaded = RetrievalProbe.load(tmp_path)
    assert np.array_equal(loaded.scores(texts[0], scenes), probe.scores(texts[0], scenes))
    (tmp_path / FILE).write_bytes(b"no tensors")
    with pytest.raises(InputError, match=f"{FILE}: damaged.*train the model again"):
        RetrievalProbe.load(tmp_path)
    with pytest.raises(InputError, match="no such file; train the model again"):
        RetrievalProbe.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no scene has a caption"):
        RetrievalProbe.fit(scenes, [found[:0] for found in texts])
