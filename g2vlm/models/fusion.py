"""Language and geometry attend to each other, with a geometric bias that the text gates.

Shapes: B scenes, T patches, P points, Q sentences of L words, M text states, C classes, D hidden,
F point features.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g2vlm.models.batch import TextBatch
from g2vlm.models.config import ModelConfig
from g2vlm.models.layers import (
    RELATIVE,
    Attention,
    Dropout,
    exact,
    linear_of_parts,
    mlp,
    project_words,
    standard,
)
from g2vlm.models.state import GroundState, SceneState

# Numbers of each patch for comparisons: the three sizes of its box, and its height.
EXTRA = 4
# Features of a patch against anchors and candidates.
SPATIAL = 2 * RELATIVE + EXTRA
# Text states that a sentence is summarised in.
SLOTS = 6
# Added to match probabilities before a logarithm, so that one misclassified point loses no object.
LEAST_MATCH = 0.02


class FusionLayer(nn.Module):
    """Text tokens attend to geometry tokens under a per-head bias, then a feed-forward layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.hidden
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.attention = Attention(width, config.heads)
        self.feed = mlp(width, 2 * width, width)
        self.drop = Dropout(config.dropout)

    def forward(self, text: Tensor, tokens: Tensor, bias: Tensor | None) -> Tensor:
        """Return text states [B,Q,M,D] updated from tokens [B,T,D]; bias is [B,heads,Q,T]."""
        batch, queries, length, width = text.shape
        if bias is not None:
            # All states of a sentence share its bias: (B, heads, Q*M, T).
            bias = bias[:, :, :, None].expand(-1, -1, -1, length, -1).flatten(2, 3)
        flat = self.norms[0](text).flatten(1, 2)
        text = text + self.attention(flat, tokens, bias).view(batch, queries, length, width)
        return text + self.drop(self.feed(self.norms[1](text)))


