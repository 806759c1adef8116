"""The referring head: which objects a sentence means, given detected or ground-truth objects.

Objects are compared as the sentence asks: near its anchor, larger than others of their class, left
of another.

Shapes: B scenes, N objects, Q sentences, L words, C classes, D hidden, F point features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g2vlm.models.batch import TextBatch
from g2vlm.models.config import ModelConfig
from g2vlm.models.fusion import LEAST_MATCH
from g2vlm.models.heads import PAIR, RelationHead
from g2vlm.models.layers import Dropout, mlp, project_words

# Roles of objects in a sentence: the object it means, and up to two anchors that locate it.
ROLES = 3
# Learned features of words that are counted up to each word: the second object named has a role of
# its own.
COUNTED = 4
# Feature groups of an object under a sentence: itself, to either anchor, to its rivals, to all
# objects that could be its anchor, and its difference to the rivals in the first two.
ASPECTS = 7
# Logit of an object that is padding.
ABSENT = -1e4


@dataclass(frozen=True)
class ObjectSet:
    """N objects of each of B scenes, as the model sees them.

    Attributes:
        look: [B,N,F+3], mean point features and mean colour.
        classes: [B,N,C+1], mean class probabilities.
        boxes: [B,N,6], metres.
        front: [B,N,2], direction of the front, not normalised.
        present: bool [B,N], false for padding and for objects without a visible point.
    """

    look: Tensor
    classes: Tensor
    boxes: Tensor
    front: Tensor
    present: Tensor


@dataclass(frozen=True)
class Roles:
    """The ROLES roles of Q sentences and their attention over N objects.

    Attributes:
        sentence: [B,Q,D], the whole sentence.
        words: [B,Q,ROLES,D], the words of each role.
        classes: [B,Q,ROLES,C], logits of the class that the role names.
        colours: [B,Q,ROLES,K+1], logits of the colour that the role names; the last is none.
        object_colours: [B,N,K], logits of the objects' colours.
        match: [B,Q,ROLES,N], probability that the object has that class and colour.
        log_attention: [B,Q,ROLES,N], log of the role's attention over objects.
    """

    sentence: Tensor
    words: Tensor
    classes: Tensor
    colours: Tensor
    object_colours: Tensor
    match: Tensor
    log_attention: Tensor


@dataclass(frozen=True)
class Referral:
    """Which of N objects Q sentences mean.

    Attributes:
        logits: [B,Q,N], the sentence means the object.
        zero_logit: [B,Q], the sentence means no object.
        roles: the roles behind it.
    """

    logits: Tensor
    zero_logit: Tensor
    roles: Roles


def object_rows(objects: ObjectSet) -> Tensor:
    """Return one feature row per object [B,N,`row_size`]: look, class, size and position."""
    size = objects.boxes[..., 3:].clamp(min=0.02).log()
    return torch.cat([objects.look, objects.classes, size, objects.boxes[..., :3] / 3], dim=-1)


def row_size(config: ModelConfig) -> int:
    """Return the length of a row of `object_rows`."""
    return config.point_hidden + 3 + len(config.classes) + 1 + 6


class RoleParser(nn.Module):
    """Finds the roles of a sentence and the objects that could play them.

    Each role names a class and perhaps a colour. Its attention falls on objects that have both,
    and on objects whose features are similar to the role's words. Without cross-attention a
    sentence is a single pooled word.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, small = config.hidden, config.point_hidden
        self.reads_words = config.cross_attention
        self.text = nn.Linear(config.text_features, width)
        self.counted = nn.Linear(width, COUNTED)
        self.roles = mlp(width + COUNTED, small, 2 * ROLES)
        self.role_embedding = nn.Parameter(torch.randn(2 * ROLES, width).mul_(0.02))
        self.sentence = mlp(ROLES * width, width, width)
        self.classes = nn.Linear(width, len(config.classes))
        self.colours = nn.Linear(width, len(config.colours) + 1)
        self.object_colours = mlp(small + 3, small, len(config.colours))
        self.query = nn.Linear(width, small)
        self.key = mlp(row_size(config), small, small)
        self.sharpness = nn.Linear(width, ROLES)
        self.drop = Dropout(config.dropout)

    def forward(self, text: TextBatch, objects: ObjectSet, rows: Tensor) -> Roles:
        """Parse sentences [B,Q] against objects [B,N] with feature rows [B,N,K]."""
        roles, sentence = self.split(text)
        classes = self.classes(roles)  # (B, Q, ROLES, C)
        match = classes.softmax(-1) @ objects.classes[:, None, :, :-1].transpose(2, 3)
        colours, object_colours = self.colours(roles), self.object_colours(objects.look)
        named = colours.softmax(-1)
        # Probability that the colours agree; a role that names no colour accepts all.
        agree = named[..., :-1] @ object_colours.softmax(-1)[:, None].transpose(2, 3)
        match = (
            match * (agree + named[..., -1:]) * objects.present[:, None, None]
        )  # (B, Q, ROLES, N)
        sharpness = 1 + F.softplus(self.sharpness(sentence))  # (B, Q, ROLES)
        # Divided by the root of the default F = 64, as in scaled dot-product attention.
        similarity = self.query(roles) @ self.key(rows)[:, None].transpose(2, 3) / 8
        logits = sharpness[..., None] * (match + LEAST_MATCH).log() + similarity
        logits = logits.masked_fill(~objects.present[:, None, None], ABSENT)
        return Roles(
            sentence, roles, classes, colours, object_colours, match, logits.log_softmax(-1)
        )

    def split(self, text: TextBatch) -> tuple[Tensor, Tensor]:
        """Return the words of each role [B,Q,ROLES,D] and the whole sentence [B,Q,D]."""
        states, mask = text.states, text.mask
        if not self.reads_words:
            states, mask = text.pooled[:, :, None], torch.ones_like(text.mask[..., :1])
        words = self.drop(project_words(self.text, states, mask))  # (B, Q, L, D)
        before = (self.counted(words).sigmoid() * mask[..., None]).cumsum(2)
        weight = self.roles(torch.cat([words, before], dim=-1))
        weight = weight.masked_fill(~mask[..., None], ABSENT).softmax(2)  # (B, Q, L, 2*ROLES)
        pooled = (weight.transpose(2, 3) @ words) * (1 + self.role_embedding)
        # The first half of the pooled vectors are roles, the second half make up the sentence.
        return pooled[:, :, :ROLES], self.sentence(pooled[:, :, ROLES:].flatten(2))


