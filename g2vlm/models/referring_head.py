"""Objects compared as a sentence asks: near its anchor, larger than its rivals, left of another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g2vlm.models.batch import TextBatch
from g2vlm.models.config import ModelConfig
from g2vlm.models.fusion import LEAST_MATCH
from g2vlm.models.heads import PAIR, RelationHead
from g2vlm.models.layers import mlp, read_words

# What a sentence says of objects: which it means, and up to two that it places them by.
ROLES = 3
# Kinds of word that are counted up to each word: the second thing named is a role of its own.
COUNTED = 4
# Views of an object under a sentence: itself, to either anchor, to its rivals, to all that its
# anchor could be, and how the first two differ from its rivals'.
ASPECTS = 7
ABSENT = -1e4


@dataclass(frozen=True)
class ObjectSet:
    """N objects of each of B scenes, as the model sees them.

    look [B,N,F+3]: mean point features and colours; kinds [B,N,C+1]: mean class probabilities;
    boxes [B,N,6]; front [B,N,2]: not normalised; present bool[B,N]: false = padding, or not seen.
    """

    look: Tensor
    kinds: Tensor
    boxes: Tensor
    front: Tensor
    present: Tensor


@dataclass(frozen=True)
class Roles:
    """What the ROLES roles of Q sentences are, and where their attention falls on N objects.

    sentence [B,Q,D]: the sentence as a whole; said [B,Q,ROLES,D]: its words for each role; names
    [B,Q,ROLES,C]: logits of each role's class; painted [B,Q,ROLES,K+1]: of its colour, the last =
    none is said; paints [B,N,K]: logits of each object's colour; match [B,Q,ROLES,N]: probability
    that the object is of that class and colour; shares [B,Q,ROLES,N]: log-shares of the role's
    attention.
    """

    sentence: Tensor
    said: Tensor
    names: Tensor
    painted: Tensor
    paints: Tensor
    match: Tensor
    shares: Tensor


@dataclass(frozen=True)
class Reading:
    """Q sentences read against N objects.

    logits [B,Q,N]: the sentence means the object; zero_logit [B,Q]: it means none; roles: what it
    was read as.
    """

    logits: Tensor
    zero_logit: Tensor
    roles: Roles


def describe(objects: ObjectSet) -> Tensor:
    """Each object as one row [B,N,K]: look, class, size and place."""
    size = objects.boxes[..., 3:].clamp(min=0.02).log()
    return torch.cat([objects.look, objects.kinds, size, objects.boxes[..., :3] / 3], dim=-1)


def row_size(config: ModelConfig) -> int:
    """Length of a row of `describe`."""
    return config.point_hidden + 3 + len(config.classes) + 1 + 6


class RoleReader(nn.Module):
    """Finds the roles of a sentence, and the objects that could play them.

    Each role names a class, perhaps a colour, and a likeness; its attention falls on objects that
    have them. Without cross-attention a sentence is one word.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, small = config.hidden, config.point_hidden
        self.words = config.cross_attention
        self.text = nn.Linear(config.text_features, width)
        self.counted = nn.Linear(width, COUNTED)
        self.roles = mlp(width + COUNTED, small, 2 * ROLES)
        self.role = nn.Parameter(0.02 * torch.randn(2 * ROLES, width))
        self.sentence = mlp(ROLES * width, width, width)
        self.names = nn.Linear(width, len(config.classes))
        self.painted = nn.Linear(width, len(config.colours) + 1)
        self.paints = mlp(small + 3, small, len(config.colours))
        self.alike = nn.Linear(width, small)
        self.aimed = mlp(row_size(config), small, small)
        self.sharp = nn.Linear(width, ROLES)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, text: TextBatch, objects: ObjectSet, rows: Tensor) -> Roles:
        """Read sentences [B,Q] against objects [B,N], described by rows [B,N,K]."""
        roles, sentence = self.split(text)
        names = self.names(roles)
        match = names.softmax(-1) @ objects.kinds[:, None, :, :-1].transpose(2, 3)
        painted, paints = self.painted(roles), self.paints(objects.look)
        said = painted.softmax(-1)
        fits = said[..., :-1] @ paints.softmax(-1)[:, None].transpose(2, 3) + said[..., -1:]
        match = match * fits * objects.present[:, None, None]
        sharp = 1 + F.softplus(self.sharp(sentence))
        alike = self.alike(roles) @ self.aimed(rows)[:, None].transpose(2, 3) / 8
        aimed = sharp[..., None] * (match + LEAST_MATCH).log() + alike
        aimed = aimed.masked_fill(~objects.present[:, None, None], ABSENT)
        return Roles(sentence, roles, names, painted, paints, match, aimed.log_softmax(-1))

    def split(self, text: TextBatch) -> tuple[Tensor, Tensor]:
        """A sentence's roles [B,Q,ROLES,D] and the sentence as a whole [B,Q,D]."""
        states, mask = text.states, text.mask
        if not self.words:
            states, mask = text.pooled[:, :, None], torch.ones_like(text.mask[..., :1])
        words = self.drop(read_words(self.text, states, mask))
        before = (self.counted(words).sigmoid() * mask[..., None]).cumsum(2)
        weight = self.roles(torch.cat([words, before], dim=-1))
        weight = weight.masked_fill(~mask[..., None], ABSENT).softmax(2)
        pooled = (weight.transpose(2, 3) @ words) * (1 + self.role)
        return pooled[:, :, :ROLES], self.sentence(pooled[:, :, ROLES:].flatten(2))


