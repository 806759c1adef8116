"""Targets, losses, schedule, and a loop that resumes to the same bits."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from g2vlm.models.batch import stack_scenes
from g2vlm.models.checkpoint import load_model, save_model
from g2vlm.models.detection import Detection
from g2vlm.training import second_stage
from g2vlm.training import train as loop
from g2vlm.training.data import StepOutputs, fixed_share, geometry_batch
from g2vlm.training.loss_functions import normal_loss
from g2vlm.training.losses import LOSSES
from g2vlm.training.objective import Objective, relation_weights
from g2vlm.training.optimizer import learning_rate, make_optimizer
from g2vlm.training.process_group import ProcessGroup
from g2vlm.training.settings import TrainSettings
from g2vlm.training.targets import POOL, relation_targets
from metrics.constants import VOXEL_M
from metrics.files import InputError, sha256_file
from tests.g2vlm.models.build import (
    CONFIG,
    CPU,
    SMALL,
    read_method,
    small_model,
    train_set,
    train_settings,
)
from tests.g2vlm.models.rooms import LOW, Rooms

SETTINGS = CPU["train"] | {
    "stage1_steps": 3,
    "stage2_steps": 4,
    "batch_scenes": 2,
    "queries_per_scene": 3,
    "occupancy_queries": 32,
    "checkpoint_seconds": 1e-6,
    "box_head_steps": 60,
    "referring_head_steps": 4,
    "qa_head_steps": 4,
}


@pytest.fixture
def study(toy_study, monkeypatch):
    """A function that trains in the toy study."""
    monkeypatch.setattr(loop, "load_train_set", lambda *_: train_set())

    def run(out: str = "model", method: str = "full", seed: int = 0, threads: int = 1, **settings):
        folder = toy_study / out
        config = CONFIG | {"train": SETTINGS | settings}
        loop.train(
            config,
            read_method(method),
            toy_study,
            folder,
            toy_study / "checkpoint",
            seed,
            threads,
        )
        return folder

    run.root = toy_study
    return run


def stop_at(monkeypatch, step: int) -> None:
    """Make the loop die before a step."""
    real = loop.one_step

    def dying(objective, optimizer, number, group):
        if number == step:
            raise KeyboardInterrupt
        return real(objective, optimizer, number, group)

    monkeypatch.setattr(loop, "one_step", dying)


def test_a_killed_training_ends_with_the_same_bits(study, monkeypatch):
    whole = study("whole")
    for step in (2, 5):
        with monkeypatch.context() as patch:
            stop_at(patch, step)
            with pytest.raises(KeyboardInterrupt):
                study("cut")
        notes = json.loads((study.root / "checkpoint/progress.json").read_text())
        assert notes["step"] == step
    cut = study("cut")
    assert (whole / "model.safetensors").read_bytes() == (cut / "model.safetensors").read_bytes()
    assert pq.read_table(whole / "losses.parquet").equals(pq.read_table(cut / "losses.parquet"))
    assert not (study.root / "checkpoint").exists()


def test_more_threads_change_a_model_by_rounding_alone(study):
    # Where a gradient is zero but for rounding (the bias of a softmax's keys), a step of Muon or
    # AdamW is as large as its rate: a small rate keeps that apart from real differences.
    # What is fitted last has rates of its own, so it takes few steps here.
    slow = {
        "learning_rate": 1e-4,
        "box_head_steps": 3,
        "referring_head_steps": 2,
        "qa_head_steps": 2,
    }
    one, two = study("one", **slow), study("two", threads=2, **slow)
    torch.set_num_threads(1)
    weights = [load_file(folder / "model.safetensors") for folder in (one, two)]
    for name, value in weights[0].items():
        close = (
            1e-2
            if name.startswith(("box_head.", "referring_head.", "qa_context.", "decoder."))
            else 1e-4
        )
        torch.testing.assert_close(value, weights[1][name], rtol=1e-3, atol=close)


def test_a_batch_sampled_ahead_is_the_same_batch():
    settings = TrainSettings.from_config(SETTINGS | {"dropout": 0.0, "accumulation": 2})
    plain, ahead = (Objective(small_model(**SMALL), train_set(), settings, 0) for _ in range(2))
    with ThreadPoolExecutor(1) as ahead._thread:
        for step in range(settings.steps):
            for part in range(2):
                assert ahead.losses(step, part)[1] == plain.losses(step, part)[1]
    assert not ahead._ahead


@pytest.mark.gpu
def test_a_gpu_trains_in_bfloat16_what_a_processor_runs(study):
    folder = study("gpu", precision="bf16")
    weights = load_model(folder).state_dict()
    assert all(value.device.type == "cpu" for value in weights.values())
    assert all(torch.isfinite(value).all() for value in weights.values())
    rows = pq.read_table(folder / "losses.parquet").to_pylist()
    assert len(rows) == 7 and all(np.isfinite(row["total"]) for row in rows)


def test_the_seed_changes_the_model(study):
    first, second = study("first", seed=0), study("second", seed=1)
    assert (first / "model.safetensors").read_bytes() != (second / "model.safetensors").read_bytes()


def test_a_checkpoint_of_another_config_is_refused(study, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            study()
    with pytest.raises(InputError, match=r"progress\.json: a checkpoint of another config.*delete"):
        study(learning_rate=5e-4)
    state = study.root / "checkpoint/state.safetensors"
    state.write_bytes(state.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"state\.safetensors: damaged"):
        study()
    assert not (study.root / "model").exists()


def test_a_checkpoint_of_another_network_is_refused(study, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            study()
    state = study.root / "checkpoint/state.safetensors"
    tensors = load_file(state)
    tensors["model/box_head.older"] = tensors.pop("model/box_head.appearance.weight")
    save_file(tensors, state)
    notes = study.root / "checkpoint/progress.json"
    told = json.loads(notes.read_text()) | {"sha256": sha256_file(state)}
    notes.write_text(json.dumps(told))
    with pytest.raises(
        InputError, match=r"progress\.json: .* another version of the network.*delete"
    ):
        study()


def test_files_of_a_finished_training(study):
    folder = study()
    cost = json.loads((folder / "cost.json").read_text())
    assert set(cost) == {"parameters", "train_seconds", "peak_memory_mb"}
    losses = pq.read_table(folder / "losses.parquet").to_pydict()
    assert losses["stage"] == [1, 1, 1, 2, 2, 2, 2]
    assert losses["align"][:3] == [None] * 3
    assert None not in losses["align"][3:]
    names = {loss.name for loss in LOSSES}
    names |= {f"{loss.name}/{part.name}" for loss in LOSSES for part in loss.parts}
    assert names == set(losses) - {"step", "stage", "learning_rate", "total"}
    assert {"depth", "normal", "reconstruction/occupancy", "spatial/vote", "text", "align"} <= names
    model = load_model(folder)
    assert model.config.method == "full"
    assert not model.training


@pytest.mark.parametrize(
    ("method", "absent"),
    [
        ("reconstruction_only", {"align", "text", "spatial/pick"}),
        ("no_alignment", {"align", "spatial/aim"}),
    ],
)
def test_variants_leave_losses_out(study, method, absent):
    names = set(pq.read_table(study(method=method) / "losses.parquet").column_names)
    assert not names & absent


def test_every_loss_falls(tmp_path):
    data = train_set()
    settings = TrainSettings.from_config(
        SETTINGS | {"stage1_steps": 0, "stage2_steps": 50, "batch_scenes": 4, "dropout": 0.0}
    )
    torch.manual_seed(0)
    model = loop.G2VLM(loop.configure(CONFIG, read_method("full"), settings, data)).train()
    objective = Objective(model, data, settings, 0)
    optimizer = make_optimizer(model, settings)
    log = [
        loop.one_step(objective, optimizer, step, ProcessGroup()) for step in range(settings.steps)
    ]
    for name in ("depth", "reconstruction", "spatial", "align", "text", "spatial/vote"):
        early = np.mean([row[name] for row in log[:5]])
        late = np.mean([row[name] for row in log[-5:]])
        assert late < early - 0.02, name
    assert log[-1]["spatial/pick"] < 0.7 * log[0]["spatial/pick"]


def test_normal_loss_has_a_gradient():
    model = small_model("no_geometry")
    data = train_set(2)
    truth = geometry_batch(data.scenes, np.ones(2, bool), 3, 8, np.random.default_rng(0))
    state = model.encode(stack_scenes([scene.inputs for scene in data.scenes], model.config))
    loss = normal_loss(StepOutputs(model, state, truth))
    loss.backward()
    gradient = model.point_heads.out.weight.grad
    assert loss.item() > 0.01
    assert float(gradient.abs().sum()) > 0


def test_shares_of_3d_supervision_are_fixed_and_nested():
    data = train_set(8)
    names = [scene.name for scene in data.scenes]
    half, all_of_them = (fixed_share(names, share, "supervision_3d") for share in (0.5, 1.0))
    assert half.sum() == 4
    assert all_of_them.all()
    assert not fixed_share(names, 0, "supervision_3d").any()
    assert np.array_equal(half, fixed_share(names, 0.5, "supervision_3d"))
    truth = geometry_batch(data.scenes, half, 3, 8, np.random.default_rng(0))
    votes = truth.votes.any(1).numpy()
    assert np.array_equal(votes, half)


def test_epochs_visit_every_scene_once():
    data = train_set(6)
    places = np.concatenate([data.order(0, step, 4) for step in range(3)])
    assert sorted(places[:6]) == sorted(places[6:]) == list(range(6))
    assert not np.array_equal(data.order(0, 0, 4), data.order(1, 0, 4))


def test_occupancy_queries_are_labelled_by_the_boxes():
    scene = train_set(1).scenes[0]
    boxes = scene.all_boxes
    inside = (np.abs(scene.pool[:, None] - boxes[:, :3]) < boxes[:, 3:] / 2 - VOXEL_M).all(-1)
    outside = (np.abs(scene.pool[:, None] - boxes[:, :3]) > boxes[:, 3:] / 2 + VOXEL_M).any(-1)
    assert scene.solid[inside.any(1)].all()
    assert not scene.solid[outside.all(1)].any()
    assert scene.solid[POOL:].mean() > 2 * scene.solid[:POOL].mean()
    assert scene.pool[:POOL].min(0) == pytest.approx(LOW, abs=0.05)


def test_relation_labels():
    line = {
        "relations": [[4, 7, "on"], [7, 4, "larger"], [4, 9, "left"]],
        "void": [[7, 4, "distance"], [4, 7, "side"]],
    }
    labels = relation_targets(line, {4: 0, 7: 1})
    assert labels["support"].tolist() == [[-1, 0], [2, -1]]
    assert labels["distance"].tolist() == [[-1, 1], [-1, -1]]
    assert labels["side"].tolist() == [[-1, -1], [-1, -1]]
    assert labels["size"].tolist() == [[-1, 1], [0, -1]]


def test_rare_labels_weigh_more():
    weights = relation_weights(train_set(4).scenes)["size"]
    assert weights[0] > weights[1]
    assert float(weights.mean()) == pytest.approx(1.0)


def test_settings_and_schedule():
    settings = train_settings(stage1_steps=10, stage2_steps=90, warmup=0.1)
    rates = [learning_rate(settings, step) for step in range(100)]
    assert max(rates) == pytest.approx(settings.learning_rate)
    assert rates[0] < rates[9]
    assert rates[-1] < 0.02 * settings.learning_rate


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 3}, "config: unknown key `train.steps`; known keys: stage1_steps"),
        ({"loss_weights": {"depht": 1}}, r"`train\.loss_weights\.depht`; did you mean `depth`"),
        ({"optimizer": "adam"}, r"`train\.optimizer`: 'adam' is not one of \['muon', 'adamw'"),
        ({"precision": "fp8"}, r"`train\.precision`: 'fp8' is not one of \['fp32', 'bf16'\]"),
        ({"stage1_steps": True}, r"`train\.stage1_steps`: True is not of type 'integer'"),
        ({"clip": 0}, r"`train\.clip`: 0 is less than or equal to the minimum of 0; Largest norm"),
    ],
)
def test_invalid_settings_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        train_settings(**change)


def test_a_missing_setting_is_refused():
    without = {key: value for key, value in CPU["train"].items() if key != "warmup"}
    with pytest.raises(InputError, match=r"key `train\.warmup` is missing; add it"):
        TrainSettings.from_config(without)


def test_an_unlisted_loss_has_its_default_weight():
    settings = train_settings(loss_weights={"text": 0.5})
    assert settings.loss_weights == {loss.name: loss.weight for loss in LOSSES} | {"text": 0.5}


def test_model_folders(tmp_path):
    model = small_model()
    save_model(model, tmp_path, {"seed": 0})
    weights = load_file(tmp_path / "model.safetensors")
    save_file({k: v.half() for k, v in weights.items()}, tmp_path / "model.safetensors")
    halved = load_model(tmp_path)
    assert all(p.dtype == torch.float32 for p in halved.parameters())
    first = next(iter(weights))
    assert torch.allclose(halved.state_dict()[first], weights[first], atol=1e-2)
    save_file({first: weights[first]}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="does not fit config.json"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"config\.json: not a g2vlm-model"):
        load_model(tmp_path)


def test_rooms_are_the_same_twice():
    first, second = Rooms(2), Rooms(2)
    name = first.ids[1]
    assert np.array_equal(first.views(name).depth, second.views(name).depth)


def test_a_scene_without_objects_trains_no_box(monkeypatch):
    """What the model takes for an object there is learned from by nobody."""
    model, scene = small_model(), train_set().scenes[0]
    points = len(scene.owner)
    bare = replace(
        scene,
        owner=np.full(points, -1, np.int16),
        all_boxes=np.zeros((0, 6), np.float32),
        boxes=np.zeros((0, 6), np.float32),
        masks=np.zeros((0, points), np.uint8),
    )
    found = [Detection(np.zeros(6, np.float32), 0, 1.0, np.arange(9))]
    monkeypatch.setattr(second_stage, "clusters", lambda points: found)
    no_annotation = bare.annotation | {"objects": []}
    bare = replace(bare, annotation=no_annotation, rows={})
    seen = second_stage.cache_features(model, [bare, scene])[1]
    assert seen[0].index.tolist() == [-1] and seen[0].gt_count == 0
    assert second_stage.fit_box_head(model, seen[:1], np.array([True]), 0, 2) is None
    assert second_stage.fit_box_head(model, seen, np.array([True, False]), 0, 2) is None
    before = [value.clone() for value in model.box_head.parameters()]
    assert second_stage.fit_box_head(model, seen, np.array([True, True]), 0, 2) > 0
    assert not all(map(torch.equal, before, model.box_head.parameters()))


def test_the_retrieval_head_finds_the_scenes_of_new_captions():
    """Embeddings of scenes and captions share a hidden cause, each behind a map of its own."""
    model = small_model()
    draw = np.random.default_rng(0)
    cause = draw.normal(size=(160, 12)).astype(np.float32)
    wide, narrow = (
        draw.normal(size=(12, size)).astype(np.float32)
        for size in (model.descriptors.scene.in_features, model.descriptors.text.in_features)
    )
    pooled = torch.from_numpy(cause @ wide)
    captions = [
        (row + 0.1 * draw.normal(size=(3, 12)).astype(np.float32)) @ narrow for row in cause
    ]
    heard = [found[:2] for found in captions]
    heard[7] = heard[7][:0]
    assert second_stage.fit_retrieval_head(model.descriptors, pooled[:1], heard[:1], 0) is None
    second_stage.fit_retrieval_head(model.descriptors, pooled[:120], heard[:120], 0)
    with torch.no_grad():
        scenes = model.descriptors.embed_scene(pooled[120:])
        unheard = np.stack([found[2] for found in captions[120:]])
        texts = model.descriptors.embed_text(torch.from_numpy(unheard))
    right = (texts @ scenes.T).argmax(1) == torch.arange(40)
    assert right.float().mean() > 0.8
