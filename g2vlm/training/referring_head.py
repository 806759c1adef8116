"""The referring head, fitted on cached features with every training scene's references.

Shapes: B scenes, R references, N objects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from g2vlm.models.batch import Movable, build_text
from g2vlm.models.model import G2VLM
from g2vlm.models.referring_head import ABSENT, ROLES, Referral
from g2vlm.training.cache_features import CachedScene
from g2vlm.training.data import ONE_CLASS, TrainSet, sample
from g2vlm.training.geometry_losses import masked_mean
from g2vlm.training.language_losses import mass_loss
from g2vlm.training.targets import TrainScene
from g2vlm.training.training_loop import IndexedSet, fit_one_cycle, sample_sets, stack_sets
from metrics.files import rng

SCENES_A_STEP = 8
REFERENCES_A_SCENE = 10
RATE = 3e-3
DECAY = 0.05
# Weights of the losses (`referring_losses`).
WEIGHTS = {
    "chosen": 1.0,
    "each": 1.0,
    "anchors": 0.5,
    "classes": 0.3,
    "zero": 0.5,
    "object_colours": 0.3,
    "colours": 0.3,
}


@dataclass(frozen=True)
class ReferringTargets(Movable):
    """Targets of R references over N objects.

    Attributes:
        targets: [B,R,N], 1 for objects that are meant.
        anchors: [B,R,N], 1 for objects that are named as anchors.
        zero: [B,R], 1 where nothing is meant, -1 = no reference.
        classes: i64 [B,R,ROLES], class of each role, -1 = unknown.
        colours: i64 [B,R,ROLES], colour of each role, -1 = unknown.
        object_colours: i64 [B,N], colour of each object, -1 = unknown.
    """

    targets: Tensor
    anchors: Tensor
    zero: Tensor
    classes: Tensor
    colours: Tensor
    object_colours: Tensor


def train_referring_head(
    model: G2VLM, cached: Sequence[CachedScene], data: TrainSet, seed: int, steps: int
) -> dict[str, float]:
    """Fit `model.referring_head` on ground-truth and detected objects.

    The same objects, weights and seed give the same bits.

    Args:
        model: the trained model.
        cached: the objects of the first scenes of `data`.
        data: the training set.
        seed: of the training.
        steps: optimizer steps.

    Returns:
        the mean losses of the last tenth of the steps; nothing without objects.
    """
    # The key of the generator holds an old name: another would change every weight.
    random = rng(seed, "refit_reader", "")
    torch.manual_seed(int(random.integers(2**62)))
    sets = [scene.sets for scene in cached]
    usable = [row for row, scene_sets in enumerate(sets) if scene_sets]
    if not usable:
        return {}

    def sample_losses() -> dict[str, Tensor]:
        rows, chosen = sample_sets(random, sets, usable, SCENES_A_STEP)
        scenes = [data.scenes[row] for row in rows]
        sampled = [sample(references(scene), REFERENCES_A_SCENE, random) for scene in scenes]
        objects = stack_sets(chosen)
        device = objects.boxes.device
        text = build_text(data.texts, [[r["text"] for r in some] for some in sampled]).to(device)
        targets = referring_targets(data, scenes, sampled, chosen, objects.present.shape[1])
        return referring_losses(model.referring_head(text, objects), targets.to(device))

    parameters = model.referring_head.parameters()
    return fit_one_cycle(parameters, sample_losses, WEIGHTS, steps, RATE, DECAY)


def references(scene: TrainScene) -> list[Mapping[str, Any]]:
    """Return a scene's references, and its questions of how many or whether, as references."""
    questions = [
        {"text": question["text"], "targets": question["objects"], "anchors": []}
        for question in scene.annotation["questions"]
        if question["type"] in ONE_CLASS
    ]
    return [*scene.annotation["references"], *questions]


