"""Language and geometry attend to each other, with a geometric bias that the text gates."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g2vlm.models.batch import TextBatch
from g2vlm.models.config import ModelConfig
from g2vlm.models.layers import (
    RELATIVE,
    Attention,
    exact,
    mlp,
    read_side_by_side,
    read_words,
    standard,
)
from g2vlm.models.state import GroundState, SceneState

EXTRA = 4
SPATIAL = 2 * RELATIVE + EXTRA
SLOTS = 6
# What a point still has of a class that it does not seem to be: one lost point loses no object.
LEAST_MATCH = 0.02


class FusionLayer(nn.Module):
    """Text tokens attend to geometry tokens under a per-head bias, then a feed-forward layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.hidden
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.attention = Attention(width, config.heads)
        self.feed = mlp(width, 2 * width, width)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, text: Tensor, tokens: Tensor, bias: Tensor | None) -> Tensor:
        """Update text [B,Q,M,D] from tokens [B,T,D]; bias [B,heads,Q,T] or none."""
        batch, queries, length, width = text.shape
        if bias is not None:
            bias = bias[:, :, :, None].expand(-1, -1, -1, length, -1).flatten(2, 3)
        flat = self.norms[0](text).flatten(1, 2)
        text = text + self.attention(flat, tokens, bias).view(batch, queries, length, width)
        return text + self.drop(self.feed(self.norms[1](text)))


