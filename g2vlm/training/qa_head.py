"""The question-answering head, fitted on cached features with every training scene's questions.

It consists of the question context and the decoder. Shapes: B scenes, Q questions, N objects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g2vlm.models.batch import Movable, build_text
from g2vlm.models.decoder import CAPTION, SIDES, START, next_word_loss
from g2vlm.models.model import G2VLM
from g2vlm.models.qa_context import QAContext
from g2vlm.models.referring_head import ROLES, ObjectSet
from g2vlm.training.cache_features import CachedScene
from g2vlm.training.data import (
    ANSWER_WORDS,
    CAPTION_WORDS,
    TrainSet,
    encode_words,
    log_numbers,
    pad,
    sample,
)
from g2vlm.training.language_losses import mass_loss, number_loss
from g2vlm.training.referring_head import colour_targets, label_loss
from g2vlm.training.targets import TrainScene
from g2vlm.training.training_loop import IndexedSet, fit_one_cycle, sample_sets, stack_sets
from metrics.files import rng

SCENES_A_STEP = 4
QUESTIONS_A_SCENE = 16
# Scenes of a step whose captions are also learned, so that the decoder does not forget captions.
CAPTIONED_SCENES = 2
RATE = 2e-3
DECAY = 0.05
# Weights of the losses (`_losses`, `role_losses`).
WEIGHTS = {
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
    # The key of the generator holds an old name: another would change every weight.
    random = rng(seed, "refit_answers", "")
    torch.manual_seed(int(random.integers(2**62)))
    sets = [scene.sets for scene in cached]
    usable = [
        row
        for row, scene_sets in enumerate(sets)
        if scene_sets and data.scenes[row].annotation["questions"]
    ]
    if not usable:
        return {}

    def sample_losses() -> dict[str, Tensor]:
        rows, chosen = sample_sets(random, sets, usable, SCENES_A_STEP)
        scenes = [data.scenes[row] for row in rows]
        return _losses(model, data, scenes, [cached[row] for row in rows], chosen, random)

    model.qa_context.roles.load_state_dict(model.referring_head.roles.state_dict())
    model.referring_head.eval()
    parameters = [*model.qa_context.parameters(), *model.decoder.parameters()]
    losses = fit_one_cycle(parameters, sample_losses, WEIGHTS, steps, RATE, DECAY)
    model.referring_head.train()
    return losses


def _losses(
    model: G2VLM,
    data: TrainSet,
    scenes: Sequence[TrainScene],
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
        scene_keys = model.decoder.read_scene(tokens)
    answers = [[q["answer"] for q in some] for some in questions]
    words = encode_words(answers, model.vocabulary, START, ANSWER_WORDS).to(device)
    captions = [scene.annotation["captions"] for scene in scenes[:CAPTIONED_SCENES]]
    texts = [[some[random.integers(len(some))]["text"]] if some else [] for some in captions]
    caption = encode_words(texts, model.vocabulary, CAPTION, CAPTION_WORDS).to(device)
    captioned = [(k[:CAPTIONED_SCENES], v[:CAPTIONED_SCENES]) for k, v in scene_keys]
    memory = tokens[:CAPTIONED_SCENES].mean(1)[:, None, None]  # as `G2VLM.caption_memory`
    output = model.decoder(words[..., :-1], scene_keys, context.memory, context.hints)
    described = model.decoder(caption[..., :-1], captioned, memory)
    measures = [[MEASURE_OF_TYPE.get(q["type"], -1) for q in some] for some in questions]
    sides = [[SIDE.get(answer, -1) for answer in some] for some in answers]
    mentions = mention_targets(data, scenes, questions, chosen, objects)
    return {
        "answer": next_word_loss(output.logits, words[..., 1:]),
        "number": number_loss(output.value, log_numbers(answers).to(device)),
        "measure": label_loss(output.measure, pad(measures, -1).to(device)),
        "sides": label_loss(context.hints.sides.log(), pad(sides, -1).to(device)),
        "caption": next_word_loss(described.logits, caption[..., 1:]),
        **role_losses(context, mentions),
    }


@dataclass(frozen=True)
class MentionTargets(Movable):
    """What questions mention.

    Attributes:
        objects: [B,Q,ROLES,N], 1 for objects that the role mentions.
        named: [B,Q,ROLES], 1 for a role that the answer names.
        classes: i64 [B,Q,ROLES], class of each role, -1 = none.
        colours: i64 [B,Q,ROLES], colour of each role, -1 = unknown.
        object_colours: i64 [B,N], colour of each object, -1 = unknown.
    """

    objects: Tensor
    named: Tensor
    classes: Tensor
    colours: Tensor
    object_colours: Tensor


def mention_targets(
    data: TrainSet,
    scenes: Sequence[TrainScene],
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
        for q, question in enumerate(some):
            mentions = data.mentions(scene, question["text"], question["objects"])[:ROLES]
            answer = data.mentions(scene, question["answer"], question["objects"])[:1]
            for r, mention in enumerate(mentions):
                named[b, q, r] = any(set(one.objects) & set(mention.objects) for one in answer)
                mentioned[b, q, r, : len(index)] = np.isin(index, mention.objects)
                classes[b, q, r] = scene.class_of[mention.objects[0]]
                colours[b, q, r] = data.colour_number(mention.colour)
    arrays = (mentioned, named, classes, colours, colour_targets(data, scenes, sets, size))
    targets = MentionTargets(*(torch.from_numpy(array) for array in arrays))
    return targets.to(objects.present.device)


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
