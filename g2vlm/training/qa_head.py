"""Findings and the decoder, fitted last on every training scene's objects and questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g2vlm.models.batch import build_text
from g2vlm.models.decoder import CAPTION, PAD, SIDES, START, next_word_loss
from g2vlm.models.model import G2VLM
from g2vlm.models.qa_context import Found
from g2vlm.models.referring_head import ROLES, ObjectSet
from g2vlm.training.cache_features import SeenScene
from g2vlm.training.data import (
    ANSWER_WORDS,
    CAPTION_WORDS,
    TrainSet,
    encode_words,
    log_numbers,
)
from g2vlm.training.language_losses import mass_loss, number_loss
from g2vlm.training.referring_head import label_loss, paints_of
from g2vlm.training.targets import TrainScene
from g2vlm.training.training_loop import IndexedSet, draw_sets, fit_parts, stack_sets
from metrics.files import rng

SCENES_A_STEP = 4
QUESTIONS = 16
# So many of a step's scenes are described, so that describing is not forgotten.
CAPTIONED = 2
RATE = 2e-3
DECAY = 0.05
WEIGHTS = {"answer": 2.0, "number": 2.0, "caption": 0.5, "roles": 1.0, "names": 1.0}
WEIGHTS |= {"measure": 0.5, "sides": 1.0, "asked": 1.0, "painted": 0.3, "paints": 0.3}
# The place among the decoder's measures of what a type of question asks for: the room's area, the
# longest side of the first role, the distance between the first two.
MEASURED = {"room_size": 0, "object_size": 1, "absolute_distance": 1 + ROLES}
SIDE = {name: place for place, name in enumerate(SIDES)}


def refit_answers(
    model: G2VLM, seen: Sequence[SeenScene], data: TrainSet, seed: int, steps: int
) -> dict[str, float]:
    """Fit `model.findings` and `model.decoder` for `steps`; the fitted reader stands still, and its
    reading of roles is where that of questions starts.

    Returns the mean losses of the last tenth of the steps.
    """
    draw = rng(seed, "refit_answers", "")
    torch.manual_seed(int(draw.integers(2**62)))
    sets = [one.sets for one in seen]
    usable = np.array(
        [k for k, one in enumerate(sets) if one and data.scenes[k].annotation["questions"]], int
    )
    if not len(usable):
        return {}

    def losses_of() -> dict[str, Tensor]:
        rows, chosen = draw_sets(draw, sets, usable, SCENES_A_STEP)
        return _losses(model, data, [seen[row] for row in rows], rows, chosen, draw)

    model.findings.roles.load_state_dict(model.reader.roles.state_dict())
    model.reader.eval()
    parts = [*model.findings.parameters(), *model.decoder.parameters()]
    found = fit_parts(parts, losses_of, WEIGHTS, steps, RATE, DECAY)
    model.reader.train()
    return found


def _losses(
    model: G2VLM,
    data: TrainSet,
    seen: Sequence[SeenScene],
    rows: Sequence[int],
    chosen: Sequence[IndexedSet],
    draw: np.random.Generator,
) -> dict[str, Tensor]:
    scenes = [data.scenes[row] for row in rows]
    asked = [s.annotation["questions"] for s in scenes]
    asked = [[every[k] for k in draw.permutation(len(every))[:QUESTIONS]] for every in asked]
    device = seen[0].tokens.device
    objects = stack_sets(chosen)
    text = build_text(data.texts, [[q["text"] for q in some] for some in asked]).to(device)
    indices = [index for _, index in chosen]
    found = model.find(text, objects, torch.stack([one.room for one in seen]))
    tokens = torch.stack([one.tokens for one in seen])
    with torch.no_grad():  # Nothing new is learned of patches, and there are many.
        scene = model.decoder.read_scene(tokens)
    answers = [[q["answer"] for q in some] for some in asked]
    words = encode_words(answers, model.vocabulary, START, ANSWER_WORDS).to(device)
    captions = [s.annotation["captions"] for s in scenes[:CAPTIONED]]
    told = [[c[draw.integers(len(c))]["text"]] if c else [] for c in captions]
    caption = encode_words(told, model.vocabulary, CAPTION, CAPTION_WORDS).to(device)
    shown = [(keys[:CAPTIONED], values[:CAPTIONED]) for keys, values in scene]
    pooled = tokens[:CAPTIONED].mean(1)[:, None, None]
    pad = model.vocabulary.index[PAD]
    said = model.decoder(words[..., :-1], scene, found.memory, found.hints)
    described = model.decoder(caption[..., :-1], shown, pooled)
    kinds = numbered([[MEASURED.get(q["type"], -1) for q in some] for some in asked]).to(device)
    sides = numbered([[SIDE.get(answer, -1) for answer in some] for some in answers]).to(device)
    return {
        "answer": next_word_loss(said.logits, words[..., 1:], pad),
        "number": number_loss(said.value, log_numbers(answers).to(device)),
        "measure": label_loss(said.measure, kinds),
        "sides": label_loss(found.hints.sides.log(), sides),
        "caption": next_word_loss(described.logits, caption[..., 1:], pad),
        **role_losses(found, mentions_of(data, scenes, asked, indices, objects)),
    }


def numbered(labels: Sequence[Sequence[int]]) -> Tensor:
    """Labels of the questions of each scene as i64[B,Q], padded with -1 = none."""
    out = torch.full((len(labels), max(map(len, labels))), -1)
    for row, some in zip(out, labels, strict=True):
        row[: len(some)] = torch.tensor(some)
    return out


@dataclass(frozen=True)
class Mentions:
    """What questions mention, over the objects at hand.

    where [B,Q,ROLES,N] (0 or 1): the objects; named [B,Q,ROLES] (0 or 1): the answer names them;
    kinds, painted i64[B,Q,ROLES]: class and colour; paints i64[B,N]: colours of objects. -1 = none.
    """

    where: Tensor
    named: Tensor
    kinds: Tensor
    painted: Tensor
    paints: Tensor


def mentions_of(
    data: TrainSet,
    scenes: Sequence[TrainScene],
    asked: Sequence[Sequence[Mapping[str, Any]]],
    indices: Sequence[np.ndarray],
    objects: ObjectSet,
) -> Mentions:
    """What questions mention, over objects of these annotation indices."""
    size = objects.present.shape[1]
    shape = (len(scenes), max(map(len, asked)), ROLES)
    where, named = np.zeros((*shape, size), np.float32), np.zeros(shape, np.float32)
    kinds, painted = np.full((2, *shape), -1, np.int64)
    for b, (scene, some, index) in enumerate(zip(scenes, asked, indices, strict=True)):
        for q, question in enumerate(some):
            said = data.mentions(scene, question["text"], question["objects"])[:ROLES]
            answer = data.mentions(scene, question["answer"], question["objects"])[:1]
            for r, mention in enumerate(said):
                named[b, q, r] = any(set(one.objects) & set(mention.objects) for one in answer)
                where[b, q, r, : len(index)] = np.isin(index, mention.objects)
                kinds[b, q, r] = scene.kinds[mention.objects[0]]
                painted[b, q, r] = data.colour_number(mention.colour)
    paints = paints_of(data, scenes, indices, size)
    parts = (where, named, kinds, painted, paints)
    return Mentions(*(torch.from_numpy(part).to(objects.present.device) for part in parts))


def role_losses(found: Found, wanted: Mentions) -> dict[str, Tensor]:
    """roles: -log of the attention on what is mentioned; asked: of the role that the answer names;
    names, painted: classes and colours said; paints: colours of the objects."""
    roles = found.roles
    return {
        "asked": mass_loss(found.asked, wanted.named),
        "roles": mass_loss(roles.shares, wanted.where),
        "names": label_loss(roles.names, wanted.kinds),
        "painted": label_loss(roles.painted, wanted.painted),
        "paints": label_loss(roles.paints, wanted.paints),
    }