class Fusion(nn.Module):
    """Reads Q sentences against an encoded scene.

    The sentence names anchors and candidates: a first attention spreads over patches for each.
    Their expected pairwise features (distance, directions) to every patch, gated by the text, are
    the bias of the text-to-geometry attention (after ViL3DRel, Chen et al. 2022), and enter each
    patch's reading of the sentence. Scene-side projections are computed once for all sentences.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width, small = config.hidden, config.point_hidden
        self.text = nn.Linear(config.text_features, width)
        self.whole = nn.Linear(config.text_features, width)
        self.roles = nn.Linear(width, 2 + SLOTS)
        self.slot = nn.Parameter(0.02 * torch.randn(SLOTS, width))
        self.aims = nn.ModuleList([nn.Linear(width, small), nn.Linear(width, small)])
        self.scene_aims = nn.Linear(width, 2 * small)
        self.gates = nn.Linear(width, config.heads * SPATIAL)
        self.layers = nn.ModuleList([FusionLayer(config) for _ in range(config.fusion_layers)])
        self.key = nn.Linear(width, width)
        self.own = nn.Linear(width, width + small)
        self.value = nn.Linear(width, small)
        self.spatial = nn.Linear(2 * SPATIAL, small)
        self.spatial_gate = nn.Linear(width, small)
        self.token = mlp(small, small, 1)
        self.point = nn.Linear(small + len(config.classes) + 1, small)
        self.target = nn.Linear(width, small + 2)
        self.names = nn.Linear(width, len(config.classes))
        self.findings = nn.ModuleList(
            [nn.Linear(small + 2 * SPATIAL + 4, width), nn.Linear(2 * width + 6, width)]
        )

    def split_roles(self, batch: TextBatch) -> tuple[Tensor, Tensor]:
        """Read a sentence's words [B,Q,L,384] into its anchor and candidate [2,B,Q,D] and slots
        [B,Q,SLOTS,D], each a learned weighting of the words."""
        words = read_words(self.text, batch.states, batch.mask)
        weight = self.roles(words).masked_fill(~batch.mask[..., None], -1e4).softmax(2)
        pooled = weight.transpose(2, 3) @ words
        return pooled[:, :, :2].permute(2, 0, 1, 3), pooled[:, :, 2:] + self.slot

    def aim(self, pooled: Tensor, tokens: Tensor) -> Tensor:
        """Log-probabilities [2,B,Q,T] over patches of the sentence's anchors and candidates."""
        scene = self.scene_aims(tokens).unflatten(-1, (2, -1)).permute(2, 0, 3, 1)
        query = torch.stack([aim(one) for aim, one in zip(self.aims, pooled, strict=True)])
        return (query @ scene / math.sqrt(query.shape[-1])).log_softmax(-1)

    def spatial_features(self, state: SceneState, aims: Tensor) -> tuple[Tensor, Tensor]:
        """Each patch against anchors and candidates.

        Returns features [B,Q,T,2*SPATIAL] (values, and values minus the candidates' mean) and the
        candidates' means [B,Q,SPATIAL]; zeros without the geometry module.
        """
        anchor, candidate = aims.exp()
        batch, queries, tokens = anchor.shape
        if state.relative is None:
            empty = state.tokens.new_zeros(batch, queries, tokens, 2 * SPATIAL)
            return empty, empty[:, :, 0, :SPATIAL]
        flat = state.relative.flatten(2)
        with exact(flat):
            both = torch.cat([anchor, candidate], dim=1).float() @ flat.float()
        first, second = both.unflatten(-1, (tokens, RELATIVE)).chunk(2, dim=1)
        extra = token_extras(state)[:, None].expand(-1, queries, -1, -1)
        values = torch.cat([first, second, extra], dim=-1)
        mean = torch.einsum("bqt,bqtk->bqk", candidate, values)
        return torch.cat([values, values - mean[:, :, None]], dim=-1), mean

    def forward(self, state: SceneState, batch: TextBatch) -> GroundState:
        """Ground the sentences; see `GroundState`."""
        tokens = state.tokens
        roles, text = self.split_roles(batch)
        aims = self.aim(roles, tokens)
        spatial, mean = self.spatial_features(state, aims)
        if self.config.cross_attention:
            text = self.fuse(text, tokens, spatial)
        else:
            text = self.whole(standard(batch.pooled))[:, :, None]
            spatial, mean = torch.zeros_like(spatial), torch.zeros_like(mean)
        name_logits = self.names(roles[1] if self.config.cross_attention else text[:, :, 0])
        sentence = text.mean(2)
        states = self.read(tokens, text, sentence, spatial)
        token_logits = self.token(states)[..., 0]
        by_token = state.grid.spread(token_logits.transpose(1, 2)).transpose(1, 2)
        match = name_logits.softmax(-1) @ state.kinds.detach()[..., :-1].transpose(1, 2)
        point_logits = self.find_points(state, sentence, match) + by_token
        named = named_share(match)
        found = self.read_out(state, token_logits, states, torch.cat([mean, named], -1), spatial)
        return GroundState(
            point_logits=point_logits,
            token_logits=token_logits,
            text_states=torch.cat([text, found], dim=2),
            anchor=aims[0],
            candidate=aims[1],
            name_logits=name_logits,
        )

    def find_points(self, state: SceneState, sentence: Tensor, match: Tensor) -> Tensor:
        """Logits [B,Q,P] of points: alike to the sentence [B,Q,D], and of the class it names.

        `match` [B,Q,P] is the probability of that class; the sentence says how much it counts.
        """
        kinds = (state.kinds.detach() + 1e-6).sqrt()
        seen = read_side_by_side(self.point, state.point_features, kinds)
        alike, bias, trust = self.target(sentence).split([self.point.out_features, 1, 1], dim=-1)
        by_point = (seen @ alike.transpose(1, 2)).transpose(1, 2) / 8
        return by_point + bias - 2 + F.softplus(trust) * (match + LEAST_MATCH).log()

    def fuse(self, text: Tensor, tokens: Tensor, spatial: Tensor) -> Tensor:
        """Cross-attend text [B,Q,M,D] to tokens, steered by the gated spatial features."""
        gates = self.gates(text.mean(2)).unflatten(-1, (self.config.heads, SPATIAL))
        bias = None
        if self.config.geometry_module:
            bias = torch.einsum("bqhk,bqtk->bhqt", gates, spatial[..., :SPATIAL])
        for layer in self.layers:
            text = layer(text, tokens, bias)
        return text

    def read(self, tokens: Tensor, text: Tensor, sentence: Tensor, spatial: Tensor) -> Tensor:
        """Each patch reads each sentence: states [B,Q,T,F]."""
        query, own = self.own(tokens).split([tokens.shape[-1], self.value.out_features], dim=-1)
        logits = self.key(text).flatten(1, 2) @ query.transpose(1, 2) / math.sqrt(tokens.shape[-1])
        logits = logits.unflatten(1, text.shape[1:3])
        heard = logits.softmax(2).transpose(2, 3) @ self.value(text)
        placed = self.spatial(spatial) * (1 + self.spatial_gate(sentence))[:, :, None]
        return F.gelu(own[:, None] + heard + placed)

    def read_out(
        self, state: SceneState, token_logits: Tensor, states: Tensor, told: Tensor, spatial: Tensor
    ) -> Tensor:
        """Two findings [B,Q,2,D]: what the sentence found, and the whole scene's extent.

        `told` [B,Q,SPATIAL+3]: the candidates' mean features and the named class's share.
        """
        tokens = state.tokens
        found = token_logits.softmax(-1)
        seen = torch.einsum("bqt,bqtk->bqk", found, torch.cat([states, spatial], dim=-1))
        seen = seen[..., : states.shape[-1] + SPATIAL]
        count = token_logits.sigmoid().mean(-1, keepdim=True)
        first = self.findings[0](torch.cat([seen, told, count], dim=-1))
        ordered = state.points.detach()[:, ::8].sort(1).values
        ends = [ordered[:, int(share * (ordered.shape[1] - 1))] for share in (0.02, 0.98)]
        pooled = torch.cat([tokens.mean(1), tokens.amax(1), *ends], dim=-1)
        second = self.findings[1](pooled)[:, None].expand_as(first)
        return torch.stack([first, second], dim=2)


def named_share(match: Tensor) -> Tensor:
    """How much of the scene is of the named class [B,Q,3], from its probability [B,Q,P] at points:
    at the likeliest point, at the tenth likeliest, and in all (log)."""
    best = match.topk(min(10, match.shape[-1]), dim=-1).values
    return torch.stack([best[..., 0], best[..., -1], (match.mean(-1) + 1e-4).log() / 4], dim=-1)


def token_extras(state: SceneState) -> Tensor:
    """Scalars of each patch that comparisons need: log size of the voted box, height [B,T,4]."""
    size = state.token_sizes.clamp(min=0.02).log()
    return torch.cat([size, state.token_xyz[..., 2:]], dim=-1)