class Fusion(nn.Module):
    """Grounds Q sentences in an encoded scene.

    A first attention finds patches of the sentence's anchors and candidates. Pairwise features
    (distance, direction) from these to every patch, gated by the text, bias the attention from text
    to geometry. They also enter each patch's state for the sentence. Projections of the scene are
    computed once for all sentences.

    Source: text-gated spatial attention of ViL3DRel (Chen et al. 2022).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width, small = config.hidden, config.point_hidden
        self.text = nn.Linear(config.text_features, width)
        self.sentence = nn.Linear(config.text_features, width)
        self.roles = nn.Linear(width, 2 + SLOTS)
        self.slot_embedding = nn.Parameter(torch.randn(SLOTS, width).mul_(0.02))
        self.role_queries = nn.ModuleList([nn.Linear(width, small), nn.Linear(width, small)])
        self.role_keys = nn.Linear(width, 2 * small)
        self.gates = nn.Linear(width, config.heads * SPATIAL)
        self.layers = nn.ModuleList([FusionLayer(config) for _ in range(config.fusion_layers)])
        self.key = nn.Linear(width, width)
        self.patch = nn.Linear(width, width + small)
        self.value = nn.Linear(width, small)
        self.spatial = nn.Linear(2 * SPATIAL, small)
        self.spatial_gate = nn.Linear(width, small)
        self.token = mlp(small, small, 1)
        self.point = nn.Linear(small + len(config.classes) + 1, small)
        self.target = nn.Linear(width, small + 2)
        self.names = nn.Linear(width, len(config.classes))
        self.readout = nn.ModuleList(
            [nn.Linear(small + 2 * SPATIAL + 4, width), nn.Linear(2 * width + 6, width)]
        )

    def split_roles(self, batch: TextBatch) -> tuple[Tensor, Tensor]:
        """Return learned weighted means of a sentence's words.

        Returns:
            anchor and candidate [2,B,Q,D], and text states [B,Q,SLOTS,D].
        """
        words = project_words(self.text, batch.states, batch.mask)  # (B, Q, L, D)
        weight = self.roles(words).masked_fill(~batch.mask[..., None], -1e4).softmax(2)
        pooled = weight.transpose(2, 3) @ words  # (B, Q, 2 + SLOTS, D)
        return pooled[:, :, :2].permute(2, 0, 1, 3), pooled[:, :, 2:] + self.slot_embedding

    def first_attention(self, pooled: Tensor, tokens: Tensor) -> Tensor:
        """Return log-probabilities [2,B,Q,T] over patches for anchors and candidates."""
        scene = self.role_keys(tokens).unflatten(-1, (2, -1)).permute(2, 0, 3, 1)  # (2, B, F, T)
        query = torch.stack([f(one) for f, one in zip(self.role_queries, pooled, strict=True)])
        return (query @ scene / math.sqrt(query.shape[-1])).log_softmax(-1)

    def spatial_features(self, state: SceneState, aims: Tensor) -> tuple[Tensor, Tensor]:
        """Return expected pairwise features between each patch and the sentence's roles.

        Args:
            state: the encoded scene.
            aims: [2,B,Q,T], log-probabilities of anchors and candidates.

        Returns:
            features [B,Q,T,2*SPATIAL] (values, and values minus the candidates' mean) and the
            candidates' means [B,Q,SPATIAL]; zeros without the geometry module.
        """
        anchor, candidate = aims.exp()
        batch, queries, tokens = anchor.shape
        if state.relative is None:
            empty = state.tokens.new_zeros(batch, queries, tokens, 2 * SPATIAL)
            return empty, empty[:, :, 0, :SPATIAL]
        # Expectations over anchors and candidates in one product: (B, T, T*RELATIVE).
        flat = state.relative.flatten(2)
        with exact(flat):
            both = torch.cat([anchor, candidate], dim=1).float() @ flat.float()
        first, second = both.unflatten(-1, (tokens, RELATIVE)).chunk(2, dim=1)
        # Log size of each patch's box, and its height: (B, T, EXTRA).
        size = state.token_sizes.clamp(min=0.02).log()
        extra = torch.cat([size, state.token_xyz[..., 2:]], dim=-1)
        extra = extra[:, None].expand(-1, queries, -1, -1)
        values = torch.cat([first, second, extra], dim=-1)
        mean = torch.einsum("bqt,bqtk->bqk", candidate, values)
        return torch.cat([values, values - mean[:, :, None]], dim=-1), mean

    def forward(self, state: SceneState, batch: TextBatch) -> GroundState:
        """Ground the sentences."""
        tokens = state.tokens
        roles, text = self.split_roles(batch)
        aims = self.first_attention(roles, tokens)
        spatial, mean = self.spatial_features(state, aims)
        if self.config.cross_attention:
            text = self.fuse(text, tokens, spatial)
        else:
            text = self.sentence(standard(batch.pooled))[:, :, None]
            spatial, mean = torch.zeros_like(spatial), torch.zeros_like(mean)
        name_logits = self.names(roles[1] if self.config.cross_attention else text[:, :, 0])
        sentence = text.mean(2)
        states = self.patch_states(tokens, text, sentence, spatial)
        token_logits = self.token(states)[..., 0]  # (B, Q, T)
        by_token = state.grid.spread(token_logits.transpose(1, 2)).transpose(1, 2)
        # Probability (B, Q, P) that a point is of the class that the sentence names.
        classes = state.class_probabilities.detach()[..., :-1]
        match = name_logits.softmax(-1) @ classes.transpose(1, 2)
        point_logits = self.find_points(state, sentence, match) + by_token
        summary = torch.cat([mean, named_share(match)], -1)
        found = self.scene_states(state, token_logits, states, summary, spatial)
        return GroundState(
            point_logits=point_logits,
            token_logits=token_logits,
            text_states=torch.cat([text, found], dim=2),
            aims=aims,
            name_logits=name_logits,
        )

    def find_points(self, state: SceneState, sentence: Tensor, match: Tensor) -> Tensor:
        """Return logits that the sentence's target covers a point.

        They add the similarity of point and sentence to the log-probability of the named class,
        weighted by how much the sentence depends on it.

        Args:
            state: the encoded scene.
            sentence: [B,Q,D].
            match: [B,Q,P], probability of the named class.

        Returns:
            [B,Q,P].
        """
        classes = (state.class_probabilities.detach() + 1e-6).sqrt()
        points = linear_of_parts(self.point, state.point_features, classes)  # (B, P, F)
        query, bias, trust = self.target(sentence).split([self.point.out_features, 1, 1], dim=-1)
        # Divided by the root of the default F = 64, as in scaled dot-product attention.
        by_point = (points @ query.transpose(1, 2)).transpose(1, 2) / 8
        # The bias of -2 starts training with few points chosen.
        return by_point + bias - 2 + F.softplus(trust) * (match + LEAST_MATCH).log()

    def fuse(self, text: Tensor, tokens: Tensor, spatial: Tensor) -> Tensor:
        """Return text states [B,Q,M,D] after attention to tokens with the gated spatial bias."""
        gates = self.gates(text.mean(2)).unflatten(-1, (self.config.heads, SPATIAL))
        bias = None
        if self.config.geometry_module:
            bias = torch.einsum("bqhk,bqtk->bhqt", gates, spatial[..., :SPATIAL])
        for layer in self.layers:
            text = layer(text, tokens, bias)
        return text

    def patch_states(
        self, tokens: Tensor, text: Tensor, sentence: Tensor, spatial: Tensor
    ) -> Tensor:
        """Return a state [B,Q,T,F] of each patch for each sentence: the patch attends to text."""
        # Once per scene: queries (B, T, D) and the patches' own part (B, T, F).
        query, own = self.patch(tokens).split([tokens.shape[-1], self.value.out_features], dim=-1)
        logits = self.key(text).flatten(1, 2) @ query.transpose(1, 2) / math.sqrt(tokens.shape[-1])
        logits = logits.unflatten(1, text.shape[1:3])  # (B, Q, M, T)
        attended = logits.softmax(2).transpose(2, 3) @ self.value(text)
        placed = self.spatial(spatial) * (1 + self.spatial_gate(sentence))[:, :, None]
        return F.gelu(own[:, None] + attended + placed)

    def scene_states(
        self,
        state: SceneState,
        token_logits: Tensor,
        states: Tensor,
        summary: Tensor,
        spatial: Tensor,
    ) -> Tensor:
        """Return two states for the decoder: what the sentence found, and the scene's extent.

        Args:
            state: the encoded scene.
            token_logits: [B,Q,T].
            states: [B,Q,T,F], of patches.
            summary: [B,Q,SPATIAL+3], the candidates' mean features and the named class's share.
            spatial: [B,Q,T,2*SPATIAL].

        Returns:
            [B,Q,2,D].
        """
        tokens = state.tokens
        attention = token_logits.softmax(-1)
        found = torch.einsum("bqt,bqtk->bqk", attention, torch.cat([states, spatial], dim=-1))
        found = found[..., : states.shape[-1] + SPATIAL]
        count = token_logits.sigmoid().mean(-1, keepdim=True)
        first = self.readout[0](torch.cat([found, summary, count], dim=-1))
        # Robust ends of the scene along each axis, from every eighth point.
        ordered = state.points.detach()[:, ::8].sort(1).values
        ends = [ordered[:, int(share * (ordered.shape[1] - 1))] for share in (0.02, 0.98)]
        pooled = torch.cat([tokens.mean(1), tokens.amax(1), *ends], dim=-1)
        return torch.stack([first, self.readout[1](pooled)[:, None].expand_as(first)], dim=2)


def named_share(match: Tensor) -> Tensor:
    """Return how much of the scene is of the named class, from its probabilities at points.

    Args:
        match: [B,Q,P].

    Returns:
        [B,Q,3]: the highest probability, the tenth highest, and the log of the mean.
    """
    best = match.topk(min(10, match.shape[-1]), dim=-1).values
    return torch.stack([best[..., 0], best[..., -1], (match.mean(-1) + 1e-4).log() / 4], dim=-1)
