"""The context of a question and the fit of the question-answering head."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from g2vlm.models.batch import build_text
from g2vlm.models.decoder import LEAST_NUMBER, MEASURES, SIDES, build_words
from g2vlm.models.heads import PAIR
from g2vlm.models.layers import OCTAVES, waves
from g2vlm.models.qa_context import (
    CUES,
    LONGEST_M,
    PAIRS,
    RELATIONS,
    ROOM,
    box_distances,
    measure_room,
    triple_geometry,
)
from g2vlm.models.referring_head import ROLES, ObjectSet
from g2vlm.training import second_stage
from g2vlm.training.text_heads import MentionTargets, mention_targets, role_losses, train_qa_head
from tests.g2vlm.models.build import small_model, train_set
from tests.g2vlm.models.rooms import CLASSES


def test_triple_geometry_gives_the_turn_of_an_observer_to_the_third_object():
    # At the first, facing the second (along x), the third is to the left (+y), as far and up.
    centre = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 2, 0.1]])
    boxes = torch.cat([centre, torch.full((3, 3), 0.2)], dim=-1)[None]
    nearer, sine, cosine = triple_geometry(boxes)[0, 0, 1, 2].tolist()
    assert nearer == pytest.approx(0, abs=0.01)
    assert (sine, cosine) == pytest.approx((1, 0), abs=1e-6)
    # Seen from the second towards the first, the third is ahead to the right, and farther.
    nearer, sine, cosine = triple_geometry(boxes)[0, 1, 0, 2].tolist()
    assert nearer < -0.9 and sine == pytest.approx(-(0.5**0.5)) and cosine > 0


def test_distances_are_between_boxes_not_centres():
    """A long table's centre is farther than a cup's, its edge nearer."""
    boxes = torch.tensor([[[0.0, 0, 0, 0.2, 0.2, 0.2], [1.5, 0, 0, 2, 1, 1], [0, 1.0, 0, 0, 0, 0]]])
    gaps = box_distances(boxes)[0]
    assert gaps[0].tolist() == pytest.approx([0, 0.4, 0.9])
    torch.testing.assert_close(gaps, gaps.T)
    assert float(triple_geometry(boxes)[0, 0, 2, 1, 0]) > 0.9


@pytest.mark.parametrize("turn", [0.0, 0.26, 1.2])
def test_room_measures_do_not_depend_on_its_turn(turn):
    draw = torch.Generator().manual_seed(0)
    room = torch.rand(1, 20_000, 3, generator=draw) * torch.tensor([5.0, 3, 2.5])
    room[:, :40] = 30.0  # A few stray points.
    cos, sin = torch.tensor(turn).cos(), torch.tensor(turn).sin()
    turned = room @ torch.tensor([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    found = measure_room(turned).exp()
    assert found.shape == (1, ROOM)
    assert found[0].tolist() == pytest.approx([15, 5, 3, 2.5], rel=0.12)


def test_asked_role_is_the_one_nearer_to_the_third_role():
    context = small_model().qa_context
    sentence = torch.zeros(1, 1, context.third_role.in_features)
    # As seen from role 0, role 2 is nearer than role 1; from 1, 0 than 2; from 2, both alike.
    triples = torch.zeros(1, 1, 9)
    triples[..., 0], triples[..., 3] = 1, -1
    for anchor, likely in ((0, [0, 0.018, 0.982]), (1, [0.982, 0, 0.018]), (2, [0.5, 0.5, 0])):
        with torch.no_grad():
            context.third_role.bias.copy_(
                20 * F.one_hot(torch.tensor(anchor), CUES * ROLES).float()
            )
            found = context.asked(sentence, triples, torch.zeros(1, 1, 6 * (PAIR + RELATIONS)))
        assert found[0, 0].tolist() == pytest.approx(likely, abs=1e-3)


def test_asked_role_is_the_one_on_the_third_role():
    context = small_model().qa_context
    sentence = torch.zeros(1, 1, context.third_role.in_features)
    pairs = torch.zeros(1, 1, len(PAIRS), PAIR + RELATIONS)
    # Role 1 is on role 2, and nothing else on anything.
    pairs[0, 0, PAIRS.index((1, 2)), PAIR] = 0.9
    for anchor, likely in ((2, [0, 1, 0]), (0, [0, 0.5, 0.5])):
        with torch.no_grad():
            wanted = F.one_hot(torch.tensor(ROLES + anchor), CUES * ROLES)
            context.third_role.bias.copy_(20 * wanted.float())
            found = context.asked(sentence, torch.zeros(1, 1, 9), pairs.flatten(2))
        assert found[0, 0].tolist() == pytest.approx(likely, abs=3e-3)


def test_side_depends_on_the_viewpoint_of_the_sentence():
    context = small_model().qa_context
    # Role 0 is at the camera's left of role 1 and ahead of role 2, which is the camera's nearest.
    centre = torch.tensor([[2.0, 1.5, 0], [2, 0, 0], [0.5, 1.5, 0]])
    boxes = torch.cat([centre, torch.full((3, 3), 0.2)], dim=-1)[None]
    objects = ObjectSet(*[torch.zeros(1, 3, 1)] * 2, boxes, *[torch.zeros(1, 3, 1)] * 2)
    alone = torch.eye(3)[None, None]
    directions = context.directions(alone, objects)
    triples = context.triples(alone, triple_geometry(boxes))
    sentence = torch.zeros(1, 1, context.viewpoint.in_features)
    ways = {PAIRS.index((0, 1)): "left", PAIRS.index((1, 0)): "right"}
    ways |= {PAIRS.index((0, 2)): "behind", PAIRS.index((2, 0)): "front"}
    # Who stands at role 0 and faces role 1 has role 2 to the right.
    ways |= {len(PAIRS): "right"}
    for way, side in ways.items():
        with torch.no_grad():
            wanted = F.one_hot(torch.tensor(way), context.viewpoint.out_features)
            context.viewpoint.bias.copy_(20 * wanted.float())
            found = context.sides(sentence, directions, triples)[0, 0]
        assert found.sum() == pytest.approx(1) and found[SIDES.index(side)] > 0.9
    blind = small_model("no_comparison").qa_context
    nothing = blind.compared(triple_geometry(boxes))
    told = blind.directions(alone, objects), blind.triples(alone, nothing)
    assert blind.sides(sentence, *told)[0, 0].tolist() == pytest.approx([0.25] * 4)


# Roles whose distances are measured, in this order.
PAIRED = ((0, 1), (0, 2), (1, 2))


def test_hints_hold_the_measured_numbers():
    """Area of the room, longest sides in cm and distances in m, whatever else is learned."""
    model, data = small_model(), train_set()
    (objects, _), *_ = second_stage.cache_features(model, data.scenes)[1][0].sets
    batch = ObjectSet(*(part[None] for part in vars(objects).values()))
    text = build_text(data.texts, [["how long is the lamp"]])
    room = torch.tensor([[3.0, 1.6, 1.4, 0.9]])
    with torch.no_grad():
        found = model.question_context(text, batch, room)
        shares = found.roles.log_attention.exp()[0, 0].square()
        shares = shares / shares.sum(-1, keepdim=True)
        assert found.hints.measures.shape == (1, 1, MEASURES)
        area, *longest = found.hints.measures[0, 0, : 1 + ROLES].tolist()
        wanted = (100 * (shares @ objects.boxes[:, 3:]).amax(-1)).log().tolist()
        assert area == 3.0 and longest == pytest.approx(wanted, abs=1e-4)
        far = [shares[r] @ box_distances(objects.boxes[None])[0] @ shares[s] for r, s in PAIRED]
        wanted = torch.stack(far).clamp(min=LEAST_NUMBER).log().tolist()
        assert found.hints.measures[0, 0, 1 + ROLES :].tolist() == pytest.approx(wanted, abs=1e-4)
        assert found.hints.named.sum() == pytest.approx(1, abs=1e-3)
        blind = small_model("no_comparison")
        lost = blind.question_context(text, batch, room).hints.measures[0, 0].isnan().tolist()
        assert lost == [False] * (1 + ROLES) + [True] * 3


def test_waves_distinguish_close_values():
    values = torch.tensor([[0.0], [LONGEST_M / 2**OCTAVES], [LONGEST_M / 2]])
    found = waves(values, LONGEST_M)
    assert found.shape == (3, 2 * OCTAVES)
    assert (found[0] - found[1]).abs().max() > 1 and (found[0] - found[2]).abs().max() > 1


@pytest.mark.parametrize("method", ["full", "no_comparison", "no_alignment"])
def test_padding_changes_nothing(method):
    model, data = small_model(method), train_set()
    (objects, _), *_ = second_stage.cache_features(model, data.scenes)[1][0].sets
    batch = ObjectSet(*(part[None] for part in vars(objects).values()))
    padded = ObjectSet(
        *(F.pad(part[None], (0, 0, 0, 2)) for part in list(vars(objects).values())[:4]),
        F.pad(objects.present[None], (0, 2)),
    )
    text = data.scenes[0].annotation["questions"][0]["text"]
    asked = build_text(data.texts, [[text]])
    model.eval()
    with torch.no_grad():
        room = torch.zeros(1, ROOM)
        alone, together = (model.question_context(asked, b, room).memory for b in (batch, padded))
    assert bool(torch.isfinite(alone).all())
    torch.testing.assert_close(alone, together, atol=1e-4, rtol=1e-4)


def test_mention_targets_are_among_the_given_objects():
    data = train_set()
    scene = data.scenes[0]
    entry = scene.annotation["objects"][0]
    name = entry["class"]
    question = {"text": f"where is the {name}", "objects": [entry["index"]], "answer": "behind"}
    model = small_model()
    (objects, index), *_ = second_stage.cache_features(model, data.scenes)[1][0].sets
    sets = [(objects, index)]
    batch = ObjectSet(*(part[None] for part in vars(objects).values()))
    wanted = mention_targets(data, [scene], [[question]], sets, batch)
    assert wanted.objects[0, 0, 0].tolist() == [float(k == entry["index"]) for k in index]
    assert wanted.objects[0, 0, 1:].sum() == 0 and wanted.named.sum() == 0
    naming = mention_targets(data, [scene], [[question | {"answer": name}]], sets, batch)
    assert naming.named[0, 0].tolist() == [1, 0, 0]
    assert wanted.classes[0, 0].tolist() == [int(scene.all_classes[0]), -1, -1]
    assert wanted.colours[0, 0].tolist() == [len(data.colours), -1, -1]
    assert wanted.object_colours.tolist() == [[0 if k >= 0 else -1 for k in index]]
    void = {name: 0 if name in ("objects", "named") else -1 for name in vars(wanted)}
    nothing = MentionTargets(*(part * 0 + void[name] for name, part in vars(wanted).items()))
    found = model.question_context(
        build_text(data.texts, [["the box"]]), batch, torch.zeros(1, ROOM)
    )
    assert all(float(value.detach()) == 0 for value in role_losses(found, nothing).values())


def test_the_fit_changes_context_and_decoder_only_and_repeats_to_the_bit():
    model, data = small_model(words=build_words(["a room", "left", *CLASSES])), train_set()
    seen = second_stage.cache_features(model, data.scenes)[1]
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def fitted():
        model.load_state_dict(before)
        return train_qa_head(model, seen, data, 3, 3), {
            name: value.clone() for name, value in model.state_dict().items()
        }

    losses, after = fitted()
    parts = {
        "answer",
        "number",
        "measure",
        "sides",
        "caption",
        "asked",
        "roles",
        "classes",
        "colours",
        "object_colours",
    }
    assert set(losses) == parts and all(value > 0 for value in losses.values())
    changed = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert changed == {"qa_context", "decoder"}
    # Weights decay without a gradient too; biases that begin at nothing do not.
    decoder, context = model.decoder, model.qa_context
    copying = (decoder.measure, decoder.copy, context.third_role, context.viewpoint)
    model.load_state_dict(before)
    with torch.no_grad():
        for part in copying:
            part.bias.zero_()
    train_qa_head(model, seen, data, 3, 3)
    for part in copying:
        assert float(part.bias.detach().abs().min()) > 0
    model.load_state_dict(before)
    again, same = fitted()
    assert again == losses and all(torch.equal(after[name], same[name]) for name in after)