def referring_targets(
    data: TrainSet,
    scenes: Sequence[TrainScene],
    sampled: Sequence[Sequence[Mapping[str, Any]]],
    sets: Sequence[IndexedSet],
    size: int,
) -> ReferringTargets:
    """Return the targets of sampled references.

    Args:
        data: the training set.
        scenes: the B scenes.
        sampled: references of each scene.
        sets: the objects of each scene, with their indices in the annotation.
        size: number of objects N after padding.
    """
    count = max(1, max(map(len, sampled)))
    objects = np.zeros((2, len(scenes), count, size), np.float32)  # targets, anchors
    zero = np.full((len(scenes), count), -1, np.float32)
    classes, colours = np.full((2, len(scenes), count, ROLES), -1, np.int64)
    for b, (scene, some, (_, index)) in enumerate(zip(scenes, sampled, sets, strict=True)):
        for r, reference in enumerate(some):
            zero[b, r] = not reference["targets"]
            for row, part in zip(objects, ("targets", "anchors"), strict=True):
                row[b, r, : len(index)] = np.isin(index, reference[part])
            # One example object of each role.
            examples = [reference["targets"][:1], *_anchors(scene, reference["anchors"])]
            mentions = data.mentions(scene, reference["text"], scene.class_of)
            for role, example in enumerate(examples):
                if example:
                    classes[b, r, role] = scene.class_of[example[0]]
                    names = [one.colour for one in mentions if example[0] in one.objects]
                    colours[b, r, role] = data.colour_number(names[0] if names else None)
    arrays = (*objects, zero, classes, colours, colour_targets(data, scenes, sets, size))
    return ReferringTargets(*(torch.from_numpy(array) for array in arrays))


def colour_targets(
    data: TrainSet, scenes: Sequence[TrainScene], sets: Sequence[IndexedSet], size: int
) -> np.ndarray:
    """Return the colours i64 [B,size] of the scenes' objects, -1 = unknown."""
    out = np.full((len(scenes), size), -1, np.int64)
    for row, scene, (_, index) in zip(out, scenes, sets, strict=True):
        names = [scene.colours.get(one) or None for one in index.tolist()]
        row[: len(index)] = [data.colour_number(name) for name in names]
    return out


def _anchors(scene: TrainScene, anchors: Sequence[int]) -> list[list[int]]:
    """Return an anchor for each of the two anchor roles, of two classes if there are two.

    A single anchor fills both roles.
    """
    # The first anchor of each class: later assignments overwrite, so they go in reverse.
    first = {scene.class_of[index]: [index] for index in reversed(anchors)}
    found = [first[label] for label in sorted(first)]
    return ([*found, found[0]] if found else [[], []])[:2]


def referring_losses(referral: Referral, targets: ReferringTargets) -> dict[str, Tensor]:
    """Return the losses of the referring head.

    chosen: -log of the probability on the targets.
    each: whether each object is a target.
    anchors: each anchor has the attention of some anchor role.
    classes, colours: of the roles.
    object_colours: of the objects.
    zero: whether nothing is meant.
    """
    asked = targets.zero >= 0  # (B, R)
    present = (referral.logits > ABSENT) & asked[..., None]  # (B, R, N)
    each = F.binary_cross_entropy_with_logits(
        referral.logits.clamp(min=-20), targets.targets, reduction="none"
    )
    attention = referral.roles.log_attention[:, :, 1:].amax(2).clamp(min=-8)
    zero = F.binary_cross_entropy_with_logits(
        referral.zero_logit, targets.zero.clamp(min=0), reduction="none"
    )
    return {
        "chosen": mass_loss(referral.logits.log_softmax(-1), targets.targets),
        "each": masked_mean(each, present),
        "anchors": masked_mean(-attention, targets.anchors),
        "classes": label_loss(referral.roles.classes, targets.classes),
        "colours": label_loss(referral.roles.colours, targets.colours),
        "object_colours": label_loss(referral.roles.object_colours, targets.object_colours),
        "zero": masked_mean(zero, asked),
    }


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of labels i64 [...] given logits [...,K]; 0 if all are -1."""
    total = F.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), ignore_index=-1, reduction="sum"
    )
    return total / (labels >= 0).sum().clamp(min=1)
