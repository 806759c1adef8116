"""The context of a question: measurements of objects from which the decoder answers.

Shapes: B scenes, N objects, Q questions, C classes, D hidden.
"""

import math
from dataclasses import dataclass
from itertools import combinations, permutations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g2vlm.models.batch import TextBatch
from g2vlm.models.boxes import axis_gaps
from g2vlm.models.config import ModelConfig
from g2vlm.models.decoder import LEAST_NUMBER, CopyHints
from g2vlm.models.heads import PAIR, RelationHead
from g2vlm.models.layers import OCTAVES, waves
from g2vlm.models.referring_head import (
    ROLES,
    ObjectSet,
    Referral,
    RoleParser,
    Roles,
    object_rows,
)
from g2vlm.models.state import RelationLogits
from metrics.scene_graph.predicates import LABELS

# States of the decoder's memory: one per role, the role asked for, and two more.
SLOTS = ROLES + 3
# Longest wavelength in which measurements are encoded (`waves`).
LONGEST_M = 8.0
# Ordered pairs of roles. Of each pair: pairwise geometry, and the probability of each label of each
# relation family.
PAIRS = tuple(permutations(range(ROLES), 2))
RELATIONS = sum(len(labels) for labels in LABELS.values())
ON = PAIR + [label for labels in LABELS.values() for label in labels].index("on")
# An observer at the first role faces the second and looks for the third.
TRIPLES = ((0, 1, 2), (1, 0, 2), (2, 0, 1))
# Length of `triple_geometry`.
TRIPLE = 3
# Distances that differ by this much give a `nearer` of 0.76 (`triple_geometry`).
NEARER_M = 0.3
# Turns an expected value in -1..1 (farther, nearer) into a logit.
CERTAINTY = 4.0
# Ways of asking for one of two roles: the one nearer to the third, or the one on it.
CUES = 2
# Added to each role's share in what is asked for, so that every share has a gradient.
LEAST_SHARE = 1e-3
# Numbers from the referring head: expected count, highest probability, count above 0.5, zero logit.
MEANT = 4
# Measures of the room (`measure_room`), and turns within a right angle that are tried.
ROOM = 4
TURNS = 6
OUTER_SHARE = 0.01


@dataclass(frozen=True)
class QAContext:
    """What the decoder answers Q questions from.

    Attributes:
        memory: [B,Q,SLOTS,D], the decoder's memory.
        roles: the parsed questions.
        asked: [B,Q,ROLES], log of the share of each role in what is asked for.
        hints: what the answer may copy.
    """

    memory: Tensor
    roles: Roles
    asked: Tensor
    hints: CopyHints


def expect_pairs(shares: Tensor, values: Tensor) -> Tensor:
    """Return the expected values of pairs of roles.

    Args:
        shares: [B,Q,ROLES,N], share of each object in each role.
        values: [B,N,N,K], values of ordered pairs of objects.

    Returns:
        [B,Q,PAIRS,K].
    """
    first = torch.einsum("bqri,bijk->bqrjk", shares, values)
    both = torch.einsum("bqrjk,bqsj->bqrsk", first, shares)
    return torch.stack([both[:, :, r, s] for r, s in PAIRS], dim=-2)


