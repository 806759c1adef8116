"""The object reader, fitted last of all on every training scene's objects and references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from g2vlm.models.batch import build_text
from g2vlm.models.model import G2VLM
from g2vlm.models.referring_head import ABSENT, ROLES, Reading
from g2vlm.training.cache_features import SeenScene
from g2vlm.training.data import ONE_CLASS, TrainSet
from g2vlm.training.geometry_losses import masked_mean
from g2vlm.training.language_losses import mass_loss
from g2vlm.training.targets import TrainScene
from g2vlm.training.training_loop import IndexedSet, draw_sets, fit_parts, stack_sets
from metrics.files import rng

SCENES_A_STEP = 8
REFERENCES_A_SCENE = 10
RATE = 3e-3
DECAY = 0.05
# What each part of the loss weighs beside the choice of the object.
WEIGHTS = {"chosen": 1.0, "each": 1.0, "anchors": 0.5, "names": 0.3, "zero": 0.5}
WEIGHTS |= {"paints": 0.3, "painted": 0.3}


@dataclass(frozen=True)
class Wanted:
    """What references should be read as; N objects, R references.

    targets, anchors [B,R,N] (0 or 1); zero [B,R]: 1 where nothing is meant, -1 = no reference;
    names, painted i64[B,R,ROLES]: class and colour of each role, paints i64[B,N]: colour of each
    object, -1 = not known.
    """

    targets: Tensor
    anchors: Tensor
    zero: Tensor
    names: Tensor
    painted: Tensor
    paints: Tensor


def refit_reader(
    model: G2VLM, seen: Sequence[SeenScene], data: TrainSet, seed: int, steps: int
) -> dict[str, float]:
    """Fit `model.reader` for `steps` on true masks and detected objects alike.

    `seen` are the objects of the first scenes of `data`. Returns the mean losses of the last tenth
    of the steps; the same objects, weights and seed give the same bits.
    """
    draw = rng(seed, "refit_reader", "")
    torch.manual_seed(int(draw.integers(2**62)))
    sets = [one.sets for one in seen]
    usable = np.array([k for k, one in enumerate(sets) if one], int)
    if not len(usable):
        return {}

    def losses_of() -> dict[str, Tensor]:
        rows, chosen = draw_sets(draw, sets, usable, SCENES_A_STEP)
        return reading_losses(*_read(model, data, rows, chosen, draw))

    return fit_parts(model.reader.parameters(), losses_of, WEIGHTS, steps, RATE, DECAY)


def _read(
    model: G2VLM,
    data: TrainSet,
    rows: Sequence[int],
    chosen: Sequence[IndexedSet],
    draw: np.random.Generator,
) -> tuple[Reading, Wanted]:
    """Read references drawn of the scenes `rows` against a set of objects of each."""
    scenes = [data.scenes[row] for row in rows]
    drawn = []
    for scene in scenes:
        every = told_of(scene)
        drawn.append([every[k] for k in draw.permutation(len(every))[:REFERENCES_A_SCENE]])
    device = chosen[0][0].boxes.device
    objects = stack_sets(chosen)
    text = build_text(data.texts, [[r["text"] for r in some] for some in drawn]).to(device)
    indices = [index for _, index in chosen]
    wanted = wanted_of(data, scenes, drawn, indices, objects.present.shape[1])
    wanted = Wanted(**{name: value.to(device) for name, value in vars(wanted).items()})
    return model.reader(text, objects), wanted


def told_of(scene: TrainScene) -> list[Mapping[str, Any]]:
    """References of a scene, and its questions of how many or whether, which mean objects too."""
    asked = [q for q in scene.annotation["questions"] if q["type"] in ONE_CLASS]
    more = [{"text": q["text"], "targets": q["objects"], "anchors": []} for q in asked]
    return [*scene.annotation["references"], *more]


def wanted_of(
    data: TrainSet,
    scenes: Sequence[TrainScene],
    drawn: Sequence[Sequence[Mapping[str, Any]]],
    indices: Sequence[np.ndarray],
    size: int,
) -> Wanted:
    """What the drawn references should be read as, over objects of these annotation indices."""
    count = max(1, max(map(len, drawn)))
    roles = np.zeros((2, len(scenes), count, size), np.float32)
    zero = np.full((len(scenes), count), -1, np.float32)
    kinds = np.full((2, len(scenes), count, ROLES), -1, np.int64)
    for b, (scene, some, index) in enumerate(zip(scenes, drawn, indices, strict=True)):
        for r, reference in enumerate(some):
            zero[b, r] = not reference["targets"]
            for role, part in enumerate(("targets", "anchors")):
                roles[role, b, r, : len(index)] = np.isin(index, reference[part])
            parts = [reference["targets"][:1], *_anchors(scene, reference["anchors"])]
            said = data.mentions(scene, reference["text"], scene.kinds)
            for role, part in enumerate(parts):
                if part:
                    kinds[0, b, r, role] = scene.kinds[part[0]]
                    names = [one.colour for one in said if part[0] in one.objects]
                    kinds[1, b, r, role] = data.colour_number(names[0] if names else None)
    paints = paints_of(data, scenes, indices, size)
    return Wanted(*(torch.from_numpy(value) for value in (*roles, zero, *kinds, paints)))


def paints_of(
    data: TrainSet, scenes: Sequence[TrainScene], indices: Sequence[np.ndarray], size: int
) -> np.ndarray:
    """Colours i64[B,N] of the objects of these annotation indices, -1 = not known."""
    out = np.full((len(scenes), size), -1, np.int64)
    for row, scene, index in zip(out, scenes, indices, strict=True):
        names = [scene.colours.get(one) or None for one in index.tolist()]
        row[: len(index)] = [data.colour_number(name) for name in names]
    return out


def _anchors(scene: TrainScene, anchors: Sequence[int]) -> list[list[int]]:
    """An anchor for each of the two roles, of two classes if there are; one stands for both."""
    first = {scene.kinds[index]: [index] for index in reversed(anchors)}
    found = [first[kind] for kind in sorted(first)]
    return ([*found, found[0]] if found else [[], []])[:2]


def reading_losses(read: Reading, wanted: Wanted) -> dict[str, Tensor]:
    """Losses by part.

    chosen: -log of the probability on the targets; each: whether each object is one; anchors: each
    has some role's attention; names: the roles' classes; zero: whether nothing is meant; painted,
    paints: colours of roles and objects.
    """
    asked = wanted.zero >= 0
    there = (read.logits > ABSENT) & asked[..., None]
    each = F.binary_cross_entropy_with_logits(
        read.logits.clamp(min=-20), wanted.targets, reduction="none"
    )
    found = read.roles.shares[:, :, 1:].amax(2).clamp(min=-8)
    zero = F.binary_cross_entropy_with_logits(
        read.zero_logit, wanted.zero.clamp(min=0), reduction="none"
    )
    return {
        "chosen": mass_loss(read.logits.log_softmax(-1), wanted.targets),
        "each": masked_mean(each, there),
        "anchors": masked_mean(-found, wanted.anchors),
        "names": label_loss(read.roles.names, wanted.names),
        "painted": label_loss(read.roles.painted, wanted.painted),
        "paints": label_loss(read.roles.paints, wanted.paints),
        "zero": masked_mean(zero, asked),
    }


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of labels i64[...] given logits [...,K]; 0 where all are -1."""
    total = F.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), ignore_index=-1, reduction="sum"
    )
    return total / (labels >= 0).sum().clamp(min=1)