class ObjectReader(nn.Module):
    """Finds the objects that a sentence means by what they are to the others that it names.

    The first role is of the candidates, the others of their anchors. Pairwise geometry to the
    anchors and to the candidates' rivals is read under gates that the sentence sets (objects as
    tokens and text-gated spatial relations: ViL3DRel, Chen et al. 2022).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, small = config.hidden, config.point_hidden
        self.compares = config.compares
        self.roles = RoleReader(config)
        self.own = mlp(row_size(config), small, small)
        self.pair = mlp(PAIR, small, small)
        self.gate = nn.Linear(width, ASPECTS * small)
        self.score = nn.Sequential(
            nn.Linear(ASPECTS * small, 2 * small),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(2 * small, 1),
        )
        self.trust = nn.Linear(width, 1)
        self.zero = mlp(width + 2 * ROLES, small, 1)

    def forward(self, text: TextBatch, objects: ObjectSet) -> Reading:
        """Read sentences [B,Q] against objects [B,N]."""
        rows = describe(objects)
        roles = self.roles(text, objects, rows)
        named = (roles.match[:, :, 0] + LEAST_MATCH).log()
        read = self.compare(roles, self.own(rows), objects)
        logits = self.score(read)[..., 0] + F.softplus(self.trust(roles.sentence)) * named
        logits = logits.masked_fill(~objects.present[:, None], ABSENT)
        candidates = roles.match[:, :, 0]
        best = (logits.softmax(-1) * candidates).sum(-1, keepdim=True)
        told = [roles.match.amax(-1), candidates.sum(-1, keepdim=True), best]
        highest = logits.amax(-1, keepdim=True).clamp(min=-20)
        zero = self.zero(torch.cat([roles.sentence, *told, highest], dim=-1))[..., 0]
        return Reading(logits, zero, roles)

    def compare(self, roles: Roles, own: Tensor, objects: ObjectSet) -> Tensor:
        """What each object is under each sentence, gated by it: [B,Q,N,ASPECTS*F]."""
        match, shares = roles.match, roles.shares
        # No gradient: rivals are of the class that is named, not whatever helps to compare.
        rivals = 2 * (match[:, :, 0].detach() + LEAST_MATCH).log()
        rivals = rivals.masked_fill(~objects.present[:, None], ABSENT).softmax(-1)
        held = own[:, None].expand(-1, match.shape[1], -1, -1)
        apart = held - (rivals @ own)[:, :, None]
        if self.compares:
            pair = F.gelu(self.pair(RelationHead.geometry(objects.boxes, objects.front)))
            weights = [shares[:, :, 1].exp(), shares[:, :, 2].exp(), rivals, match[:, :, 1]]
            to = [torch.einsum("bqj,bijs->bqis", weight, pair) for weight in weights]
            ahead = to[0] - torch.einsum("bqi,bqis->bqs", rivals, to[0])[:, :, None]
        else:
            *to, ahead = [torch.zeros_like(held)] * 5
        read = torch.cat([held, *to, ahead, apart], dim=-1)
        return F.gelu(read * (1 + self.gate(roles.sentence))[:, :, None])