class ReferringHead(nn.Module):
    """Finds the objects that a sentence means by their relations to the others that it names.

    Role 0 holds the candidates, the others their anchors. Rivals are the other objects of the named
    class. Pairwise geometry to anchors and rivals is gated by the sentence.

    Source: objects as tokens and text-gated spatial relations of ViL3DRel (Chen et al. 2022).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, small = config.hidden, config.point_hidden
        self.compares = config.comparison
        self.roles = RoleParser(config)
        self.own = mlp(row_size(config), small, small)
        self.pair = mlp(PAIR, small, small)
        self.gate = nn.Linear(width, ASPECTS * small)
        self.score = nn.Sequential(
            nn.Linear(ASPECTS * small, 2 * small),
            nn.GELU(),
            Dropout(config.dropout),
            nn.Linear(2 * small, 1),
        )
        self.class_weight = nn.Linear(width, 1)
        self.zero = mlp(width + 2 * ROLES, small, 1)

    def forward(self, text: TextBatch, objects: ObjectSet) -> Referral:
        """Return which of the objects [B,N] the sentences [B,Q] mean."""
        rows = object_rows(objects)
        roles = self.roles(text, objects, rows)
        log_match = (roles.match[:, :, 0] + LEAST_MATCH).log()  # (B, Q, N)
        score = self.score(self.compare(roles, self.own(rows), objects))[..., 0]
        logits = score + F.softplus(self.class_weight(roles.sentence)) * log_match
        logits = logits.masked_fill(~objects.present[:, None], ABSENT)
        # Whether nothing is meant follows from the best match of each role, the expected number of
        # candidates, and how well the best object matches.
        candidates = roles.match[:, :, 0]
        best = (logits.softmax(-1) * candidates).sum(-1, keepdim=True)
        evidence = [
            roles.sentence,
            roles.match.amax(-1),
            candidates.sum(-1, keepdim=True),
            best,
            logits.amax(-1, keepdim=True).clamp(min=-20),
        ]
        return Referral(logits, self.zero(torch.cat(evidence, dim=-1))[..., 0], roles)

    def compare(self, roles: Roles, own: Tensor, objects: ObjectSet) -> Tensor:
        """Return gated features [B,Q,N,ASPECTS*F] of each object under each sentence.

        Args:
            roles: the parsed sentences.
            own: [B,N,F], features of each object by itself.
            objects: the objects.
        """
        match = roles.match
        # No gradient: rivals are objects of the named class, not whatever helps to compare.
        rivals = 2 * (match[:, :, 0].detach() + LEAST_MATCH).log()
        rivals = rivals.masked_fill(~objects.present[:, None], ABSENT).softmax(-1)  # (B, Q, N)
        own_rows = own[:, None].expand(-1, match.shape[1], -1, -1)  # (B, Q, N, F)
        apart = own_rows - (rivals @ own)[:, :, None]
        if self.compares:
            # (B, i, j, F), expected over j under four attentions.
            pair = F.gelu(self.pair(RelationHead.geometry(objects.boxes, objects.front)))
            anchors = (roles.log_attention[:, :, role].exp() for role in (1, 2))
            weights = [*anchors, rivals, match[:, :, 1]]
            to = [torch.einsum("bqj,bijs->bqis", weight, pair) for weight in weights]
            ahead = to[0] - torch.einsum("bqi,bqis->bqs", rivals, to[0])[:, :, None]
        else:
            *to, ahead = [torch.zeros_like(own_rows)] * 5
        features = torch.cat([own_rows, *to, ahead, apart], dim=-1)
        return F.gelu(features * (1 + self.gate(roles.sentence))[:, :, None])
