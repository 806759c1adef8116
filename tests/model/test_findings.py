"""What objects say to a question."""

from __future__ import annotations

import pytest
import torch
from build import small_model, train_set
from torch.nn import functional as F

from g2vlm.models.batch import build_text
from g2vlm.models.findings import LONGEST_M, OCTAVES, triple_geometry, waves
from g2vlm.models.reader import ObjectSet
from g2vlm.training import survey
from g2vlm.training.answering import Mentions, mentions_of, refit_answers, role_losses


def test_who_stands_at_one_object_and_faces_another_has_the_third_at_a_side():
    # At the first, facing the second (along x), the third is to the left (+y), as far and up.
    centre = torch.tensor([[[0.0, 0, 0], [2, 0, 0], [0, 2, 0.1]]])
    nearer, sine, cosine = triple_geometry(centre)[0, 0, 1, 2].tolist()
    assert nearer == pytest.approx(0, abs=0.01)
    assert (sine, cosine) == pytest.approx((1, 0), abs=1e-6)
    # Seen from the second towards the first, the third is ahead to the right, and farther.
    nearer, sine, cosine = triple_geometry(centre)[0, 1, 0, 2].tolist()
    assert nearer < -0.9 and sine == pytest.approx(-(0.5**0.5)) and cosine > 0


def test_waves_tell_near_values_apart():
    values = torch.tensor([[0.0], [LONGEST_M / 2**OCTAVES], [LONGEST_M / 2]])
    found = waves(values)
    assert found.shape == (3, 2 * OCTAVES)
    assert (found[0] - found[1]).abs().max() > 1 and (found[0] - found[2]).abs().max() > 1


@pytest.mark.parametrize("method", ["full", "no_geometry_module", "no_alignment"])
def test_padding_changes_nothing(method):
    model, data = small_model(method), train_set()
    (objects, _), *_ = survey.survey(model, data.scenes).seen[0].sets()
    batch = ObjectSet(*(part[None] for part in vars(objects).values()))
    padded = ObjectSet(
        *(F.pad(part[None], (0, 0, 0, 2)) for part in list(vars(objects).values())[:4]),
        F.pad(objects.present[None], (0, 2)),
    )
    text = data.scenes[0].annotation["questions"][0]["text"]
    asked = build_text(data.texts, [[text]])
    model.eval()
    with torch.no_grad():
        alone, beside = model.find(asked, batch)[0], model.find(asked, padded)[0]
    assert bool(torch.isfinite(alone).all())
    torch.testing.assert_close(alone, beside, atol=1e-4, rtol=1e-4)


def test_mentions_are_looked_for_among_the_objects_at_hand():
    data = train_set()
    scene = data.scenes[0]
    entry = scene.annotation["objects"][0]
    name = entry["class"]
    question = {"text": f"where is the {name}", "objects": [entry["index"]]}
    model = small_model()
    (objects, index), *_ = survey.survey(model, data.scenes).seen[0].sets()
    batch = ObjectSet(*(part[None] for part in vars(objects).values()))
    wanted = mentions_of(data, [scene], [[question]], [index], batch)
    assert wanted.where[0, 0, 0].tolist() == [float(k == entry["index"]) for k in index]
    assert wanted.where[0, 0, 1:].sum() == 0
    assert wanted.kinds[0, 0].tolist() == [int(scene.all_classes[0]), -1, -1]
    assert wanted.painted[0, 0].tolist() == [len(data.colours), -1, -1]
    assert wanted.paints.tolist() == [[0 if k >= 0 else -1 for k in index]]
    nothing = Mentions(*(part * 0 - int(name != "where") for name, part in vars(wanted).items()))
    _, roles = model.find(build_text(data.texts, [["the box"]]), batch)
    assert all(float(value.detach()) == 0 for value in role_losses(roles, nothing).values())


def test_fitting_moves_findings_and_decoder_alone_and_is_the_same_twice():
    model, data = small_model(), train_set()
    seen = survey.survey(model, data.scenes).seen
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def fitted():
        model.load_state_dict(before)
        return refit_answers(model, seen, data, 3, 3), {
            name: value.clone() for name, value in model.state_dict().items()
        }

    losses, after = fitted()
    assert set(losses) == {"answer", "caption", "roles", "names", "painted", "paints"}
    changed = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert changed == {"findings", "decoder"}
    again, same = fitted()
    assert again == losses and all(torch.equal(after[name], same[name]) for name in after)
