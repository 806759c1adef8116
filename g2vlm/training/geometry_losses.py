"""Losses from stage 1 on: L_depth, L_normal, L_surface_smoothness, L_reconstruction.

Shapes: B scenes, V views of h x w point cells, P = V*h*w points, K occupancy queries.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from g2vlm.models.state import SceneState
from g2vlm.training.data import StepOutputs

# A neighbour farther than this from a point's tangent plane lies on another surface.
EDGE_M = 0.03
# Relative errors are cut off here: a flying pixel teaches nothing by being ten times wrong.
LARGEST_RELATIVE_ERROR = 3
# Weight of the likelihood next to the plain distance: the likelihood alone could be lowered by
# predicting large errors instead of better points.
LIKELIHOOD_WEIGHT = 0.25
# How fast smoothness fades with the colour difference (0..1) of neighbouring cells.
EDGE_DECAY = 10


def masked_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Return the mean of `values` under weights of the same shape; 0 where all weights are 0."""
    return (values * weight).sum() / weight.sum().clamp(min=1)


def as_image(values: Tensor, state: SceneState) -> Tensor:
    """Return point values [B,P,...] as images [B,V,h,w,...]."""
    views, rows = state.batch.pose.shape[1], state.grid.cells[0]
    return values.unflatten(1, (views, rows, -1))


def depth_loss(step: StepOutputs) -> Tensor:
    """Return L_depth: relative errors of predicted depth over points with a true depth.

    The depth predicted from images enters by its logarithm; the final depth, which may copy the
    sensor's, by its relative error. A model without known rays predicts points directly; their
    z-depth in the true cameras is compared instead.

    Source: log error after Eigen et al. 2014.
    """
    state, targets = step.state, step.geometry
    valid = (targets.depth > 0).float()  # (B, P)
    true = targets.depth.clamp(min=0.1)  # (B, P), no division by 0 where there is no depth
    if state.image_depth is not None:
        error = (state.image_depth / true).log().abs() + 2 * (state.depth - true).abs() / true
    else:
        forward = state.batch.pose[:, :, :3, 2]  # (B, V, 3), optical axes
        offset = state.points - state.batch.camera  # (B, P, 3)
        offset = offset.unflatten(1, (forward.shape[1], -1))  # (B, V, h*w, 3)
        depth = torch.einsum("bvni,bvi->bvn", offset, forward).flatten(1)  # (B, P)
        error = (depth - true).abs() / true
    return masked_mean(error.clamp(max=LARGEST_RELATIVE_ERROR), valid)


def normal_loss(step: StepOutputs) -> Tensor:
    """Return L_normal: 1 - |cosine| between normals of the pointmap and true normals.

    A point counts where its four true neighbours lie within 3 cm of its tangent plane: across an
    edge, a difference of points is no tangent of the surface.
    """
    state, targets = step.state, step.geometry
    points = as_image(state.points, state)  # (B, V, h, w, 3)
    depth = as_image(targets.depth, state)  # (B, V, h, w)
    # The camera's position cancels in differences of points of one view.
    surface = as_image(state.batch.rays, state) * depth[..., None]
    true = as_image(targets.normal, state)[..., 1:-1, 1:-1, :]  # (B, V, h-2, w-2, 3)
    middle = surface[..., 1:-1, 1:-1, :]
    smooth = (depth[..., 1:-1, 1:-1] > 0) & (true.abs().sum(-1) > 0)
    for neighbour in (
        surface[..., 2:, 1:-1, :],
        surface[..., :-2, 1:-1, :],
        surface[..., 1:-1, 2:, :],
        surface[..., 1:-1, :-2, :],
    ):
        smooth &= ((neighbour - middle) * true).sum(-1).abs() < EDGE_M
    # Normals of the pointmap: cross products of the central differences along rows and columns.
    across = points[..., 1:-1, 2:, :] - points[..., 1:-1, :-2, :]
    down = points[..., 2:, 1:-1, :] - points[..., :-2, 1:-1, :]
    normals = F.normalize(torch.linalg.cross(down, across), dim=-1, eps=1e-4)
    # The sign is dropped because these normals have none.
    cosine = (normals * true).sum(-1).abs()  # (B, V, h-2, w-2)
    return masked_mean(1 - cosine, smooth.float())


def smoothness_loss(step: StepOutputs) -> Tensor:
    """Return L_surface_smoothness: second differences of the pointmap, weighted by colour edges.

    Depth edges usually coincide with colour edges, so the weight exp(-10 |colour difference|)
    leaves them free.

    Source: edge-aware smoothness of Godard et al. 2017.
    """
    state = step.state
    points = as_image(state.points, state)  # (B, V, h, w, 3)
    colour = as_image(state.batch.rgb, state)
    total = points.new_zeros(())
    for axis in (2, 3):  # rows, columns
        bend = points.diff(n=2, dim=axis).norm(dim=-1)  # two shorter along the axis
        edge = colour.diff(dim=axis).abs().mean(-1)  # one shorter along the axis
        # Both colour differences that the three points of a second difference span.
        length = edge.shape[axis] - 1
        both = edge.narrow(axis, 0, length) + edge.narrow(axis, 1, length)
        total = total + (bend.clamp(max=1) * (-EDGE_DECAY * both).exp()).mean()
    return total


def reconstruction_loss(step: StepOutputs) -> dict[str, Tensor]:
    """Return L_reconstruction by parts: pointmap, occupancy, colour.

    pointmap: distance to the true point, and its negative log-likelihood under a Laplace
    distribution whose scale b = exp(log_error) is predicted for each point: |e| / b + log b. The
    scale becomes the confidence. Its lower bound of 1 mm keeps the loss bounded.
    occupancy: cross-entropy of solid and free at sampled 3D points.
    colour: mean absolute difference.

    Source: learned uncertainty of Kendall & Gal 2017.
    """
    state, targets = step.state, step.geometry
    occupancy = step.model.occupancy_head(state, targets.queries)  # (B, K), logits
    valid = (targets.depth > 0).float()  # (B, P)
    true = state.batch.camera + state.batch.rays * targets.depth[..., None]  # (B, P, 3)
    error = (state.points - true).norm(dim=-1).clamp(max=5)  # (B, P), metres
    likelihood = error * (-state.log_error).exp() + state.log_error
    solid = F.binary_cross_entropy_with_logits(occupancy, targets.solid, reduction="none")
    return {
        "pointmap": masked_mean(LIKELIHOOD_WEIGHT * likelihood.clamp(max=20) + error, valid),
        # Solids are 3D labels, so only scenes with 3D supervision count.
        "occupancy": masked_mean(solid, targets.supervised[:, None].expand_as(solid)),
        "colour": (state.colours - state.batch.rgb).abs().mean(),
    }
