"""The referring head: what it compares, what it ignores, and its fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from g2vlm.models.batch import TextBatch
from g2vlm.models.referring_head import ROLES, ObjectSet, Referral, ReferringHead, Roles
from g2vlm.training import second_stage
from g2vlm.training.text_heads import (
    REFERRING_WEIGHTS,
    ReferringTargets,
    referring_losses,
    referring_targets,
    train_referring_head,
)
from tests.g2vlm.models.build import SMALL, small_model, train_set
from tests.g2vlm.models.rooms import CLASSES, TEXT

CHAIR, TABLE, LAMP = range(len(CLASSES))
STEPS, SCENES, QUERIES = 150, 16, 4


def config(**switches):
    return small_model(**SMALL, **switches).config


def objects(kinds: np.ndarray, centres: np.ndarray) -> ObjectSet:
    """Objects of classes [B,N], half a metre wide, at centres [B,N,3]; nothing else tells."""
    count = kinds.shape
    boxes = np.concatenate([centres, np.full_like(centres, 0.5)], axis=-1)
    return ObjectSet(
        look=torch.zeros(*count, SMALL["point_hidden"] + 3),
        classes=F.one_hot(torch.from_numpy(kinds), len(CLASSES) + 1).float(),
        boxes=torch.from_numpy(boxes).float(),
        front=torch.tensor([1.0, 0.0]).expand(*count, 2),
        present=torch.ones(count, dtype=torch.bool),
    )


def near_sentences(anchors: np.ndarray) -> TextBatch:
    """Three words a sentence: the chair, near, and the anchor's class, int [B,Q]."""
    words = torch.from_numpy(np.random.default_rng(7).normal(size=(4, TEXT))).float()
    states = torch.stack(
        [words[CHAIR].expand(*anchors.shape, -1), words[3].expand(*anchors.shape, -1)]
        + [words[torch.from_numpy(anchors)]],
        dim=2,
    )
    mask = torch.ones(states.shape[:3], dtype=torch.bool)
    return TextBatch(states, mask, states.mean(2), mask[..., 0])


def near_case(draw: np.random.Generator) -> tuple[TextBatch, ObjectSet, ReferringTargets]:
    """Two chairs, a table and a lamp; each sentence means the chair nearer to one of the last."""
    kinds = np.tile([CHAIR, CHAIR, TABLE, LAMP], (SCENES, 1))
    centres = draw.uniform(-3, 3, (SCENES, 4, 3))
    centres[..., 2] = 0.3
    anchors = draw.integers(TABLE, LAMP + 1, (SCENES, QUERIES))
    where = anchors + 1  # Objects 2 and 3 are the table and the lamp.
    place = np.take_along_axis(centres, where[..., None], axis=1)
    nearer = np.linalg.norm(centres[:, None, :2] - place[:, :, None], axis=-1).argmin(-1)
    wanted = ReferringTargets(
        classes=torch.from_numpy(
            np.stack([np.full_like(anchors, CHAIR), anchors, anchors], axis=-1)
        ),
        colours=torch.full((SCENES, QUERIES, 3), -1),
        object_colours=torch.full((SCENES, 4), -1),
        targets=F.one_hot(torch.from_numpy(nearer), 4).float(),
        anchors=F.one_hot(torch.from_numpy(where), 4).float(),
        zero=torch.zeros(SCENES, QUERIES),
    )
    return near_sentences(anchors), objects(kinds, centres), wanted


@pytest.mark.parametrize(
    ("switches", "low", "high"),
    [
        ({}, 0.85, 1.0),
        ({"geometry_module": False}, 0.85, 1.0),
        ({"comparison": False}, 0.3, 0.75),
    ],
)
def test_only_methods_that_compare_objects_learn_nearness(switches, low, high):
    draw = np.random.default_rng(0)
    torch.manual_seed(0)
    head = ReferringHead(config(**switches))
    optimizer = torch.optim.AdamW(head.parameters(), lr=5e-3)
    for _ in range(STEPS):
        text, seen, wanted = near_case(draw)
        optimizer.zero_grad()
        sum(referring_losses(head(text, seen), wanted).values()).backward()
        optimizer.step()
    head.eval()
    right = []
    for _ in range(8):
        text, seen, wanted = near_case(draw)
        found = head(text, seen).logits.argmax(-1)
        right.append((found == wanted.targets.argmax(-1)).float().mean())
    assert low <= float(torch.stack(right).mean()) <= high


