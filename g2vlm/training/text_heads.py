"""The referring head and the question-answering head, fitted on cached features.

They learn from the references and questions of every training scene. The question-answering head
consists of the question context and the decoder.

Shapes: B scenes, R references, Q questions, N objects.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from g2vlm.models.batch import Movable, build_text
from g2vlm.models.decoder import CAPTION, SIDES, START, next_word_loss
from g2vlm.models.layers import seed_dropout
from g2vlm.models.model import G2VLM
from g2vlm.models.qa_context import QAContext
from g2vlm.models.referring_head import ABSENT, ROLES, ObjectSet, Referral
from g2vlm.scenes.language.templates import ONE_CLASS
from g2vlm.training.data import (
    ANSWER_WORDS,
    CAPTION_WORDS,
    TrainSet,
    encode_words,
    log_numbers,
    pad,
    sample,
)
from g2vlm.training.loss_functions import label_loss, masked_mean, mass_loss, number_loss
from g2vlm.training.optimizer import Group, Optimizer
from g2vlm.training.second_stage import (
    CachedScene,
    IndexedSet,
    minimise,
    one_cycle,
    seeded_generator,
)
from g2vlm.training.targets import SceneLabels

DECAY = 0.05
# Scenes of a step have similarly many objects, so that little is padded: of this many times the
# scenes of a step, sorted by their objects, some that follow each other are taken.
BUCKETS = 4
REFERRING_SCENES_A_STEP = 8
REFERENCES_A_SCENE = 10
REFERRING_RATE = 3e-3
# Weights of the losses (`referring_losses`).
REFERRING_WEIGHTS = {
    "chosen": 1.0,
    "each": 1.0,
    "anchors": 0.5,
    "classes": 0.3,
    "zero": 0.5,
    "object_colours": 0.3,
    "colours": 0.3,
}
QA_SCENES_A_STEP = 4
QUESTIONS_A_SCENE = 16
# Scenes of a step whose captions are also learned, so that the decoder does not forget captions.
CAPTIONED_SCENES = 2
QA_RATE = 2e-3
# Weights of the losses (`_qa_losses`, `role_losses`).
QA_WEIGHTS = {
    "answer": 2.0,
    "number": 2.0,
    "caption": 0.5,
    "roles": 1.0,
    "classes": 1.0,
    "measure": 0.5,
    "sides": 1.0,
    "asked": 1.0,
    "colours": 0.3,
    "object_colours": 0.3,
}
# Place of the measure (`decoder.MEASURES`) that a type of question asks for: the room's area, the
# longest side of the first role, the distance between the first two roles.
MEASURE_OF_TYPE = {"room_size": 0, "object_size": 1, "absolute_distance": 1 + ROLES}
SIDE = {name: place for place, name in enumerate(SIDES)}


@dataclass(frozen=True)
class RoleTargets(Movable):
    """Classes and colours of the roles of Q sentences, and colours of N objects.

    Attributes:
        classes: i64 [B,Q,ROLES], class of each role, -1 = unknown or none.
        colours: i64 [B,Q,ROLES], colour of each role, -1 = unknown.
        object_colours: i64 [B,N], colour of each object, -1 = unknown.
    """

    classes: Tensor
    colours: Tensor
    object_colours: Tensor


@dataclass(frozen=True)
class ReferringTargets(RoleTargets):
    """Targets of R references over N objects.

    Attributes:
        targets: [B,R,N], 1 for objects that are meant.
        anchors: [B,R,N], 1 for objects that are named as anchors.
        zero: [B,R], 1 where nothing is meant, -1 = no reference.
    """

    targets: Tensor
    anchors: Tensor
    zero: Tensor


@dataclass(frozen=True)
class MentionTargets(RoleTargets):
    """What questions mention.

    Attributes:
        objects: [B,Q,ROLES,N], 1 for objects that the role mentions.
        named: [B,Q,ROLES], 1 for a role that the answer names.
    """

    objects: Tensor
    named: Tensor


def fit_one_cycle(
    parameters: Iterable[nn.Parameter],
    sample_losses: Callable[[], Mapping[str, Tensor]],
    weights: Mapping[str, float],
    steps: int,
    rate: float,
) -> dict[str, float]:
    """Fit parameters by AdamW under one cycle of the learning rate, with clipped gradients.

    Args:
        parameters: what is fitted.
        sample_losses: samples a batch and returns its losses by name.
        weights: weight of each loss in the sum.
        steps: optimizer steps.
        rate: peak learning rate.

    Returns:
        the mean losses of the last tenth of the steps.
    """
    optimizer = Optimizer([Group(list(parameters), DECAY)])
    return minimise(optimizer, one_cycle(rate), steps, sample_losses, weights, clip=1.0)


def sample_sets(
    random: np.random.Generator,
    sets: Sequence[Sequence[IndexedSet]],
    usable: Sequence[int],
    count: int,
) -> tuple[list[int], list[IndexedSet]]:
    """Sample `count` of the `usable` scenes, and one set of objects of each.

    The sets are of similar size. Every scene is as likely as any other.

    Returns:
        the scenes' rows, and their sets; fewer than `count` if fewer are usable.
    """
    buckets = max(1, min(BUCKETS, len(usable) // count))
    drawn = random.permutation(usable)[: buckets * count].tolist()
    found = [(row, sets[row][random.integers(len(sets[row]))]) for row in drawn]
    found.sort(key=lambda item: len(item[1][1]))
    start = count * int(random.integers(buckets))
    rows, chosen = zip(*found[start : start + count], strict=True)
    return list(rows), list(chosen)


def stack_sets(chosen: Sequence[IndexedSet]) -> ObjectSet:
    """Return the objects of several scenes as one padded batch."""
    columns = zip(*(vars(objects).values() for objects, _ in chosen), strict=True)
    return ObjectSet(*(pad_sequence(column, batch_first=True) for column in columns))


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
    random = seeded_generator(seed, "refit_reader")
    seed_dropout(model.referring_head, seed, "referring_head")
    sets = [scene.sets for scene in cached]
    usable = [row for row, scene_sets in enumerate(sets) if scene_sets]
    if not usable:
        return {}
    labels = [data.scenes.labels(row) for row in range(len(cached))]

    def sample_losses() -> dict[str, Tensor]:
        rows, chosen = sample_sets(random, sets, usable, REFERRING_SCENES_A_STEP)
        scenes = [labels[row] for row in rows]
        sampled = [sample(references(scene), REFERENCES_A_SCENE, random) for scene in scenes]
        objects = stack_sets(chosen)
        device = objects.boxes.device
        text = build_text(data.texts, [[r["text"] for r in some] for some in sampled]).to(device)
        targets = referring_targets(data, scenes, sampled, chosen, objects.present.shape[1])
        return referring_losses(model.referring_head(text, objects), targets.to(device))

    return fit_one_cycle(
        model.referring_head.parameters(), sample_losses, REFERRING_WEIGHTS, steps, REFERRING_RATE
    )


def references(scene: SceneLabels) -> list[Mapping[str, Any]]:
    """Return a scene's references, and its questions of how many or whether, as references."""
    return scene.annotation["references"] + [
        {"text": question["text"], "targets": question["objects"], "anchors": []}
        for question in scene.annotation["questions"]
        if question["type"] in ONE_CLASS
    ]


