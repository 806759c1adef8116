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
from g2vlm.models.layers import mlp, standard

# What a sentence says of objects: which it means, and up to two that it places them by.
ROLES = 3
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
class Reading:
    """Q sentences read against N objects.

    logits [B,Q,N]: the sentence means the object; zero_logit [B,Q]: it means none;
    role_shares [B,Q,ROLES,N] log-shares of a role's attention; name_logits [B,Q,ROLES,C]: the class
    that a role is of.
    """

    logits: Tensor
    zero_logit: Tensor
    role_shares: Tensor
    name_logits: Tensor


class ObjectReader(nn.Module):
    """Finds the objects that a sentence means by what they are to the others that it names.

    Each role of the sentence names a class and a likeness, and its attention falls on objects that
    have them. Pairwise geometry to the anchors and to the candidates' rivals is read under gates
    that the sentence sets (objects as tokens and text-gated spatial relations: ViL3DRel, Chen et
    al. 2022). Without cross-attention a sentence is one word and nothing is compared.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, small, classes = config.hidden, config.point_hidden, len(config.classes)
        seen = small + 3 + classes + 1 + 6
        self.words = config.cross_attention
        self.compares = config.cross_attention and config.relates
        self.text = nn.Linear(config.text_features, width)
        self.roles = nn.Linear(width, 2 * ROLES)
        self.role = nn.Parameter(0.02 * torch.randn(2 * ROLES, width))
        self.sentence = mlp(ROLES * width, width, width)
        self.names = nn.Linear(width, classes)
        self.alike = nn.Linear(width, small)
        self.aimed = mlp(seen, small, small)
        self.sharp = nn.Linear(width, ROLES)
        self.own = mlp(seen, small, small)
        self.pair = mlp(PAIR, small, small)
        self.gate = nn.Linear(width, ASPECTS * small)
        drop = nn.Dropout(config.dropout)
        self.score = nn.Sequential(
            nn.Linear(ASPECTS * small, 2 * small), nn.GELU(), drop, nn.Linear(2 * small, 1)
        )
        self.trust = nn.Linear(width, 1)
        self.zero = mlp(width + 2 * ROLES, small, 1)
        self.drop = drop

    def forward(self, text: TextBatch, objects: ObjectSet) -> Reading:
        """Read sentences [B,Q] against objects [B,N]."""
        roles, sentence = self.split(text)
        names = self.names(roles)
        match = names.softmax(-1) @ objects.kinds[:, None, :, :-1].transpose(2, 3)
        match = match * objects.present[:, None, None]
        size = objects.boxes[..., 3:].clamp(min=0.02).log()
        place = objects.boxes[..., :3] / 3
        seen = torch.cat([objects.look, objects.kinds, size, place], dim=-1)
        shares = self.aim(roles, sentence, match, seen, objects.present)
        hidden = ~objects.present[:, None]
        named = (match[:, :, 0] + LEAST_MATCH).log()
        read = self.compare(sentence, match, shares, self.own(seen), objects)
        logits = self.score(read)[..., 0] + F.softplus(self.trust(sentence)) * named
        logits = logits.masked_fill(hidden, ABSENT)
        best = (logits.softmax(-1) * match[:, :, 0]).sum(-1, keepdim=True)
        told = [match.amax(-1), match[:, :, 0].sum(-1, keepdim=True), best]
        highest = logits.amax(-1, keepdim=True).clamp(min=-20)
        zero = self.zero(torch.cat([sentence, *told, highest], dim=-1))[..., 0]
        return Reading(logits, zero, shares, names)

    def split(self, text: TextBatch) -> tuple[Tensor, Tensor]:
        """A sentence's roles [B,Q,ROLES,D] and the sentence as a whole [B,Q,D]."""
        states, mask = text.states, text.mask
        if not self.words:
            states, mask = text.pooled[:, :, None], torch.ones_like(text.mask[..., :1])
        words = self.drop(self.text(standard(states)))
        weight = self.roles(words).masked_fill(~mask[..., None], ABSENT).softmax(2)
        pooled = weight.transpose(2, 3) @ words
        pooled = pooled * (1 + self.role)
        return pooled[:, :, :ROLES], self.sentence(pooled[:, :, ROLES:].flatten(2))

    def aim(
        self, roles: Tensor, sentence: Tensor, match: Tensor, seen: Tensor, present: Tensor
    ) -> Tensor:
        """Log-shares [B,Q,ROLES,N] of each role's attention on objects."""
        sharp = 1 + F.softplus(self.sharp(sentence))
        alike = self.alike(roles) @ self.aimed(seen)[:, None].transpose(2, 3) / 8
        aimed = sharp[..., None] * (match + LEAST_MATCH).log() + alike
        return aimed.masked_fill(~present[:, None, None], ABSENT).log_softmax(-1)

    def compare(
        self, sentence: Tensor, match: Tensor, shares: Tensor, own: Tensor, objects: ObjectSet
    ) -> Tensor:
        """What each object is under each sentence, gated by it: [B,Q,N,ASPECTS*F]."""
        rivals = 2 * (match[:, :, 0] + LEAST_MATCH).log()
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
        return F.gelu(read * (1 + self.gate(sentence))[:, :, None])
