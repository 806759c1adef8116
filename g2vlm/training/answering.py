"""Findings and the decoder, fitted last on every training scene's objects and questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from g2vlm.models.batch import build_text
from g2vlm.models.decoder import CAPTION, PAD, START, next_word_loss
from g2vlm.models.model import G2VLM
from g2vlm.models.reader import ROLES, ObjectSet, Roles
from g2vlm.training.data import ANSWER_WORDS, CAPTION_WORDS, TrainSet, encode_words
from g2vlm.training.language_losses import mass_loss
from g2vlm.training.survey import SeenScene
from g2vlm.training.targets import TrainScene
from metrics.files import rng

SCENES_A_STEP = 8
QUESTIONS_A_SCENE = 8
RATE = 2e-3
DECAY = 0.05
WEIGHTS = {"answer": 1.0, "caption": 0.5, "roles": 0.3, "names": 0.3}


def refit_answers(
    model: G2VLM, seen: Sequence[SeenScene], data: TrainSet, seed: int, steps: int
) -> dict[str, float]:
    """Fit `model.findings` and `model.decoder` for `steps`; the fitted reader stands still.

    Returns the mean losses of the last tenth of the steps.
    """
    draw = rng(seed, "refit_answers", "")
    torch.manual_seed(int(draw.integers(2**62)))
    sets = [one.sets() for one in seen]
    usable = np.array(
        [k for k, one in enumerate(sets) if one and data.scenes[k].annotation["questions"]], int
    )
    if not len(usable):
        return {}
    parts = [*model.findings.parameters(), *model.decoder.parameters()]
    optimizer = torch.optim.AdamW(parts, lr=RATE, weight_decay=DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    model.reader.eval()
    log = []
    for _ in range(steps):
        rows = draw.permutation(usable)[:SCENES_A_STEP].tolist()
        chosen = [sets[row][draw.integers(len(sets[row]))] for row in rows]
        losses = _losses(model, data, [seen[row] for row in rows], rows, chosen, draw)
        total = sum(WEIGHTS[name] * value for name, value in losses.items())
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(parts, 1.0)
        optimizer.step()
        schedule.step()
        log.append({name: float(value.detach()) for name, value in losses.items()})
    model.reader.train()
    last = log[-max(1, steps // 10) :]
    return {name: float(np.mean([losses[name] for losses in last])) for name in last[0]}


def _losses(
    model: G2VLM,
    data: TrainSet,
    seen: Sequence[SeenScene],
    rows: Sequence[int],
    chosen: Sequence[tuple[ObjectSet, np.ndarray]],
    draw: np.random.Generator,
) -> dict[str, Tensor]:
    scenes = [data.scenes[row] for row in rows]
    places = [draw.permutation(len(one.asked))[:QUESTIONS_A_SCENE] for one in seen]
    asked = [
        [scene.annotation["questions"][k] for k in some]
        for scene, some in zip(scenes, places, strict=True)
    ]
    device = seen[0].tokens.device
    columns = zip(*(vars(one).values() for one, _ in chosen), strict=True)
    objects = ObjectSet(*(pad_sequence(list(column), batch_first=True) for column in columns))
    text = build_text(data.texts, [[q["text"] for q in some] for some in asked]).to(device)
    found, roles = model.find(text, objects)
    said = pad_sequence(
        [one.asked[some] for one, some in zip(seen, places, strict=True)], batch_first=True
    )
    tokens = torch.stack([one.tokens for one in seen])
    scene = model.decoder.read_scene(tokens)
    memory = torch.cat([said, found], dim=2)
    answers = [[q["answer"] for q in some] for some in asked]
    words = encode_words(answers, model.vocabulary, START, ANSWER_WORDS).to(device)
    captions = [s.annotation["captions"] for s in scenes]
    told = [[c[draw.integers(len(c))]["text"]] if c else [] for c in captions]
    caption = encode_words(told, model.vocabulary, CAPTION, CAPTION_WORDS).to(device)
    pad = model.vocabulary.index[PAD]
    return {
        "answer": next_word_loss(
            model.decoder(words[..., :-1], scene, memory), words[..., 1:], pad
        ),
        "caption": next_word_loss(
            model.decoder(caption[..., :-1], scene, tokens.mean(1)[:, None, None]),
            caption[..., 1:],
            pad,
        ),
        **role_losses(
            roles, *mentions_of(data, scenes, asked, [index for _, index in chosen], objects)
        ),
    }


def mentions_of(
    data: TrainSet,
    scenes: Sequence[TrainScene],
    asked: Sequence[Sequence[Mapping[str, Any]]],
    indices: Sequence[np.ndarray],
    objects: ObjectSet,
) -> tuple[Tensor, Tensor]:
    """Objects [B,Q,ROLES,N] (0 or 1) and classes i64[B,Q,ROLES] (-1 = none) that questions
    mention, over objects of these annotation indices."""
    shape = (len(scenes), max(map(len, asked)), ROLES)
    where = np.zeros((*shape, objects.present.shape[1]), np.float32)
    kinds = np.full(shape, -1, np.int64)
    for b, (scene, some, index) in enumerate(zip(scenes, asked, indices, strict=True)):
        label = dict(
            zip((e["index"] for e in scene.annotation["objects"]), scene.all_classes, strict=True)
        )
        for q, question in enumerate(some):
            for r, group in enumerate(data.mentions(scene, question)[:ROLES]):
                where[b, q, r, : len(index)] = np.isin(index, group)
                kinds[b, q, r] = label[group[0]]
    device = objects.present.device
    return torch.from_numpy(where).to(device), torch.from_numpy(kinds).to(device)


def role_losses(roles: Roles, where: Tensor, kinds: Tensor) -> dict[str, Tensor]:
    """roles: -log of the attention on what is mentioned; names: the mentioned classes."""
    names = F.cross_entropy(
        roles.names.flatten(0, 2), kinds.flatten(), ignore_index=-1, reduction="sum"
    )
    return {
        "roles": mass_loss(roles.shares, where),
        "names": names / (kinds >= 0).sum().clamp(min=1),
    }
