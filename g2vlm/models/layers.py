"""Small building blocks shared by the parts of the network."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RELATIVE = 6


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers of these sizes with GELU between them."""
    layers: list[nn.Module] = []
    for before, after in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(before, after), nn.GELU()]
    return nn.Sequential(*layers[:-1])


def standard(values: Tensor) -> Tensor:
    """Shift and scale the last axis to mean 0 and deviation 1.

    Frozen encoders hand over features of deviations from 0.05 to 0.7; small inputs learn slowly.
    """
    return F.layer_norm(values, values.shape[-1:])


def read_words(linear: nn.Linear, states: Tensor, mask: Tensor) -> Tensor:
    """Standardised words `states` [...,L,W] through `linear`: [...,L,D], zeros where `mask` [...,L]
    is false. Sentences are padded to the longest, so that most places hold no word."""
    words = linear(standard(states[mask]))
    out = words.new_zeros(*mask.shape, words.shape[-1])
    out[mask] = words
    return out


def read_side_by_side(linear: nn.Linear, *parts: Tensor) -> Tensor:
    """`linear` of parts [...,K] as if they stood side by side. They are not copied together, and
    one that needs no gradient costs none."""
    weights = linear.weight.split([part.shape[-1] for part in parts], dim=1)
    out = F.linear(parts[0], weights[0], linear.bias)
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        out = out + F.linear(part, weight)
    return out


def exact(values: Tensor) -> torch.autocast:
    """Compute in float32 within an autocast region: bfloat16 costs positions centimetres."""
    return torch.autocast(values.device.type, enabled=False)


class Standardise(nn.Module):
    """Shift and scale frozen features, feature by feature, as `fit` found them on training data.

    Kept with the weights; before `fit` the features pass unchanged.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def fit(self, values: Tensor) -> None:
        """Take mean and deviation of `values` [N, size]; a constant feature keeps its scale."""
        spread, mean = torch.std_mean(values.double(), dim=0)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(spread > 1e-4, spread, torch.ones_like(spread)))

    def forward(self, values: Tensor) -> Tensor:
        """[..., size] to [..., size]."""
        return ((values - self.mean) / self.scale).clamp(-8, 8)


def fourier(xyz: Tensor, octaves: int = 5, longest: float = 16.0) -> Tensor:
    """Encode metres [...,3] as [..., 3 + 6*octaves]: the values / 4 and sines of halving waves."""
    scale = 2 * math.pi / longest * 2.0 ** torch.arange(octaves, device=xyz.device)
    angle = (xyz[..., None] * scale).flatten(-2)
    return torch.cat([xyz / 4, angle.sin(), angle.cos()], dim=-1)


def relative_features(xyz: Tensor) -> Tensor:
    """Pairwise features [...,T,T,6] of patch j seen from patch i, from positions [...,T,3].

    Distance / 3 m, exp(-distance / 1 m), cosine and sine of the horizontal direction, sine and
    cosine of the elevation: the pairwise spatial features of ViL3DRel (Chen et al. 2022) with a
    nearness term.
    """
    offset = xyz[..., None, :, :] - xyz[..., :, None, :]
    x, y, z = offset.unbind(-1)
    level = x.square() + y.square()
    distance = (level + z.square() + 1e-6).sqrt()
    level = (level + 1e-6).sqrt()
    return torch.stack(
        [
            distance / 3,
            (-distance).exp(),
            x / level,
            y / level,
            z / distance,
            level / distance,
        ],
        dim=-1,
    )


class GroupedInput(nn.Module):
    """Named groups of input numbers side by side; a group that is off is a learned constant."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.sizes = dict(sizes)
        self.total = sum(sizes.values())
        self.absent = nn.ParameterDict({k: nn.Parameter(torch.zeros(n)) for k, n in sizes.items()})

    def forward(self, values: Mapping[str, Tensor]) -> Tensor:
        """Join `values` [..., size] of the groups that are on; at least one must be."""
        lead = next(iter(values.values())).shape[:-1]
        parts = [
            values[name] if name in values else self.absent[name].expand(*lead, size)
            for name, size in self.sizes.items()
        ]
        return torch.cat(parts, dim=-1)


class Attention(nn.Module):
    """Multi-head attention of queries [B,N,D] over keys [B,M,D] with an optional additive bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend; `bias` broadcasts to [B,heads,N,M]."""
        batch, length, width = x.shape
        query = self.query(x).view(batch, length, self.heads, -1).transpose(1, 2)
        pair = self.key_value(memory).view(batch, memory.shape[1], 2, self.heads, -1)
        key, value = pair.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, bias)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    """Pre-norm transformer layer over one set."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.attention = Attention(width, heads)
        self.feed = mlp(width, 2 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """[B,N,D] to [B,N,D]."""
        inner = self.norms[0](x)
        x = x + self.drop(self.attention(inner, inner, bias))
        return x + self.drop(self.feed(self.norms[1](x)))


class GraphLayer(nn.Module):
    """Message passing over the k nearest neighbours, with relative offsets as edge features.

    An edge convolution (Wang et al. 2019) whose first layer is split so that nodes are projected
    once, not once an edge.
    """

    def __init__(self, width: int, message: int, neighbours: int) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.norm = nn.LayerNorm(width)
        self.nodes = nn.Linear(width, 2 * message)
        self.edge = nn.Linear(4, message, bias=False)

    def forward(self, x: Tensor, xyz: Tensor) -> Tensor:
        """Nodes [B,T,D] at [B,T,3] to messages [B,T,message]."""
        count = min(self.neighbours, xyz.shape[1])
        near = torch.cdist(xyz, xyz).topk(count, largest=False).indices
        rows = torch.arange(len(x), device=x.device)[:, None, None]
        offset = xyz[rows, near] - xyz[:, :, None]
        edge = torch.cat([offset, offset.norm(dim=-1, keepdim=True)], dim=-1)
        own, other = self.nodes(self.norm(x)).chunk(2, dim=-1)
        return F.gelu((other[rows, near] + self.edge(edge)).amax(2) + own)
