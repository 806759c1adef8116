"""What objects say to a question: the numbers that the decoder answers from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations, permutations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g2vlm.models.batch import TextBatch
from g2vlm.models.boxes import axis_gaps
from g2vlm.models.config import ModelConfig
from g2vlm.models.decoder import LEAST_NUMBER, Hints
from g2vlm.models.heads import PAIR, RelationHead
from g2vlm.models.referring_head import ROLES, ObjectSet, Reading, RoleReader, Roles, describe
from g2vlm.models.state import RelationLogits
from metrics.scene_graph.predicates import LABELS

# Memory slots of the decoder that findings fill: the roles, the one asked for, and two more.
SLOTS = ROLES + 3
OCTAVES = 5
LONGEST_M = 8.0
# Ordered pairs of roles, and what is known of each: pairwise geometry and the probability of each
# label of each relation family.
PAIRS = tuple(permutations(range(ROLES), 2))
RELATIONS = sum(len(labels) for labels in LABELS.values())
ON = PAIR + [label for labels in LABELS.values() for label in labels].index("on")
# Who stands at one role, faces another and looks for the third; what is known of the three.
TRIPLES = ((0, 1, 2), (1, 0, 2), (2, 0, 1))
TRIPLE = 3
NEARER_M = 0.3
# What turns an expected -1 to 1 (farther, nearer) into a logit.
SURE = 4.0
# Which of two roles is asked for: the one nearer to the third, or the one on it.
CUES = 2
# Added to each role's share in what is asked for, so that every share has a gradient.
LEAST_SHARE = 1e-3
# Numbers on what the reader finds meant.
MEANT = 4
# Numbers on the room as a whole, of a box around it at so many turns within a right angle.
ROOM = 4
TURNS = 6
OUTER_SHARE = 0.01


@dataclass(frozen=True)
class Found:
    """What Q questions found: the decoder's memory [B,Q,SLOTS,D], what they were read as, the
    log-share [B,Q,ROLES] of each role in what is asked for, and what the answer may copy."""

    memory: Tensor
    roles: Roles
    asked: Tensor
    hints: Hints


def sharpen(shares: Tensor) -> Tensor:
    """Shares [...,N] in which the likelier objects weigh more than they did."""
    return shares.square() / shares.square().sum(-1, keepdim=True)


def expect_pairs(shares: Tensor, known: Tensor) -> Tensor:
    """What is expected [B,Q,PAIRS,K] of each pair of roles, of what is `known` [B,N,N,K] of each
    two objects."""
    first = torch.einsum("bqri,bijk->bqrjk", shares, known)
    both = torch.einsum("bqrjk,bqsj->bqrsk", first, shares)
    return torch.stack([both[:, :, r, s] for r, s in PAIRS], dim=-2)


class Findings(nn.Module):
    """Turns a question and objects into memory for the decoder.

    The roles are what the question mentions, in its order. Of each: how large it is, where, and how
    many there are; of each two: how they stand to each other; of all three: on which side the third
    is for one who stands at one and looks at another; and how large the room is.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.hidden
        self.compares = config.compares
        self.roles = RoleReader(config)
        told = 8 * ROLES + len(PAIRS) * (PAIR + RELATIONS) + MEANT
        told += ROLES + TRIPLE * len(TRIPLES) + ROOM
        waved = 3 * ROLES + 1
        self.told = nn.Linear(told + 2 * OCTAVES * waved + width, 2 * width)
        self.gate = nn.Linear(width, 2 * width)
        self.anchor = nn.Linear(width, CUES * ROLES)
        self.looks = nn.Linear(width, len(PAIRS) + len(TRIPLES))
        self.named = nn.Linear(len(config.classes) + len(config.colours) + 1, width)
        self.out = nn.Linear(2 * width, SLOTS * width)
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        text: TextBatch,
        objects: ObjectSet,
        room: Tensor,
        relations: RelationLogits,
        reading: Reading,
    ) -> Found:
        """Read questions [B,Q]; `room` [B,ROOM] comes from `measure_room`."""
        roles = self.roles(text, objects, describe(objects))
        shares = roles.shares.exp()
        places = shares @ objects.boxes[:, None, :, :3]
        sizes = shares @ objects.boxes[:, None, :, 3:]
        count = roles.match.sum(-1)
        longest = sizes.amax(-1)
        most = roles.match.amax(-1)
        own = [places / 3, sizes.clamp(min=0.02).log(), torch.stack([count, most], dim=-1)]
        pairs = self.pairs(shares, objects, relations)
        far, known = box_gaps(objects.boxes), triple_geometry(objects.boxes)
        sure = sharpen(shares)
        both = torch.cat([shares, sure], dim=1)
        distances, surely_far = self.apart(both, far).chunk(2, dim=1)
        triples, surely_known = self.triples(both, known).chunk(2, dim=1)
        meant = reading.logits.sigmoid() * objects.present[:, None]
        total = meant.sum(-1, keepdim=True)
        told = [total, meant.amax(-1, keepdim=True), (meant > 0.5).float().sum(-1, keepdim=True)]
        told.append(reading.zero_logit[..., None].clamp(-6, 6) / 3)
        told.append(room[:, None].expand(-1, total.shape[1], -1))
        waved = waves(torch.cat([longest, count, distances, total], dim=-1))
        numbers = [*(part.flatten(2) for part in own), pairs, distances, triples, *told, waved]
        told = F.gelu(self.told(torch.cat([*numbers, roles.sentence], dim=-1)))
        slots = self.out(told * (1 + self.gate(roles.sentence))).unflatten(-1, (SLOTS, -1))
        asked = self.asked(roles.sentence, triples, pairs)
        labels = torch.cat([roles.names.softmax(-1), roles.painted.softmax(-1)], dim=-1)
        words = roles.said + self.named(labels)
        words = torch.cat([words, asked[:, :, None] @ words], dim=2)
        slots = torch.cat([slots[:, :, : ROLES + 1] + words, slots[:, :, ROLES + 1 :]], dim=2)
        share = (asked + LEAST_SHARE) / (1 + ROLES * LEAST_SHARE)
        named = (asked[:, :, None] @ roles.names.softmax(-1))[:, :, 0]
        sides = self.sides(roles.sentence, self.levels(sure, objects), surely_known)
        hints = Hints(named, sides, self.measures(sure, objects, surely_far, room))
        return Found(self.norm(slots), roles, share.log(), hints)

    def measures(
        self, shares: Tensor, objects: ObjectSet, distances: Tensor, room: Tensor
    ) -> Tensor:
        """Logs [B,Q,MEASURES] of what an answer may copy: the room's area, the longest side of each
        role, the distances between them (`apart`), NaN where nothing is compared."""
        longest = 100 * (shares @ objects.boxes[:, None, :, 3:]).amax(-1)
        distances = distances.clamp(min=LEAST_NUMBER).log()
        if not self.compares:
            distances = torch.full_like(distances, torch.nan)
        area = room[:, None, :1].expand(-1, shares.shape[1], -1)
        return torch.cat([area, longest.clamp(min=LEAST_NUMBER).log(), distances], dim=-1)

    def levels(self, shares: Tensor, objects: ObjectSet) -> Tensor:
        """Expected level directions [B,Q,PAIRS,2] from the second role of each pair to the first,
        ahead and to the left as the first camera sees them; zeros where nothing is compared."""
        if not self.compares:
            return shares.new_zeros(*shares.shape[:2], len(PAIRS), 2)
        centre = objects.boxes[..., :2]
        level = F.normalize(centre[:, :, None] - centre[:, None], dim=-1, eps=1e-2)
        return expect_pairs(shares, level)

    def sides(self, sentence: Tensor, levels: Tensor, triples: Tensor) -> Tensor:
        """How likely what is asked for is on each of SIDES [B,Q,SIDES]: the sentence [B,Q,D] says
        of which role as seen from the first camera, or for one who stands at a role and faces
        another. What lies ahead of that one is in front, and what the camera sees farther off is
        behind."""
        turned = triples.unflatten(-1, (len(TRIPLES), TRIPLE))[..., 1:]
        ahead = torch.cat([-levels[..., 0], turned[..., 1]], dim=-1)
        left = torch.cat([levels[..., 1], turned[..., 0]], dim=-1)
        each = (SURE * torch.stack([left, -left, ahead, -ahead], dim=-1)).softmax(-1)
        return (self.looks(sentence).softmax(-1)[..., None, :] @ each)[..., 0, :]

    def asked(self, sentence: Tensor, triples: Tensor, pairs: Tensor) -> Tensor:
        """How likely each role [B,Q,ROLES] is what a question asks for, if it asks which of two is
        nearer to a third or on it: the sentence [B,Q,D] says which of these, and the third."""
        by = self.anchor(sentence).softmax(-1).unflatten(-1, (CUES, ROLES))
        nearer = (SURE * triples[..., ::TRIPLE]).sigmoid()
        on = pairs.unflatten(-1, (len(PAIRS), -1))[..., ON]
        shares = [torch.zeros_like(by[..., 0, 0]) for _ in range(ROLES)]
        for place, (anchor, second, third) in enumerate(TRIPLES):
            stand = on[..., [PAIRS.index((k, anchor)) for k in (second, third)]] + LEAST_SHARE
            cues = (nearer[..., place], stand[..., 1] / stand.sum(-1))
            for cue, likely in enumerate(cues):
                shares[second] = shares[second] + by[..., cue, anchor] * (1 - likely)
                shares[third] = shares[third] + by[..., cue, anchor] * likely
        return torch.stack(shares, dim=-1)

    def pairs(self, shares: Tensor, objects: ObjectSet, relations: RelationLogits) -> Tensor:
        """How each two roles stand to each other [B,Q,K]; zeros where nothing is compared."""
        known = [logits.softmax(-1) for logits in relations.families.values()]
        geometry = RelationHead.geometry(objects.boxes, objects.front)
        each = torch.cat([geometry, *known], dim=-1)
        if not self.compares:
            each = torch.zeros_like(each)
        return expect_pairs(shares, each).flatten(-2)

    def apart(self, shares: Tensor, far: Tensor) -> Tensor:
        """Expected distances [B,Q,ROLES] between each two roles, of those `far` [B,N,N] of objects;
        zeros as in `pairs`."""
        ends = combinations(range(ROLES), 2)
        told = torch.stack([(shares[:, :, r] @ far * shares[:, :, s]).sum(-1) for r, s in ends], -1)
        return told if self.compares else torch.zeros_like(told)

    def triples(self, shares: Tensor, known: Tensor) -> Tensor:
        """How three roles stand to each other [B,Q,TRIPLE*K]: what is expected of who stands at
        one role, faces another and looks for the third, of what is `known` [B,N,N,N,TRIPLE] of
        objects. Zeros where nothing is compared."""
        if not self.compares:
            return shares.new_zeros(*shares.shape[:2], TRIPLE * len(TRIPLES))
        told = []
        for r, s, t in TRIPLES:
            first = torch.einsum("bqi,bijkf->bqjkf", shares[:, :, r], known)
            second = torch.einsum("bqj,bqjkf->bqkf", shares[:, :, s], first)
            told.append(torch.einsum("bqk,bqkf->bqf", shares[:, :, t], second))
        return torch.cat(told, dim=-1)


