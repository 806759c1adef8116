"""The out-of-distribution score is calibrated on validation rooms and detects unusual input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from g2vlm.features.readers import SceneFeatures
from g2vlm.use.ood_score import OODScorer, Subspace, calibrate
from metrics.files import InputError
from tests.g2vlm.inference.synthetic import Store


class Rooms:
    """Rooms of the traced store, each a little different, with features of one distribution."""

    def __init__(self, count: int, seed: int) -> None:
        self.folder = f"rooms of seed {seed}"
        self.ids = [f"{seed}-{k}" for k in range(count)]
        self._store = Store()

    def inputs(self, scene: str):
        from dataclasses import replace

        random = np.random.default_rng(abs(hash_of(scene)))
        made = self._store.inputs(self._store.ids[0])
        noise = random.normal(1, 0.02, made.depth.shape) * random.uniform(0.9, 1.1)
        return replace(made, depth=(made.depth * noise).astype(np.float32))

    def __getitem__(self, scene: str) -> SceneFeatures:
        random = np.random.default_rng(abs(hash_of(scene)) + 1)
        shape = self.inputs(scene).depth.shape
        patches, cells = shape[1] * shape[2] // 256, shape[1] * shape[2] // 16
        factors = random.normal(size=4) @ np.random.default_rng(0).normal(size=(4, 416))
        tokens = factors + 0.5 * random.normal(size=(4, patches, 416))
        return SceneFeatures(tokens.astype("f2"), np.zeros((4, cells, 32), "f2"))


def hash_of(text: str) -> int:
    import zlib

    return zlib.crc32(text.encode())


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> OODScorer:
    out = tmp_path_factory.mktemp("ood") / "ood_score.safetensors"
    train, val = Rooms(60, 1), Rooms(40, 2)
    calibrate((train, train), (val, val), out)
    return OODScorer(out)


def test_new_rooms_of_the_same_kind_are_in_distribution(scorer: OODScorer) -> None:
    rooms = Rooms(40, 3)
    scores = [scorer(rooms.inputs(name), rooms[name]) for name in rooms.ids]
    assert np.mean([score.out_of_distribution for score in scores]) <= 0.2
    assert 0.2 < np.median([score.share for score in scores]) < 0.8
    assert "like the rooms" in next(s for s in scores if not s.out_of_distribution).message


def test_an_unusual_look_and_an_unusual_shape_are_distinguished(scorer: OODScorer) -> None:
    from dataclasses import replace

    rooms = Rooms(1, 4)
    inputs, features = rooms.inputs("4-0"), rooms["4-0"]
    look = scorer(inputs, SceneFeatures(features.tokens + np.float16(6), features.points))
    assert look.out_of_distribution
    assert look.look > 1.5 > look.shape
    assert "its look (" in look.message
    shape = scorer(replace(inputs, depth=inputs.depth * 3), features)
    assert shape.out_of_distribution
    assert shape.shape > 1.5 > shape.look
    assert shape.share == pytest.approx(1 / 41, abs=1e-3)


def test_a_subspace_measures_in_standard_deviations() -> None:
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.normal(size=(30, 3)))[0].T
    rows = random.normal(size=(900, 3)) @ (np.array([5, 3, 2])[:, None] * basis)
    space = Subspace.fit(rows + 0.05 * random.normal(size=rows.shape), 3)
    assert np.sqrt(np.mean(space.distance(rows) ** 2)) == pytest.approx(1, abs=0.3)
    assert space.distance(rows[:1] + 40 * basis[:1])[0] > 3


def test_a_damaged_or_foreign_calibration(scorer: OODScorer, tmp_path: Path) -> None:
    bad = tmp_path / "ood_score.safetensors"
    bad.write_bytes(b"nothing")
    with pytest.raises(InputError, match="ood_score.safetensors: is not a calibration"):
        OODScorer(bad)
    rooms = Rooms(1, 5)
    features = rooms["5-0"]
    with pytest.raises(InputError, match="own encoder"):
        scorer(rooms.inputs("5-0"), SceneFeatures(features.tokens[..., :100], features.points))
    with pytest.raises(InputError, match="too few"):
        calibrate((rooms, rooms), (rooms, rooms), tmp_path / "x")
