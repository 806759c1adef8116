"""What objects say to a question: the numbers that the decoder answers from."""

from __future__ import annotations

import math
from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g2vlm.models.batch import TextBatch
from g2vlm.models.config import ModelConfig
from g2vlm.models.heads import PAIR, RelationHead
from g2vlm.models.layers import mlp
from g2vlm.models.reader import ROLES, ObjectSet, Reading, RoleReader, Roles, describe
from g2vlm.models.state import RelationLogits
from metrics.relations import FAMILIES

# Memory slots of the decoder that findings fill.
SLOTS = 4
OCTAVES = 5
LONGEST_M = 8.0
# Ordered pairs of roles, and what is known of each: pairwise geometry and relations.
PAIRS = tuple(permutations(range(ROLES), 2))
RELATIONS = 13
# Distances between roles, and as many sines and cosines; numbers on what the reader finds meant.
ANGLES = 6
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
        told = 8 * ROLES + len(PAIRS) * (PAIR + RELATIONS) + 2 * ANGLES + MEANT
        waved = 2 * ROLES + ANGLES + 1
        self.out = mlp(told + 2 * OCTAVES * waved + width, 2 * width, SLOTS * width)
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
        distances, turns = self.angles(places)
        meant = reading.logits.sigmoid() * objects.present[:, None]
        total = meant.sum(-1, keepdim=True)
        told = [total, meant.amax(-1, keepdim=True), (meant > 0.5).float().sum(-1, keepdim=True)]
        told.append(reading.zero_logit[..., None].clamp(-6, 6) / 3)
        if not self.compares:
            distances, turns = torch.zeros_like(distances), torch.zeros_like(turns)
        waved = waves(torch.cat([longest, count, distances, total], dim=-1))
        numbers = [*(part.flatten(2) for part in own), pairs, distances, turns, *told, waved]
        slots = self.out(torch.cat([*numbers, roles.sentence], dim=-1))
        return self.norm(slots.unflatten(-1, (SLOTS, -1))), roles

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

    @staticmethod
    def angles(places: Tensor) -> tuple[Tensor, Tensor]:
        """Distances between roles, and how two of them differ [B,Q,6]; sines and cosines [B,Q,6]
        of the turn from one role's direction to another's, seen from the third."""
        distances, turns = [], []
        for r, s, t in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
            one, two = places[:, :, s] - places[:, :, r], places[:, :, t] - places[:, :, r]
            distances += [one.norm(dim=-1), one.norm(dim=-1) - two.norm(dim=-1)]
            one, two = (F.normalize(part[..., :2], dim=-1, eps=1e-2) for part in (one, two))
            turns += [one[..., 0] * two[..., 1] - one[..., 1] * two[..., 0], (one * two).sum(-1)]
        return torch.stack(distances, dim=-1), torch.stack(turns, dim=-1)


def waves(values: Tensor) -> Tensor:
    """Sines and cosines [...,2*OCTAVES*K] of halving waves of values [...,K]: digits to read."""
    scale = 2 * math.pi / LONGEST_M * 2.0 ** torch.arange(OCTAVES, device=values.device)
    angle = (values[..., None] * scale).flatten(-2)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)
