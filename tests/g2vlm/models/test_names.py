"""The class that a sentence asks for: its targets, its loss and its use."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from g2vlm.models.fusion import named_share
from g2vlm.training.data import language_batch
from g2vlm.training.loss_functions import label_loss, name_loss
from tests.g2vlm.models.build import small_model, train_set

COUNTS = {"references": 3, "questions": 3, "captions": 1, "phrases": 1}


def reference(name, targets):
    return {"id": name, "text": "the box", "targets": targets, "anchors": []}


def question(name, kind, objects):
    return {"id": name, "type": kind, "text": "how many boxes", "objects": objects, "answer": "1"}


def test_targets_of_the_class_that_sentences_ask_for(monkeypatch):
    scene = train_set().scenes[0]
    by_class: dict[int, list[int]] = {}
    for index, row in scene.rows.items():
        by_class.setdefault(int(scene.classes[row]), []).append(index)
    (one, ones), (other, others) = list(by_class.items())[:2]
    annotation = scene.annotation | {
        "references": [reference("r0", [others[0]]), reference("r1", [])],
        "questions": [
            question("q0", "count", ones),
            question("q1", "relative_distance", ones),
            question("q2", "existence", [ones[0], others[0]]),
        ],
    }
    # In the order they stand in, instead of drawn.
    draw = SimpleNamespace(permutation=np.arange)
    words = small_model().vocabulary
    batch = language_batch(
        train_set(), [replace(scene, annotation=annotation)], words, COUNTS, draw
    )
    # Two references, a padded one, and three questions: counted; not of one class; of two classes.
    assert batch.named.tolist() == [[other, -1, -1, one, -1, -1]]


def test_the_loss_of_the_class_asked_for():
    logits = torch.zeros(1, 3, 4)
    logits[0, 1, 2] = 20.0
    assert label_loss(logits, torch.tensor([[-1, -1, -1]])) == 0
    assert label_loss(logits, torch.tensor([[-1, 2, -1]])) < 1e-6
    assert label_loss(logits, torch.tensor([[0, 2, -1]])).item() == pytest.approx(np.log(4) / 2)


def test_an_object_weighs_as_much_as_another_whatever_its_points():
    # Four points, two classes and structure: three of object 0, which is right, one of object 1.
    logits = torch.tensor([[[9.0, 0, 0], [9, 0, 0], [9, 0, 0], [9, 0, 0]]])
    masks = torch.tensor([[[1.0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]])
    state = SimpleNamespace(class_logits=logits)
    targets = SimpleNamespace(
        masks=masks, present=torch.tensor([[True] * 3]), classes=torch.tensor([[0, 1, 0]])
    )
    # The third object covers no point and is left out; the second is wrong by 9.
    assert name_loss(state, targets).item() == pytest.approx(4.5, abs=1e-3)
    nobody = SimpleNamespace(masks=masks * 0, present=targets.present, classes=targets.classes)
    assert name_loss(state, nobody) == 0


def test_the_share_of_a_named_class():
    match = torch.zeros(1, 2, 40)
    match[0, 1, :20] = 0.5
    match[0, 1, 0] = 0.9
    empty, some = named_share(match)[0]
    assert empty.tolist() == pytest.approx([0, 0, np.log(1e-4) / 4])
    assert some.tolist() == pytest.approx([0.9, 0.5, np.log(10.4 / 40 + 1e-4) / 4], rel=1e-4)


def test_points_of_the_named_class_are_favoured():
    model = small_model()
    classes = torch.full((1, 6, len(model.config.classes) + 1), 0.1)
    state = SimpleNamespace(
        point_features=torch.zeros(1, 6, model.config.point_hidden), class_probabilities=classes
    )
    sentence = torch.zeros(1, 1, model.config.hidden)
    match = torch.tensor([[[0.9, 0.9, 0.1, 0.1, 0.0, 0.0]]])
    with torch.no_grad():
        logits = model.fusion.find_points(state, sentence, match)[0, 0]
    assert logits[0] == logits[1] > logits[2] == logits[3] > logits[4]
