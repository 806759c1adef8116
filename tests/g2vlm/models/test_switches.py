"""Every switch takes away what it names, and nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields, replace

import pytest
import torch

from g2vlm.models.checkpoint import load_model, save_model
from g2vlm.models.config import ModelConfig, Switches, method_switches
from g2vlm.models.qa_context import measure_room
from metrics.files import InputError
from tests.g2vlm.models.build import METHODS, read_method, scene_batch, sentences, small_model

WORDS = (["the chair", "the red lamp"], ["the table", "a lamp"])


def outputs(model, batch, text=None):
    """Everything a scene and its sentences give, as one flat dict of tensors."""
    with torch.no_grad():
        state = model.encode(batch)
        ground = model.fusion(state, text or sentences(*WORDS))
        xyz = torch.linspace(0, 2, 30).view(1, 10, 3).expand(len(batch.rgb), -1, -1)
        return {
            "points": state.points,
            "classes": state.class_logits,
            "tokens": state.tokens,
            "occupancy": model.occupancy_head(state, xyz),
            "logits": ground.point_logits,
            "memory": ground.text_states,
        }


def changed(model, field, names=None):
    """Names of outputs that differ when a batch's field is replaced by noise."""
    batch = scene_batch(model)
    value = getattr(batch, field)
    noise = torch.rand(value.shape, generator=torch.Generator().manual_seed(1))
    other = replace(batch, **{field: value + 0.3 * noise})
    before, after = outputs(model, batch), outputs(model, other)
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_every_method_has_the_same_parameters():
    counts = {
        path.stem: sum(p.numel() for p in small_model(path.stem).parameters()) for path in METHODS
    }
    assert len(counts) >= 6
    assert len(set(counts.values())) == 1, counts


def test_method_files_set_every_switch():
    for path in METHODS:
        names = {field.name for field in fields(Switches)}
        assert set(method_switches(read_method(path.stem))) == names, path


@pytest.mark.parametrize("field", ["depth", "normal", "partial", "rays", "camera"])
def test_no_geometry_reads_no_geometry(field):
    assert changed(small_model("no_geometry"), field) == set()


@pytest.mark.parametrize("field", ["depth", "normal", "partial", "rays", "rgb", "features"])
def test_full_reads_every_input(field):
    assert {"classes", "tokens", "logits"} <= changed(small_model("full"), field)


@pytest.mark.parametrize("method", ["geometry_free_vlm", "no_depth"])
@pytest.mark.parametrize("field", ["depth", "normal", "partial"])
def test_a_model_without_sensor_reads_none(method, field):
    assert changed(small_model(method), field) == set()


@pytest.mark.parametrize(
    ("whole", "parts"),
    [
        ("no_geometry", ("no_depth", "no_geometry_module")),
        ("no_alignment", ("no_align_loss", "no_cross_attention")),
    ],
)
def test_an_ablation_lacks_what_its_parts_lack(whole, parts):
    full = method_switches(read_method("full"))
    lacks = [
        {k for k, v in method_switches(read_method(name)).items() if v != full[k]}
        for name in (whole, *parts)
    ]
    assert lacks[0] >= lacks[1] | lacks[2] and not lacks[1] & lacks[2]
    assert all(lacks)


def test_two_d_model_uses_rays_only_to_lift():
    moved = changed(small_model("geometry_free_vlm"), "rays")
    assert "points" in moved
    assert not moved & {"classes", "tokens", "logits"}


@pytest.mark.parametrize(("switch", "field"), [("normals", "normal"), ("partial", "partial")])
def test_one_input_switch(switch, field):
    assert changed(small_model("full"), field)
    assert changed(small_model("full", **{switch: False}), field) == set()


@pytest.mark.parametrize("switch", ["depth", "normals", "positions", "partial", "geometry_module"])
def test_a_switch_changes_the_answer(switch):
    model = small_model("full")
    batch = scene_batch(model)
    before = outputs(model, batch)["logits"]
    without = small_model("full", **{switch: False})
    without.load_state_dict(model.state_dict())
    assert not torch.allclose(before, outputs(without, batch)["logits"])


