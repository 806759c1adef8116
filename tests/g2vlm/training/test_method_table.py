"""The table of methods says what training does: losses, labels and heads of every method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from g2vlm.models.batch import stack_scenes
from g2vlm.models.config import Switches, method_switches
from g2vlm.models.layers import seed_dropout
from g2vlm.training.data import StepOutputs, geometry_batch, language_batch, object_batch
from g2vlm.training.losses import LOSSES, parts_of, supervision
from g2vlm.training.method_table import PROPERTIES, method_table
from g2vlm.training.objective import Objective
from tests.g2vlm.models.build import METHODS, read_method, small_model, train_set, train_settings

NAMES = [path.stem for path in METHODS]
COUNTS = {"references": 3, "questions": 3, "captions": 2, "phrases": 2}
# Columns whose labels are 3D labels of objects.
OF_OBJECTS = {
    f"{loss.name}/{part.name}" for loss in LOSSES for part in parts_of(loss) if part.of_objects
}


def switches(method: str) -> Switches:
    """The switches of a method file."""
    return Switches(**method_switches(read_method(method)))


def step_outputs(method: str, supervised: np.ndarray, seed: int = 0) -> StepOutputs:
    """A step of the second stage over toy rooms, with outputs that depend on the seed alone."""
    model, data = small_model(method).train(), train_set(2)
    seed_dropout(model, seed, "step")
    random = np.random.default_rng(0)
    scenes = list(data.scenes)
    state = model.encode(stack_scenes([scene.inputs for scene in scenes], model.config))
    geometry = geometry_batch(scenes, supervised, len(model.config.classes), 64, random)
    language = None
    if model.config.language:
        language = language_batch(data, scenes, model.vocabulary, COUNTS, random)
    weights = Objective(model, data, train_settings(), 0).weights
    return StepOutputs(model, state, geometry, object_batch(scenes), language, weights)


def terms(outputs: StepOutputs) -> dict[str, torch.Tensor]:
    """All losses of a step, or their parts, by column."""
    objective = Objective(outputs.model, train_set(2), train_settings(), 0)
    values, parts = objective.terms(outputs)
    whole = {loss.name for loss in LOSSES if loss.parts}
    return {name: value for name, value in values.items() if name not in whole} | parts


@pytest.mark.parametrize("method", NAMES)
def test_a_method_has_the_losses_of_the_table(method):
    shares = supervision(switches(method))
    found = terms(step_outputs(method, np.array([True, True])))
    # A loss without labels is computed over no object, and is 0.
    assert {name for name, share in shares.items() if share} == found.keys() - (
        OF_OBJECTS if switches(method).supervision_3d == 0 else set()
    )


@pytest.mark.parametrize("method", ["full", "minimal_3d_vlm", "reconstruction_only"])
def test_3d_labels_of_objects_count_in_supervised_scenes_alone(method):
    outputs = step_outputs(method, np.array([True, False]))
    geometry, objects = outputs.geometry, outputs.objects
    before = terms(outputs)
    for scene, moves in ((1, False), (0, True)):
        shift = torch.zeros(2, 1)
        shift[scene] = 0.5
        other = replace(
            outputs,
            geometry=replace(
                geometry,
                boxes=geometry.boxes + shift[..., None],
                solid=torch.where(shift > 0, 1 - geometry.solid, geometry.solid),
            ),
            objects=replace(
                objects, boxes=objects.boxes + shift[..., None], yaw=objects.yaw + shift
            ),
        )
        seed_dropout(outputs.model, 0, "step")
        after = terms(other)
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed == (OF_OBJECTS if moves else set()), scene


def test_an_unsupervised_method_learns_from_no_3d_label_of_an_object():
    found = terms(step_outputs("geometry_free_vlm", np.array([False, False])))
    assert {name for name in OF_OBJECTS if float(found[name].detach())} == set()


@pytest.mark.parametrize("method", NAMES)
def test_one_seed_gives_every_method_the_same_weights_and_masks(method):
    def build(name):
        torch.manual_seed(3)
        return small_model(name)

    own, full = build(method), build("full")
    for (name, value), other in zip(
        own.state_dict().items(), full.state_dict().values(), strict=True
    ):
        assert torch.equal(value, other), name
    x = torch.ones(4, 3, own.config.hidden)
    masks = []
    for model in (own, full):
        seed_dropout(model.train(), 5, "7.0")
        if model is full:
            # Another module may draw first; the masks of this one stay.
            model.encoder.layers[0].drop(x)
        masks.append(model.decoder.layers[0].drop(x))
    assert torch.equal(*masks)
    assert 0 < (masks[0] == 0).float().mean() < 0.5
    seed_dropout(own, 6, "7.0")
    assert not torch.equal(own.decoder.layers[0].drop(x), masks[0])


def test_the_table_has_a_column_a_method_and_a_row_a_property_and_loss():
    heads, rows = method_table({name: switches(name) for name in NAMES})
    assert heads[2:] == NAMES
    count = sum(map(len, PROPERTIES.values())) + len(supervision(switches("full")))
    assert len(rows) == count and {len(row) for row in rows} == {len(heads)}
    cells = {row[1].partition(":")[0]: dict(zip(NAMES, row[2:], strict=True)) for row in rows}
    assert cells["sensor depth"]["full"] == "yes"
    assert cells["sensor depth"]["no_depth"] == "–"
    assert cells["spatial/box"]["minimal_3d_vlm"] == "10%"
    assert cells["spatial/box"]["geometry_free_vlm"] == "–"
    assert cells["pair geometry of predicted boxes"]["no_comparison"] == "–"