def test_padding_and_order_do_not_matter():
    draw = np.random.default_rng(1)
    text, seen, _ = near_case(draw)
    torch.manual_seed(0)
    head = ReferringHead(config()).eval()
    alone = head(text, seen)
    padded = ObjectSet(
        *(F.pad(part, (0, 0, 0, 2)) for part in (seen.look, seen.classes, seen.boxes, seen.front)),
        F.pad(seen.present, (0, 2)),
    )
    together = head(text, padded)
    torch.testing.assert_close(together.logits[..., :4], alone.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together.zero_logit, alone.zero_logit, atol=1e-4, rtol=1e-4)
    assert bool((together.logits[..., 4:] < -1000).all())
    order = [2, 0, 3, 1]
    turned = head(text, ObjectSet(*(part[:, order] for part in vars(seen).values())))
    torch.testing.assert_close(turned.logits, alone.logits[..., order], atol=1e-4, rtol=1e-4)


def test_referring_targets():
    data = train_set()
    scene = data.scenes[0]
    label, (first, second) = scene.class_of, list(scene.rows)[:2]
    text = f"the {CLASSES[label[first]]} near the {CLASSES[label[second]]}"
    drawn = [
        {"text": text, "targets": [first], "anchors": [second]},
        {"text": "nothing", "targets": [], "anchors": []},
    ]
    # The second object is not detected, and a detection shows no object.
    detected = (None, np.array([-1, first]))
    wanted = referring_targets(data, [scene, scene], [drawn, drawn[:1]], [detected] * 2, 3)
    assert wanted.targets[0].tolist() == [[0, 1, 0], [0, 0, 0]]
    assert wanted.anchors[0].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert wanted.zero.tolist() == [[0, 1], [0, -1]]
    assert wanted.classes[0].tolist() == [[label[first], *[label[second]] * 2], [-1] * ROLES]
    assert wanted.classes[1, 1].tolist() == [-1] * ROLES
    # No colour is said of either; both are red.
    assert wanted.colours[0].tolist() == [[len(data.colours)] * ROLES, [-1] * ROLES]
    assert wanted.object_colours[0].tolist() == [-1, data.colours.index("red"), -1]


def test_referring_losses():
    logits = torch.tensor([[[9.0, -9.0, -1e4]] * 2])
    shares = torch.tensor([[[[-9.0, 0.0, -9.0]] * ROLES] * 2])
    names = torch.zeros(1, 2, ROLES, 3)
    said, match = torch.zeros(1, 2, ROLES, 4), torch.zeros(1, 2, ROLES, 3)
    roles = Roles(said[:, :, 0], said, names, names, torch.zeros(1, 3, 2), match, shares)
    read = Referral(logits, torch.tensor([[-9.0, 5.0]]), roles)
    target, anchor = torch.tensor([[[1.0, 0, 0], [0, 0, 0]]]), torch.tensor([[[0, 1.0, 0]] * 2])
    # The second sentence is padding.
    nothing = torch.full((1, 2, ROLES), -1)
    paints = torch.full((1, 3), -1)
    zero = torch.tensor([[0.0, -1.0]])
    losses = referring_losses(
        read, ReferringTargets(nothing, nothing, paints, target, anchor, zero)
    )
    assert all(float(value) < 1e-3 for value in losses.values())
    wrong = referring_losses(
        read,
        ReferringTargets(
            nothing + 1,
            nothing + 1,
            paints + 1,
            target.flip(-1),
            anchor.flip(-1),
            torch.tensor([[1.0, 0.0]]),
        ),
    )
    assert float(wrong["zero"]) > 4 and float(wrong["classes"]) == pytest.approx(np.log(3))


def test_the_fit_changes_the_head_only_and_repeats_to_the_bit():
    model, data = small_model(), train_set()
    seen = second_stage.predict_boxes(model, second_stage.cache_features(model, data.scenes)[1])
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def fitted():
        model.load_state_dict(before)
        losses = train_referring_head(model, seen, data, 3, 3)
        return losses, {name: value.clone() for name, value in model.state_dict().items()}

    losses, after = fitted()
    assert set(losses) == set(REFERRING_WEIGHTS)
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("referring_head.") for name in changed)
    again, same = fitted()
    assert again == losses and all(torch.equal(after[name], same[name]) for name in after)
    assert train_referring_head(model, [], data, 3, 3) == {}
