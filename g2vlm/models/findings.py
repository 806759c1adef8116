"""What objects say to a question: the numbers that the decoder answers from."""

from __future__ import annotations

import math
from itertools import combinations, permutations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g2vlm.models.batch import TextBatch
from g2vlm.models.config import ModelConfig
from g2vlm.models.heads import PAIR, RelationHead
from g2vlm.models.reader import ROLES, ObjectSet, Reading, RoleReader, Roles, describe
from g2vlm.models.state import RelationLogits
from metrics.relations import FAMILIES

# Memory slots of the decoder that findings fill.
SLOTS = 6
OCTAVES = 5
LONGEST_M = 8.0
# Ordered pairs of roles, and what is known of each: pairwise geometry and relations.
PAIRS = tuple(permutations(range(ROLES), 2))
RELATIONS = 13
# Who stands at one role, faces another and looks for the third; what is known of the three.
TRIPLES = ((0, 1, 2), (1, 0, 2), (2, 0, 1))
TRIPLE = 3
NEARER_M = 0.3
# Numbers on what the reader finds meant.
MEANT = 4


class Findings(nn.Module):
    """Turns a question and objects into memory for the decoder.

    The roles are what the question mentions, in its order. Of each: how large it is, where, and how
    many there are; of each two: how they stand to each other; of all three: on which side the third
    is for one who stands at one and looks at another.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.hidden
        self.compares = config.compares
        self.roles = RoleReader(config)
        told = 8 * ROLES + len(PAIRS) * (PAIR + RELATIONS) + MEANT
        told += ROLES + TRIPLE * len(TRIPLES)
        waved = 3 * ROLES + 1
        self.told = nn.Linear(told + 2 * OCTAVES * waved + width, 2 * width)
        self.gate = nn.Linear(width, 2 * width)
        self.out = nn.Linear(2 * width, SLOTS * width)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, text: TextBatch, objects: ObjectSet, relations: RelationLogits, reading: Reading
    ) -> tuple[Tensor, Roles]:
        """Memory [B,Q,SLOTS,D] of questions [B,Q], and what they were read as."""
        roles = self.roles(text, objects, describe(objects))
        shares = roles.shares.exp()
        places = shares @ objects.boxes[:, None, :, :3]
        sizes = shares @ objects.boxes[:, None, :, 3:]
        count = roles.match.sum(-1)
        longest = sizes.amax(-1)
        most = roles.match.amax(-1)
        own = [places / 3, sizes.clamp(min=0.02).log(), torch.stack([count, most], dim=-1)]
        pairs = self.pairs(shares, objects, relations)
        distances = self.apart(shares, objects)
        triples = self.triples(shares, objects)
        meant = reading.logits.sigmoid() * objects.present[:, None]
        total = meant.sum(-1, keepdim=True)
        told = [total, meant.amax(-1, keepdim=True), (meant > 0.5).float().sum(-1, keepdim=True)]
        told.append(reading.zero_logit[..., None].clamp(-6, 6) / 3)
        waved = waves(torch.cat([longest, count, distances, total], dim=-1))
        numbers = [*(part.flatten(2) for part in own), pairs, distances, triples, *told, waved]
        told = F.gelu(self.told(torch.cat([*numbers, roles.sentence], dim=-1)))
        slots = self.out(told * (1 + self.gate(roles.sentence))).unflatten(-1, (SLOTS, -1))
        slots = torch.cat([slots[:, :, :ROLES] + roles.said, slots[:, :, ROLES:]], dim=2)
        return self.norm(slots), roles

    def pairs(self, shares: Tensor, objects: ObjectSet, relations: RelationLogits) -> Tensor:
        """How each two roles stand to each other [B,Q,K]; zeros where nothing is compared."""
        known = [getattr(relations, family).softmax(-1) for family in FAMILIES]
        geometry = RelationHead.geometry(objects.boxes, objects.front)
        each = torch.cat([geometry, *known], dim=-1)
        if not self.compares:
            each = torch.zeros_like(each)
        first = torch.einsum("bqri,bijk->bqrjk", shares, each)
        both = torch.einsum("bqrjk,bqsj->bqrsk", first, shares)
        return torch.cat([both[:, :, r, s] for r, s in PAIRS], dim=-1)

    def apart(self, shares: Tensor, objects: ObjectSet) -> Tensor:
        """Expected distances [B,Q,ROLES] between each two roles; zeros as in `pairs`."""
        centre = objects.boxes[..., :3]
        far = (centre[:, :, None] - centre[:, None]).norm(dim=-1)
        ends = combinations(range(ROLES), 2)
        told = torch.stack([(shares[:, :, r] @ far * shares[:, :, s]).sum(-1) for r, s in ends], -1)
        return told if self.compares else torch.zeros_like(told)

    def triples(self, shares: Tensor, objects: ObjectSet) -> Tensor:
        """How three roles stand to each other [B,Q,TRIPLE*K]: what is expected of who stands at
        one role, faces another and looks for the third. Zeros where nothing is compared."""
        if not self.compares:
            return shares.new_zeros(*shares.shape[:2], TRIPLE * len(TRIPLES))
        known = triple_geometry(objects.boxes[..., :3])
        told = []
        for r, s, t in TRIPLES:
            first = torch.einsum("bqi,bijkf->bqjkf", shares[:, :, r], known)
            second = torch.einsum("bqj,bqjkf->bqkf", shares[:, :, s], first)
            told.append(torch.einsum("bqk,bqkf->bqf", shares[:, :, t], second))
        return torch.cat(told, dim=-1)


def triple_geometry(centre: Tensor) -> Tensor:
    """For one at object i who faces j [B,N,N,N,TRIPLE], of centres [B,N,3]: whether k is nearer
    than j, and the sine and cosine of the turn to k, positive to the left."""
    offset = centre[:, None] - centre[:, :, None]
    apart = offset.norm(dim=-1)
    nearer = ((apart[..., None] - apart[:, :, None]) / NEARER_M).tanh()
    x, y = F.normalize(offset[..., :2], dim=-1, eps=1e-2).unbind(-1)
    sine = x[..., None] * y[:, :, None] - y[..., None] * x[:, :, None]
    cosine = x[..., None] * x[:, :, None] + y[..., None] * y[:, :, None]
    return torch.stack([nearer, sine, cosine], dim=-1)


def waves(values: Tensor) -> Tensor:
    """Sines and cosines [...,2*OCTAVES*K] of halving waves of values [...,K]: digits to read."""
    scale = 2 * math.pi / LONGEST_M * 2.0 ** torch.arange(OCTAVES, device=values.device)
    angle = (values[..., None] * scale).flatten(-2)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)