@torch.no_grad()
def measure_room(points: Tensor) -> Tensor:
    """Logs [B,ROOM] of the floor area, longer and shorter side and height (metres) of the smallest
    upright box around points [B,P,3], but for the outermost hundredth at each end."""
    turn = torch.arange(2 * TURNS, device=points.device) * (math.pi / (2 * TURNS))
    across = torch.stack([turn.cos(), turn.sin()])
    along = torch.cat([points[..., :2] @ across, points[..., 2:]], dim=-1).transpose(1, 2)
    outer = round(OUTER_SHARE * (points.shape[1] - 1)) + 1
    low, high = (along.topk(outer, largest=largest).values[..., -1] for largest in (False, True))
    span = (high - low).clamp(min=0.02)
    sides = torch.stack([span[:, :TURNS], span[:, TURNS : 2 * TURNS]], dim=-1)
    best = (sides[..., 0] * sides[..., 1]).argmin(1)
    sides = (
        sides[torch.arange(len(best), device=best.device), best].sort(-1, descending=True).values
    )
    return torch.cat([sides.prod(-1, keepdim=True), sides, span[:, -1:]], dim=-1).log()


def box_gaps(boxes: Tensor) -> Tensor:
    """Distances [B,N,N] between the closest points of boxes [B,N,6], in metres."""
    return axis_gaps(boxes).clamp(min=0).norm(dim=-1)


def triple_geometry(boxes: Tensor) -> Tensor:
    """For one at object i who faces j [B,N,N,N,TRIPLE], of boxes [B,N,6]: whether k is nearer
    than j, and the sine and cosine of the turn to k, positive to the left."""
    centre, apart = boxes[..., :3], box_gaps(boxes)
    offset = centre[:, None] - centre[:, :, None]
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