class QAContextEncoder(nn.Module):
    """Turns questions and objects into memory for the decoder.

    The roles are the objects that a question mentions, in its order. The memory holds, for each
    role, its size, position and count; for each two roles, their relations; for all three, the side
    of the third as seen from one of them; and the size of the room. A method that does not compare
    objects gets zeros for everything between roles.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.hidden
        self.compares = config.comparison
        self.roles = RoleParser(config)
        numbers = (
            *(8 * ROLES, len(PAIRS) * (PAIR + RELATIONS), ROLES, TRIPLE * len(TRIPLES)),
            *(MEANT, ROOM),
            2 * OCTAVES * (3 * ROLES + 1),  # from `waves`
        )
        self.numbers = nn.Linear(sum(numbers) + width, 2 * width)
        self.gate = nn.Linear(width, 2 * width)
        self.third_role = nn.Linear(width, CUES * ROLES)
        self.viewpoint = nn.Linear(width, len(PAIRS) + len(TRIPLES))
        self.label_embedding = nn.Linear(len(config.classes) + len(config.colours) + 1, width)
        self.out = nn.Linear(2 * width, SLOTS * width)
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        text: TextBatch,
        objects: ObjectSet,
        room: Tensor,
        relations: RelationLogits,
        referral: Referral,
    ) -> QAContext:
        """Return the context of questions.

        Args:
            text: questions [B,Q].
            objects: objects [B,N].
            room: [B,ROOM], from `measure_room`.
            relations: relations between the objects.
            referral: the same questions read by the referring head.
        """
        roles = self.roles(text, objects, object_rows(objects))
        shares = roles.log_attention.exp()  # (B, Q, ROLES, N)
        places = shares @ objects.boxes[:, None, :, :3]  # (B, Q, ROLES, 3), expected centres
        sizes = shares @ objects.boxes[:, None, :, 3:]
        count = roles.match.sum(-1)  # (B, Q, ROLES), expected number of matching objects
        matches = torch.stack([count, roles.match.amax(-1)], dim=-1)
        own = [places / 3, sizes.clamp(min=0.02).log(), matches]
        pairs = self.pairs(shares, objects, relations)
        between = self.compared(box_distances(objects.boxes))
        geometry = self.compared(triple_geometry(objects.boxes))
        # Numbers that are copied come from sharpened shares, in which likelier objects weigh more:
        # a mean over two chairs is the distance of neither. Both kinds of shares are processed
        # together, as 2Q questions.
        sharp = shares.square() / shares.square().sum(-1, keepdim=True)
        both = torch.cat([shares, sharp], dim=1)
        distances, sharp_distances = self.distances(both, between).chunk(2, dim=1)
        triples, sharp_triples = self.triples(both, geometry).chunk(2, dim=1)
        meant = referral.logits.sigmoid() * objects.present[:, None]  # (B, Q, N)
        total = meant.sum(-1, keepdim=True)
        numbers = [
            *(part.flatten(2) for part in own),
            *(pairs, distances, triples),
            total,
            meant.amax(-1, keepdim=True),
            (meant > 0.5).float().sum(-1, keepdim=True),
            referral.zero_logit[..., None].clamp(-6, 6) / 3,
            room[:, None].expand(-1, total.shape[1], -1),
            waves(torch.cat([sizes.amax(-1), count, distances, total], dim=-1), LONGEST_M),
        ]
        hidden = F.gelu(self.numbers(torch.cat([*numbers, roles.sentence], dim=-1)))
        slots = self.out(hidden * (1 + self.gate(roles.sentence))).unflatten(-1, (SLOTS, -1))
        asked = self.asked(roles.sentence, triples, pairs)  # (B, Q, ROLES)
        # The first slots also hold the words, class and colour of each role, and of the one asked.
        labels = torch.cat([roles.classes.softmax(-1), roles.colours.softmax(-1)], dim=-1)
        words = roles.words + self.label_embedding(labels)
        words = torch.cat([words, asked[:, :, None] @ words], dim=2)
        slots = torch.cat([slots[:, :, : ROLES + 1] + words, slots[:, :, ROLES + 1 :]], dim=2)
        share = (asked + LEAST_SHARE) / (1 + ROLES * LEAST_SHARE)
        hints = CopyHints(
            named=(asked[:, :, None] @ roles.classes.softmax(-1))[:, :, 0],
            sides=self.sides(roles.sentence, self.directions(sharp, objects), sharp_triples),
            measures=self.measures(sharp, objects, sharp_distances, room),
        )
        return QAContext(self.norm(slots), roles, share.log(), hints)

    def compared(self, values: Tensor) -> Tensor:
        """Return values between objects, or zeros for a method that does not compare objects."""
        return values if self.compares else torch.zeros_like(values)

    def measures(
        self, shares: Tensor, objects: ObjectSet, distances: Tensor, room: Tensor
    ) -> Tensor:
        """Return logs [B,Q,MEASURES] of numbers that an answer may copy, NaN = not measured.

        They are the room's area (m²), the longest side of each role (cm), and the distances between
        roles (m).
        """
        distances = distances.clamp(min=LEAST_NUMBER).log()
        if not self.compares:
            distances = torch.full_like(distances, torch.nan)
        measures = [
            room[:, None, :1].expand(-1, shares.shape[1], -1),
            (100 * (shares @ objects.boxes[:, None, :, 3:]).amax(-1)).clamp(min=LEAST_NUMBER).log(),
            distances,
        ]
        return torch.cat(measures, dim=-1)

    def directions(self, shares: Tensor, objects: ObjectSet) -> Tensor:
        """Return expected level directions [B,Q,PAIRS,2] from the second role to the first.

        The axes are ahead and left as the first camera sees them.
        """
        centre = objects.boxes[..., :2]
        direction = F.normalize(centre[:, :, None] - centre[:, None], dim=-1, eps=1e-2)
        return expect_pairs(shares, self.compared(direction))

    def sides(self, sentence: Tensor, directions: Tensor, triples: Tensor) -> Tensor:
        """Return the probability of each side (left, right, front, behind) as the answer.

        The sentence selects a viewpoint: the first camera, or an observer at one role who faces
        another. Front is ahead for the observer, but nearer to the camera for the camera.

        Args:
            sentence: [B,Q,D].
            directions: [B,Q,PAIRS,2], from `directions`.
            triples: [B,Q,TRIPLE*len(TRIPLES)], from `triples`.

        Returns:
            [B,Q,SIDES].
        """
        turned = triples.unflatten(-1, (len(TRIPLES), TRIPLE))[..., 1:]  # sine, cosine of the turn
        ahead = torch.cat([-directions[..., 0], turned[..., 1]], dim=-1)
        left = torch.cat([directions[..., 1], turned[..., 0]], dim=-1)
        each = (CERTAINTY * torch.stack([left, -left, ahead, -ahead], dim=-1)).softmax(-1)
        return (self.viewpoint(sentence).softmax(-1)[..., None, :] @ each)[..., 0, :]

    def asked(self, sentence: Tensor, triples: Tensor, pairs: Tensor) -> Tensor:
        """Return the probability [B,Q,ROLES] that a role is the answer to "which of the two".

        The question asks which of two roles is nearer to a third or on it. The sentence selects the
        third role and one of the two cues.

        Args:
            sentence: [B,Q,D].
            triples: [B,Q,TRIPLE*len(TRIPLES)], from `triples`.
            pairs: [B,Q,len(PAIRS)*K], from `pairs`.
        """
        weights = self.third_role(sentence).softmax(-1).unflatten(-1, (CUES, ROLES))
        nearer = (CERTAINTY * triples[..., ::TRIPLE]).sigmoid()  # (B, Q, TRIPLES)
        on = pairs.unflatten(-1, (len(PAIRS), -1))[..., ON]  # (B, Q, PAIRS)
        shares = [torch.zeros_like(weights[..., 0, 0]) for _ in range(ROLES)]
        for number, (anchor, second, third) in enumerate(TRIPLES):
            on_anchor = on[..., [PAIRS.index((role, anchor)) for role in (second, third)]]
            on_anchor = on_anchor + LEAST_SHARE
            # Probability that `third` is the answer, by each cue.
            cues = (nearer[..., number], on_anchor[..., 1] / on_anchor.sum(-1))
            for cue, probability in enumerate(cues):
                weight = weights[..., cue, anchor]
                shares[second] = shares[second] + weight * (1 - probability)
                shares[third] = shares[third] + weight * probability
        return torch.stack(shares, dim=-1)

    def pairs(self, shares: Tensor, objects: ObjectSet, relations: RelationLogits) -> Tensor:
        """Return expected geometry and relations of all pairs of roles [B,Q,PAIRS*K], flat."""
        probabilities = [logits.softmax(-1) for logits in relations.families.values()]
        geometry = RelationHead.geometry(objects.boxes, objects.front)
        each = self.compared(torch.cat([geometry, *probabilities], dim=-1))
        return expect_pairs(shares, each).flatten(-2)

    def distances(self, shares: Tensor, distances: Tensor) -> Tensor:
        """Return expected distances [B,Q,ROLES] between each two roles.

        Args:
            shares: [B,Q,ROLES,N].
            distances: [B,N,N], between objects, metres.
        """
        ends = combinations(range(ROLES), 2)
        expected = [(shares[:, :, r] @ distances * shares[:, :, s]).sum(-1) for r, s in ends]
        return torch.stack(expected, -1)

    def triples(self, shares: Tensor, geometry: Tensor) -> Tensor:
        """Return the expected geometry of the three roles [B,Q,TRIPLE*len(TRIPLES)].

        Args:
            shares: [B,Q,ROLES,N].
            geometry: [B,N,N,N,TRIPLE], from `triple_geometry`.
        """
        expected = []
        for r, s, t in TRIPLES:
            first = torch.einsum("bqi,bijkf->bqjkf", shares[:, :, r], geometry)
            second = torch.einsum("bqj,bqjkf->bqkf", shares[:, :, s], first)
            expected.append(torch.einsum("bqk,bqkf->bqf", shares[:, :, t], second))
        return torch.cat(expected, dim=-1)


@torch.no_grad()
def measure_room(points: Tensor) -> Tensor:
    """Return logs [B,ROOM] of floor area, longer side, shorter side and height of a scene.

    They are those of the smallest upright box around points [B,P,3], in metres, without the
    outermost hundredth at each end. Boxes at 6 turns within a right angle are compared.
    """
    # Twice as many directions, because a box at one turn has two perpendicular sides.
    turn = torch.arange(2 * TURNS, device=points.device) * (math.pi / (2 * TURNS))
    across = torch.stack([turn.cos(), turn.sin()])  # (2, 2*TURNS)
    along = torch.cat([points[..., :2] @ across, points[..., 2:]], dim=-1).transpose(1, 2)
    outer = round(OUTER_SHARE * (points.shape[1] - 1)) + 1
    low, high = (along.topk(outer, largest=largest).values[..., -1] for largest in (False, True))
    span = (high - low).clamp(min=0.02)  # (B, 2*TURNS + 1)
    sides = torch.stack([span[:, :TURNS], span[:, TURNS : 2 * TURNS]], dim=-1)
    best = (sides[..., 0] * sides[..., 1]).argmin(1)
    rows = torch.arange(len(best), device=best.device)
    sides = sides[rows, best].sort(-1, descending=True).values  # (B, 2)
    return torch.cat([sides.prod(-1, keepdim=True), sides, span[:, -1:]], dim=-1).log()


def box_distances(boxes: Tensor) -> Tensor:
    """Return the distances [B,N,N] between the closest points of boxes [B,N,6], in metres."""
    return axis_gaps(boxes).clamp(min=0).norm(dim=-1)


def triple_geometry(boxes: Tensor) -> Tensor:
    """Return what an observer at object i who faces object j sees of object k.

    Args:
        boxes: [B,N,6].

    Returns:
        [B,i,j,k,TRIPLE]: whether k is nearer than j (-1..1), and sine and cosine of the turn from j
        to k, positive to the left.
    """
    centre, distance = boxes[..., :3], box_distances(boxes)
    offset = centre[:, None] - centre[:, :, None]  # (B, i, j, 3), from i to j
    nearer = ((distance[..., None] - distance[:, :, None]) / NEARER_M).tanh()
    x, y = F.normalize(offset[..., :2], dim=-1, eps=1e-2).unbind(-1)
    # Cross and dot product of the level directions to j and to k.
    sine = x[..., None] * y[:, :, None] - y[..., None] * x[:, :, None]
    cosine = x[..., None] * x[:, :, None] + y[..., None] * y[:, :, None]
    return torch.stack([nearer, sine, cosine], dim=-1)
