"""Losses of the first stage: L_depth, L_normal, L_surface_smoothness, L_reconstruction."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from g2vlm.models.state import SceneState
from g2vlm.training.data import GeometryTargets

EDGE = 0.03


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask` (same shape) weighs; 0 if it weighs nothing."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def as_image(values: Tensor, state: SceneState, rows: int) -> Tensor:
    """[B,P,...] to [B,V,h,w,...], `rows` = h."""
    views = state.batch.pose.shape[1]
    return values.unflatten(1, (views, rows, -1))


def depth_loss(state: SceneState, targets: GeometryTargets) -> Tensor:
    """L_depth: mean absolute log error of the depth read from images, and of the final depth.

    Without rays to lift along, of the pointmap's z-depth in the true cameras.
    """
    valid = (targets.depth > 0).float()
    true = targets.depth.clamp(min=0.1)
    if state.guess is not None:
        wrong = (state.guess / true).log().abs() + 2 * (state.depth - true).abs() / true
        return masked_mean(wrong.clamp(max=3), valid)
    views = state.batch.pose.shape[1]
    turn = state.batch.pose[:, :, :3, 2]
    offset = (state.points - state.batch.camera).unflatten(1, (views, -1))
    depth = torch.einsum("bvni,bvi->bvn", offset, turn).flatten(1)
    return masked_mean(((depth - true).abs() / true).clamp(max=3), valid)


def pointmap_normals(points: Tensor) -> Tensor:
    """Normals [...,h-2,w-2,3] of pointmaps [...,h,w,3] by central differences, unoriented."""
    across = points[..., 1:-1, 2:, :] - points[..., 1:-1, :-2, :]
    down = points[..., 2:, 1:-1, :] - points[..., :-2, 1:-1, :]
    return F.normalize(torch.linalg.cross(down, across), dim=-1, eps=1e-4)


def normal_loss(state: SceneState, targets: GeometryTargets, rows: int) -> Tensor:
    """L_normal: 1 - |cosine| of the pointmap's and the true normals.

    A point counts where its four neighbours lie within 3 cm of its true tangent plane.
    """
    points = as_image(state.points, state, rows)
    rays = as_image(state.batch.rays, state, rows)
    depth = as_image(targets.depth, state, rows)
    surface = rays * depth[..., None]
    true = as_image(targets.normal, state, rows)[..., 1:-1, 1:-1, :]
    middle = surface[..., 1:-1, 1:-1, :]
    smooth = (depth[..., 1:-1, 1:-1] > 0) & (true.abs().sum(-1) > 0)
    for side in (
        surface[..., 2:, 1:-1, :],
        surface[..., :-2, 1:-1, :],
        surface[..., 1:-1, 2:, :],
        surface[..., 1:-1, :-2, :],
    ):
        smooth &= ((side - middle) * true).sum(-1).abs() < EDGE
    cosine = (pointmap_normals(points) * true).sum(-1).abs()
    return masked_mean(1 - cosine, smooth.float())


def smoothness_loss(state: SceneState, rows: int) -> Tensor:
    """L_surface_smoothness: second differences of the pointmap, less across colour edges.

    The edge-aware weight exp(-|colour gradient|) follows Godard et al. 2017.
    """
    points = as_image(state.points, state, rows)
    colour = as_image(state.batch.rgb, state, rows)
    total = points.new_zeros(())
    for axis in (2, 3):
        bend = points.diff(n=2, dim=axis).norm(dim=-1)
        edge = colour.diff(dim=axis).abs().mean(-1)
        length = edge.shape[axis] - 1
        step = edge.narrow(axis, 0, length) + edge.narrow(axis, 1, length)
        total = total + (bend.clamp(max=1) * (-10 * step).exp()).mean()
    return total


def reconstruction_loss(
    state: SceneState, targets: GeometryTargets, occupancy: Tensor
) -> dict[str, Tensor]:
    """L_reconstruction by parts: pointmap, occupancy, colour.

    The pointmap's distance to the true point is scored by a Laplace likelihood whose spread is the
    point's own expected error (the confidence); its floor of 1 mm keeps it bounded.
    """
    valid = (targets.depth > 0).float()
    true = state.batch.camera + state.batch.rays * targets.depth[..., None]
    error = (state.points - true).norm(dim=-1).clamp(max=5)
    likelihood = error * (-state.log_error).exp() + state.log_error
    solid = F.binary_cross_entropy_with_logits(occupancy, targets.solid, reduction="none")
    return {
        "pointmap": masked_mean(0.25 * likelihood.clamp(max=20) + error, valid),
        "occupancy": masked_mean(solid, targets.supervised[:, None].expand_as(solid)),
        "colour": (state.colours - state.batch.rgb).abs().mean(),
    }
