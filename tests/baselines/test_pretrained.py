"""Baselines on local model folders: real classes with tiny random weights, and bad folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from baselines.__main__ import run_baseline
from baselines.contract import Context, load, names
from baselines.hf_depth.method import (
    DEPTH,
    INVERSE,
    METRIC,
    Calibration,
    fit,
    select_calibration,
)
from baselines.pretrained import open_pretrained
from metrics.files import InputError, read_json, read_lines
from metrics.submission.reader import Submission
from metrics.submission.validate import validate
from metrics.truth import Truth

PRETRAINED = [name for name in names() if getattr(load(name), "PRETRAINED", False)]


def run(name: str, folder: Path | str, experiment: Path, out: Path) -> Path:
    """Answer val with the model of a folder; returns the submission, which must be valid."""
    run_baseline(name, experiment, ["val"], 0, out, {"pretrained": {name: str(folder)}})
    assert validate(out / "val", Truth(experiment / "truth" / "val")).faults == []
    return out / "val"


def test_the_pretrained_baselines_are_found() -> None:
    assert PRETRAINED == ["clip_retrieval", "hf_depth", "hf_vlm"]


@pytest.mark.parametrize(
    ("name", "build"),
    [("clip_retrieval", "siglip"), ("hf_depth", "glpn"), ("hf_vlm", "qwen2_vl")],
)
def test_another_class_of_each_kind_writes_a_valid_submission(
    name: str, build: str, experiment: Path, tmp_path: Path
) -> None:
    from tests.baselines import tiny_models

    folder = getattr(tiny_models, build)(tmp_path / "model")
    manifest = read_json(run(name, folder, experiment, tmp_path / "out") / "manifest.json")
    assert manifest["cost"]["parameters"] > 1000
    assert len(manifest["thresholds"]["weights_sha256"]) == 64
    assert manifest["thresholds"]["model"].lower().startswith(build.replace("_", ""))


def damage_missing(folder: Path) -> None:
    shutil.rmtree(folder)


def damage_no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def damage_unknown_type(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "astrolabe"}')


def damage_no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def damage_foreign_code(folder: Path) -> None:
    content = {"model_type": "astrolabe", "auto_map": {"AutoConfig": "evil.Config"}}
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "evil.py").write_text("raise SystemExit('ran')")


def damage_wrong_class(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "bert"}')


def damage_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def damage_cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])


def damage_lost_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors.pop(sorted(name for name in tensors if name.endswith("weight"))[0])
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def damage_no_processor(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name not in ("config.json", "generation_config.json", "model.safetensors"):
            path.unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damage_missing, "no such folder; give pretrained"),
        (damage_no_config, "holds no config.json; give pretrained"),
        (damage_unknown_type, "cannot read its config.json"),
        (damage_no_json, "cannot read its config.json"),
        (damage_foreign_code, "cannot read its config.json"),
        (damage_wrong_class, "a model of type 'bert' is no"),
        (damage_no_weights, "cannot read its weights"),
        (damage_cut_weights, "cannot read its weights"),
        (damage_lost_tensor, "its weights lack"),
        (damage_no_processor, "processor"),
    ],
)
@pytest.mark.parametrize("name", PRETRAINED)
def test_bad_folders_are_one_line(
    name: str,
    damage: Callable[[Path], None],
    words: str,
    experiment: Path,
    weights: Callable[[str], dict],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(weights(name)["pretrained"][name], folder)
    damage(folder)
    with pytest.raises(InputError) as raised:
        run(name, folder, experiment, tmp_path / "out")
    line = str(raised.value)
    assert line.startswith(f"{folder}: ") and words in line and "\n" not in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", PRETRAINED)
def test_the_error_without_weights_explains_how_to_name_them(
    name: str, experiment: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"baseline {name}: no weights; .*pretrained: .{name}:"):
        run_baseline(name, experiment, ["val"], 0, tmp_path)


def test_descriptors_of_scenes_objects_and_sentences_are_compared(
    experiment: Path, weights: Callable[[str], dict], tmp_path: Path
) -> None:
    folder = weights("clip_retrieval")["pretrained"]["clip_retrieval"]
    result = Submission(run("clip_retrieval", folder, experiment, tmp_path))
    captions, phrases = result.table("retrieval"), result.table("grounding_retrieval")
    assert captions.scores.shape == (2, 2) and phrases.scores.shape == (2, 8)
    for table in (captions.scores, phrases.scores):
        assert np.abs(table).max() <= 1 + 1e-5
        # The rooms' sentences are the same words, and their pictures are not the same.
        np.testing.assert_allclose(table[0], table[1], atol=1e-6)
        assert np.ptp(table, axis=1).min() > 1e-4


def test_an_object_is_cropped_from_the_view_with_most_of_its_pixels() -> None:
    from types import SimpleNamespace

    from baselines.clip_retrieval.method import object_crops

    masks = np.zeros((2, 30, 40), np.uint8)
    masks[0, 0, 0] = masks[1, 10:20, 20:40] = 1
    masks[0, 5, 6] = 2
    rgb = np.zeros((2, 30, 40, 3), np.uint8)
    rgb[1, ..., 0] = np.arange(40)
    large, small = object_crops(SimpleNamespace(gt_masks=masks, gt_indices=[4, 7], rgb=rgb))
    # A tenth of its sides around it, and no further than the picture goes.
    assert large.shape == (12, 22, 3) and large[0, 0, 0] == 18
    assert small.shape == (1, 1, 3)


@pytest.mark.parametrize("metric", [False, True])
def test_points_lie_on_the_rays_of_their_pixels_at_the_calibrated_depth(
    metric: bool, experiment: Path, weights: Callable[[str], dict], tmp_path: Path
) -> None:
    from baselines.hf_depth.method import predict_depth
    from g2vlm.scenes.dataset import SceneStore
    from tests.baselines.tiny_models import depth_anything

    config = weights("hf_depth")
    if metric:
        folder = depth_anything(tmp_path / "metric", depth_estimation_type="metric", max_depth=5)
        config = {"pretrained": {"hf_depth": str(folder)}}
    out = run("hf_depth", config["pretrained"]["hf_depth"], experiment, tmp_path / "out")
    fitted = Calibration(**read_json(out / "manifest.json")["thresholds"]["calibration"])
    # The output of a model that predicts metres is used unchanged; any other is fitted on train.
    assert (fitted.form == METRIC) == metric
    inputs = SceneStore(experiment / "scenes" / "val").inputs("val-0000")
    context = Context("hf_depth", 0, tmp_path, {}, config=config)
    opened = open_pretrained(
        context, "MODEL_FOR_DEPTH_ESTIMATION_MAPPING", "AutoImageProcessor", "depth model"
    )
    depth = fitted.metres(predict_depth(opened, inputs.rgb))
    assert depth.shape == inputs.depth.shape
    result = Submission(out).points("val-0000")
    assert len(result.points) == (depth > 0).sum() > 1000
    view, row, column = result.pixels.astype(int).T
    pose = inputs.pose[view]
    local = np.einsum("nji,nj->ni", pose[:, :3, :3], result.points - pose[:, :3, 3])
    seen = np.einsum("nij,nj->ni", inputs.intrinsics[view], local / local[:, 2:])
    # Points are stored in whole millimetres: half of one on each axis.
    np.testing.assert_allclose(local[:, 2], depth[view, row, column], atol=9e-4)
    # The same half turns the ray of a near point by more of a pixel.
    shift = np.abs(seen[:, :2] - (np.stack([column, row], 1) + 0.5)).max(1)
    focal = inputs.intrinsics[view, 0, 0]
    assert (shift <= 9e-4 * 1.8 * focal / np.maximum(local[:, 2], 0.01) + 1e-2).all()
    np.testing.assert_array_equal(result.colours, inputs.rgb[view, row, column])


@pytest.mark.parametrize("form", [DEPTH, INVERSE])
def test_the_right_form_and_its_constants_are_fitted(form: str) -> None:
    draw = np.random.default_rng(0)
    true = [draw.uniform(1, 6, 400) for _ in range(4)]
    output = [(depth if form == DEPTH else 1 / depth) * 8 - 3 for depth in true]
    result = select_calibration(output, true)
    assert result.form == form and result.error < 1e-6
    assert (result.scale, result.shift) == pytest.approx((1 / 8, 3 / 8))
    np.testing.assert_allclose(result.metres(output[0]), true[0], rtol=1e-5)


def test_random_outputs_give_depths_in_the_range_of_train() -> None:
    flat = fit(INVERSE, np.full(5, 7.0), np.linspace(1, 5, 5))
    wild = np.array([np.nan, np.inf, -np.inf, 0, -1e30])
    assert flat.scale == 0 and np.isfinite(flat.metres(wild)).all()
    steep = fit(DEPTH, np.arange(5.0), np.linspace(1, 5, 5)).metres(wild)
    assert steep.min() >= 1 and steep.max() <= 5
    np.testing.assert_array_equal(Calibration(METRIC).metres(wild), 0)


def test_replies_without_an_answer_are_counted(
    experiment: Path, weights: Callable[[str], dict], tmp_path: Path, capfd
) -> None:
    folder = weights("hf_vlm")["pretrained"]["hf_vlm"]
    out = run("hf_vlm", folder, experiment, tmp_path)
    rows = list(read_lines(out / "answers.jsonl"))
    empty = sum(not row["answer"] for row in rows)
    assert len(rows) == 6
    assert read_json(out / "manifest.json")["cost"]["unparsed_answers"] == empty
    printed = [line for line in capfd.readouterr().err.splitlines() if "contain no answer" in line]
    assert sum(int(line.split(": ")[1].split()[0]) for line in printed) == empty
    assert [line.split()[1] for line in printed] == ["count:", "existence:", "relative_direction:"]


def test_prompts_together_get_the_replies_that_they_get_alone(
    weights: Callable[[str], dict], tmp_path: Path, monkeypatch
) -> None:
    from baselines.hf_vlm import method

    context = Context("hf_vlm", 0, tmp_path, {}, config=weights("hf_vlm"))
    opened = open_pretrained(
        context, "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING", "AutoProcessor", "image-text model"
    )
    rgb = np.random.default_rng(0).integers(0, 255, (2, 24, 32, 3), np.uint8)
    prompts = ["is there a lamp ?", "how many red chairs are there ? 1 2 3", "where ?"]
    alone = method.generate(opened, rgb, prompts, 6)
    monkeypatch.setitem(method.PROMPTS_PER_BATCH, opened.device.type, 3)
    assert method.generate(opened, rgb, prompts, 6) == alone
    assert len(set(alone)) > 1 and max(len(reply.split()) for reply in alone) <= 6
    # Other pictures, another reply: they are looked at.
    assert method.generate(opened, 255 - rgb, prompts, 6) != alone


def test_a_model_without_a_chat_template_is_prompted_by_its_image_token(
    experiment: Path, tmp_path: Path
) -> None:
    from tests.baselines.tiny_models import llava

    run("hf_vlm", llava(tmp_path / "plain", template=None), experiment, tmp_path / "out")