class Places:
    """Finds objects of an annotation in a set of objects.

    Args:
        index: i64 [N], index in the annotation of each object of the set, -1 = none.
    """

    def __init__(self, index: np.ndarray) -> None:
        self._places: dict[int, list[int]] = {}
        for place, one in enumerate(index.tolist()):
            self._places.setdefault(one, []).append(place)

    def of(self, objects: Iterable[int]) -> list[int]:
        """Return all places of the objects with these indices."""
        return [place for one in objects for place in self._places.get(one, ())]


def referring_targets(
    data: TrainSet,
    scenes: Sequence[SceneLabels],
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
        places = Places(index)
        for r, reference in enumerate(some):
            zero[b, r] = not reference["targets"]
            for row, part in zip(objects, ("targets", "anchors"), strict=True):
                row[b, r, places.of(reference[part])] = 1
            # One example object of each role.
            examples = [reference["targets"][:1], *_anchors(scene, reference["anchors"])]
            mentions = data.mentions(scene, reference["text"], scene.class_of)
            for role, example in enumerate(examples):
                if example:
                    classes[b, r, role] = scene.class_of[example[0]]
                    names = [one.colour for one in mentions if example[0] in one.objects]
                    colours[b, r, role] = data.colour_number(names[0] if names else None)
    arrays = (classes, colours, colour_targets(data, scenes, sets, size), *objects, zero)
    return ReferringTargets(*(torch.from_numpy(array) for array in arrays))


def colour_targets(
    data: TrainSet, scenes: Sequence[SceneLabels], sets: Sequence[IndexedSet], size: int
) -> np.ndarray:
    """Return the colours i64 [B,size] of the scenes' objects, -1 = unknown."""
    out = np.full((len(scenes), size), -1, np.int64)
    for row, scene, (_, index) in zip(out, scenes, sets, strict=True):
        row[: len(index)] = [
            data.colour_number(scene.colours.get(one) or None) for one in index.tolist()
        ]
    return out


def _anchors(scene: SceneLabels, anchors: Sequence[int]) -> list[list[int]]:
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


def train_qa_head(
    model: G2VLM, cached: Sequence[CachedScene], data: TrainSet, seed: int, steps: int
) -> dict[str, float]:
    """Fit `model.qa_context` and `model.decoder`; the referring head is frozen.

    The roles of questions start from the fitted roles of references.

    Args:
        model: the trained model.
        cached: the objects of the first scenes of `data`.
        data: the training set.
        seed: of the training.
        steps: optimizer steps.

    Returns:
        the mean losses of the last tenth of the steps; nothing without questions.
    """
    random = seeded_generator(seed, "refit_answers")
    seed_dropout(model, seed, "qa_head")
    sets = [scene.sets for scene in cached]
    labels = [data.scenes.labels(row) for row in range(len(cached))]
    usable = [
        row
        for row, scene_sets in enumerate(sets)
        if scene_sets and labels[row].annotation["questions"]
    ]
    if not usable:
        return {}

    def sample_losses() -> dict[str, Tensor]:
        rows, chosen = sample_sets(random, sets, usable, QA_SCENES_A_STEP)
        scenes = [labels[row] for row in rows]
        return _qa_losses(model, data, scenes, [cached[row] for row in rows], chosen, random)

    model.qa_context.roles.load_state_dict(model.referring_head.roles.state_dict())
    model.referring_head.eval()
    parameters = [*model.qa_context.parameters(), *model.decoder.parameters()]
    losses = fit_one_cycle(parameters, sample_losses, QA_WEIGHTS, steps, QA_RATE)
    model.referring_head.train()
    return losses


def _qa_losses(
    model: G2VLM,
    data: TrainSet,
    scenes: Sequence[SceneLabels],
    cached: Sequence[CachedScene],
    chosen: Sequence[IndexedSet],
    random: np.random.Generator,
) -> dict[str, Tensor]:
    """Return the losses of questions and captions of a batch of scenes.

    answer: next words of answers.
    number: log values of answers that are numbers.
    measure: the measure that the type of question asks for.
    sides: the side that the answer names.
    caption: next words of captions.
    """
    questions = [
        sample(scene.annotation["questions"], QUESTIONS_A_SCENE, random) for scene in scenes
    ]
    device = cached[0].tokens.device
    objects = stack_sets(chosen)
    text = build_text(data.texts, [[q["text"] for q in some] for some in questions]).to(device)
    context = model.question_context(text, objects, torch.stack([one.room for one in cached]))
    tokens = torch.stack([one.tokens for one in cached])  # (B, T, D)
    # Without a gradient: the projections of the many patches are trained enough.
    with torch.no_grad():
        scene_keys = model.decoder.read(tokens)
    answers = [[q["answer"] for q in some] for some in questions]
    words = encode_words(answers, model.vocabulary, START, ANSWER_WORDS).to(device)
    captions = [scene.annotation["captions"] for scene in scenes[:CAPTIONED_SCENES]]
    texts = [[some[random.integers(len(some))]["text"]] if some else [] for some in captions]
    caption = encode_words(texts, model.vocabulary, CAPTION, CAPTION_WORDS).to(device)
    captioned = [(k[:CAPTIONED_SCENES], v[:CAPTIONED_SCENES]) for k, v in scene_keys]
    memory = tokens[:CAPTIONED_SCENES].mean(1)[:, None, None]  # as `G2VLM.caption_memory`
    output = model.decoder(words[..., :-1], scene_keys, context.memory, context.hints)
    described = model.decoder(caption[..., :-1], captioned, memory)
    measures = pad([[MEASURE_OF_TYPE.get(q["type"], -1) for q in some] for some in questions], -1)
    sides = pad([[SIDE.get(answer, -1) for answer in some] for some in answers], -1)
    mentions = mention_targets(data, scenes, questions, chosen, objects)
    return {
        "answer": next_word_loss(output.logits, words[..., 1:]),
        "number": number_loss(output.value, log_numbers(answers).to(device)),
        "measure": label_loss(output.measure, measures.to(device)),
        "sides": label_loss(context.hints.sides.log(), sides.to(device)),
        "caption": next_word_loss(described.logits, caption[..., 1:]),
        **role_losses(context, mentions.to(device)),
    }


def mention_targets(
    data: TrainSet,
    scenes: Sequence[SceneLabels],
    questions: Sequence[Sequence[Mapping[str, Any]]],
    sets: Sequence[IndexedSet],
    objects: ObjectSet,
) -> MentionTargets:
    """Return what questions mention.

    Args:
        data: the training set.
        scenes: the B scenes.
        questions: questions of each scene.
        sets: the objects of each scene, with their indices in the annotation.
        objects: the same objects as a padded batch.
    """
    size = objects.present.shape[1]
    shape = (len(scenes), max(map(len, questions)), ROLES)
    mentioned, named = np.zeros((*shape, size), np.float32), np.zeros(shape, np.float32)
    classes, colours = np.full((2, *shape), -1, np.int64)
    for b, (scene, some, (_, index)) in enumerate(zip(scenes, questions, sets, strict=True)):
        places = Places(index)
        for q, question in enumerate(some):
            mentions = data.mentions(scene, question["text"], question["objects"])[:ROLES]
            answer = data.mentions(scene, question["answer"], question["objects"])[:1]
            for r, mention in enumerate(mentions):
                named[b, q, r] = any(set(one.objects) & set(mention.objects) for one in answer)
                mentioned[b, q, r, places.of(mention.objects)] = 1
                classes[b, q, r] = scene.class_of[mention.objects[0]]
                colours[b, q, r] = data.colour_number(mention.colour)
    arrays = (classes, colours, colour_targets(data, scenes, sets, size), mentioned, named)
    return MentionTargets(*(torch.from_numpy(array) for array in arrays))


def role_losses(context: QAContext, targets: MentionTargets) -> dict[str, Tensor]:
    """Return the losses of the roles of questions.

    asked: -log of the share of the role that the answer names.
    roles: -log of the attention on the mentioned objects.
    classes, colours: of the roles.
    object_colours: of the objects.
    """
    roles = context.roles
    return {
        "asked": mass_loss(context.asked, targets.named),
        "roles": mass_loss(roles.log_attention, targets.objects),
        "classes": label_loss(roles.classes, targets.classes),
        "colours": label_loss(roles.colours, targets.colours),
        "object_colours": label_loss(roles.object_colours, targets.object_colours),
    }