def test_spatial_bias_steers_the_attention():
    model = small_model("full")
    batch = scene_batch(model)
    before = outputs(model, batch)
    with torch.no_grad():
        model.fusion.gates.weight.zero_()
        model.fusion.gates.bias.zero_()
    after = outputs(model, batch)
    assert not torch.allclose(before["memory"], after["memory"])
    assert not torch.allclose(before["logits"], after["logits"])
    plain = small_model("no_geometry")
    before = outputs(plain, batch)
    with torch.no_grad():
        plain.fusion.gates.weight.zero_()
    assert torch.equal(before["logits"], outputs(plain, batch)["logits"])


def test_without_cross_attention_only_the_pooled_vector_is_read():
    text = sentences(*WORDS)
    other = replace(text, states=text.states.flip(0))
    for name, same in (("no_alignment", True), ("full", False)):
        model = small_model(name)
        batch = scene_batch(model)
        before, after = outputs(model, batch, text), outputs(model, batch, other)
        assert torch.equal(before["logits"], after["logits"]) is same
        pooled = replace(text, pooled=text.pooled.flip(0))
        moved = outputs(model, batch, pooled)["logits"]
        assert torch.equal(before["logits"], moved) is not same


@pytest.mark.parametrize("method", [path.stem for path in METHODS])
def test_the_geometry_between_boxes_is_read_where_objects_are_compared(method):
    model = small_model(method)
    state = model.encode(scene_batch(model))
    masks = torch.zeros(2, 3, state.points.shape[1])
    for place in range(3):
        masks[:, place, 10 * place : 10 * place + 10] = 1
    boxes = torch.rand(2, 3, 6, generator=torch.Generator().manual_seed(0)) + 0.2
    objects, text = model.object_set(state, masks, boxes), sentences(*WORDS)
    model.referring_head(text, objects).logits.sum().backward()
    gradient = model.referring_head.pair[0].weight.grad
    assert (gradient is not None and bool(gradient.any())) is model.config.comparison
    # Without it, distances between the roles of a question are unknown.
    context = model.question_context(text, objects, measure_room(state.points))
    measures = context.hints.measures
    assert bool(measures[..., -3:].isnan().all()) is not model.config.comparison


FULL = read_method("full")["switches"]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            {"switches": FULL | {"depht": False}},
            r"x\.yaml: unknown key `switches\.depht`; did you mean `depth`",
        ),
        ({"switches": FULL | {"depth": "no"}}, r"`switches\.depth`: 'no' is not of type 'boolean'"),
        ({"switches": FULL | {"supervision_3d": 3}}, "3 is greater than the maximum of 1; Share"),
        (
            {"switches": FULL | {"supervision_3d": True}},
            "`switches.supervision_3d`: True is not of type 'number'",
        ),
        (
            {"switches": FULL, "normals": False},
            "x.yaml: switch `normals` is at the top; move it under `switches:`",
        ),
        ({"switches": FULL, "swiches": {}}, "x.yaml: unknown key `swiches`"),
        (
            {"switches": {k: v for k, v in FULL.items() if k != "poses"}},
            "x.yaml: key `switches.poses` is missing; add it",
        ),
        ({}, "x.yaml: key `switches.depth` is missing"),
        ({"switches": "d 1.5"}, "x.yaml: `switches` is 'd 1.5'; write its keys, one a line"),
        ({"switches": 1.5}, "x.yaml: `switches` is 1.5; write its keys, one a line"),
        ({"switches": ["depth"]}, r"x.yaml: `switches` is \['depth'\]; write its keys"),
    ],
)
def test_invalid_methods_are_refused(method, message):
    with pytest.raises(InputError, match=message):
        method_switches(method, "config/methods/x.yaml")


def test_config_round_trip():
    config = small_model("minimal_3d_vlm").config
    assert ModelConfig.from_json(asdict(config)) == config


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"depths": 1}, "key `model.depths` is unknown; train the model again"),
        ({"depth": None}, "key `model.depth` is missing; train the model again"),
    ],
)
def test_a_model_with_an_unknown_or_missing_key_is_refused(tmp_path, change, fault):
    save_model(small_model("minimal_3d_vlm"), tmp_path, {})
    path = tmp_path / "config.json"
    document = json.loads(path.read_text())
    document["model"] = {k: v for k, v in (document["model"] | change).items() if v is not None}
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {fault}')}$"):
        load_model(tmp_path)
