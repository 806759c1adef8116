"""The predict stage end to end on an untrained model: complete and valid."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm.inference.calibrate import (
    Thresholds,
    calibrate_thresholds,
    read_thresholds,
)
from g2vlm.inference.network import Network
from g2vlm.inference.predict import predict
from metrics.files import InputError, read_json, write_json
from metrics.submission.reader import Submission
from metrics.submission.validate import validate
from tests.g2vlm.inference.conftest import Case, write_model

CONFIG = {"seed": 1, "predict": {"mesh_voxel_m": 0.16}}


def run(case: Case, model_dir, out) -> Submission:
    network = Network(model_dir, case.texts)
    calibrate_thresholds(network, case.store, case.images, CONFIG)
    predict(network, case.store, case.images, out, "val", CONFIG)
    return Submission(out)


def test_the_full_model_produces_every_task(case: Case, tmp_path) -> None:
    submission = run(case, case.model_dir, tmp_path / "out")
    manifest = read_json(tmp_path / "out" / "manifest.json")
    assert not manifest["reasons"]
    assert manifest["mesh_kind"] == "solids"
    assert manifest["seed"] == 3
    assert manifest["cost"]["parameters"] > 1000
    assert manifest["cost"]["seconds_per_scene"] > 0
    assert manifest["thresholds"] == read_thresholds(case.model_dir / "thresholds.json").to_json()
    points = submission.points("room-0")
    assert len(points.points) > 5000
    assert points.pixels[:, 1].max() < 48 and points.pixels[:, 2].max() < 64
    rows = (tmp_path / "out" / "relations.jsonl").read_text().splitlines()
    assert len(rows) == 2
    assert submission.grounding("room-0", "r00").pick in (0, 1, 2)
    assert submission.answer("room-0", "q01") in ("yes", "no")
    assert submission.caption("room-1") is not None
    assert (
        submission.table("probed_retrieval").scores.shape
        == submission.table("retrieval").scores.shape
    )
    assert validate(submission.folder).faults == []


@pytest.mark.gpu
def test_gpu_predictions_agree_with_the_cpu(case: Case) -> None:

    scene = case.store.ids[0]
    inputs = case.store.inputs(scene)
    queries = [text for _, text in inputs.references]
    xyz = np.random.default_rng(0).uniform(-1, 1, (500, 3)).astype(np.float32)
    found = {}
    for device in ("cpu", "cuda"):
        network = Network(case.model_dir, case.texts, device)
        encoded = network.encode(inputs, case.images[scene])
        referred = encoded.refer(queries, encoded.masks, encoded.gt_object_boxes)
        found[device] = (
            encoded.cells().points,
            encoded.occupancy(xyz),
            encoded.embedding(),
            *referred,
        )
    for here, there in zip(*found.values(), strict=True):
        np.testing.assert_allclose(there, here, atol=5e-3)


def test_points_of_an_untrained_model_stay_near_the_sensor(case: Case, tmp_path) -> None:
    from tests.g2vlm.inference.synthetic import BOXES, ROOM_HIGH, ROOM_LOW

    points = run(case, case.model_dir, tmp_path / "out").points("room-0").points
    inside = ((points > ROOM_LOW - 0.3) & (points < ROOM_HIGH + 0.3)).all(1).mean()
    assert inside > 0.95
    top = BOXES[1][2] + BOXES[1][5] / 2
    assert (np.abs(points[:, 2] - top) < 0.03).sum() > 100


def test_a_scene_without_solids_has_no_mesh_and_stays_valid(case: Case, tmp_path) -> None:
    limits, out = tmp_path / "limits.json", tmp_path / "out"
    write_json(limits, Thresholds(occupancy_logit=1e6).to_json())
    network = Network(case.model_dir, case.texts)
    predict(network, case.store, case.images, out, "val", CONFIG, limits)
    submission = Submission(out)
    assert "mesh" in submission.produces
    assert submission.mesh("room-0") is None
    assert not submission.occupancy("room-0").grid.any()
    assert validate(out).faults == []


def test_variants_declare_missing_tasks(case: Case, tmp_path) -> None:
    plain = write_model(tmp_path / "plain", language=False)
    run(case, plain, tmp_path / "a")
    manifest = read_json(tmp_path / "a" / "manifest.json")
    objects = ["objects", "graph", "given_relations"]
    assert manifest["produces"] == ["points", "mesh", "occupancy", *objects, "probed_retrieval"]
    assert "without language" in manifest["reasons"]["grounding"]
    flat = write_model(tmp_path / "flat", supervision_3d=0.0, two_d=True, depth=False)
    run(case, flat, tmp_path / "b")
    manifest = read_json(tmp_path / "b" / "manifest.json")
    assert {"mesh", "occupancy"} == set(manifest["reasons"])
    assert manifest["mesh_kind"] is None
    assert "objects" in manifest["produces"]


def test_a_model_without_poses_writes_its_own_pointmap(case: Case, tmp_path) -> None:
    blind = write_model(
        tmp_path / "blind", depth=False, normals=False, positions=False, partial=False,
        poses=False, intrinsics=False,
    )  # fmt: skip
    points = run(case, blind, tmp_path / "out").points("room-0")
    assert len(points.points) and np.isfinite(points.points).all()


def test_errors_are_one_line_and_keep_earlier_results(case: Case, tmp_path) -> None:
    out = tmp_path / "out"
    run(case, case.model_dir, out)
    before = (out / "manifest.json").read_bytes()
    broken = write_model(tmp_path / "broken")
    network = Network(broken, case.texts)
    with pytest.raises(InputError, match="thresholds.json"):
        predict(network, case.store, case.images, out, "val", CONFIG)
    (broken / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match="model.safetensors"):
        Network(broken, case.texts)
    assert (out / "manifest.json").read_bytes() == before
