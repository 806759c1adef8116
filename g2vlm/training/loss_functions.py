"""The losses of the table in `losses.py`, by stage.

From stage 1 on: L_depth, L_normal, L_surface_smoothness, L_reconstruction. In stage 2 also:
L_spatial, L_text, L_align.

Shapes: B scenes, V views of h x w point cells, P = V*h*w points, K occupancy queries, T patches,
N objects, R references, S sentences (references, then questions), C classes, E descriptor width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from g2vlm.models.boxes import mask_mean
from g2vlm.models.decoder import next_word_loss
from g2vlm.models.heads import pool_scene
from g2vlm.models.layers import exact
from g2vlm.models.model import G2VLM
from g2vlm.models.state import GroundState, RelationLogits, SceneState
from g2vlm.training.data import GeometryTargets, LanguageTargets, ObjectTargets, StepOutputs
from metrics.scene_graph.predicates import FAMILIES

# A neighbour farther than this from a point's tangent plane lies on another surface.
EDGE_M = 0.03
# Relative errors are cut off here: a flying pixel teaches nothing by being ten times wrong.
LARGEST_RELATIVE_ERROR = 3
# Weight of the likelihood next to the plain distance: the likelihood alone could be lowered by
# predicting large errors instead of better points.
LIKELIHOOD_WEIGHT = 0.25
# How fast smoothness fades with the colour difference (0..1) of neighbouring cells.
EDGE_DECAY = 10
FRONT_WEIGHT = 0.1
MASK_WEIGHT = 5
# Corner distances below this enter by their square, in metres.
CORNER_BETA_M = 0.1


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


def spatial_loss(step: StepOutputs) -> dict[str, Tensor]:
    """Return L_spatial by parts: classes, boxes and relations of objects, grounding of sentences.

    Without language there are no sentences to ground.
    """
    state, geometry, targets = step.state, step.geometry, step.objects
    boxes = step.boxes
    # The relations do not train the box head.
    relations = step.model.relations(state, targets.masks, boxes.detach())
    # Objects whose 3D labels may be used, (B, N).
    labelled = targets.present & (geometry.supervised > 0)[:, None]
    losses = {
        "class": class_loss(state, geometry),
        "name": name_loss(state, targets),
        # Boxes that points vote for, then boxes of the true masks, in scenes with 3D labels.
        "vote": box_loss(state.boxes[geometry.votes], geometry.boxes[geometry.votes]),
        "box": box_loss(boxes[labelled], targets.boxes[labelled]),
        "relation": relation_loss(relations, targets, step.relation_weights),
        "front": FRONT_WEIGHT * front_loss(relations, targets.yaw, labelled),
    }
    if step.language is not None:
        losses |= grounding_loss(step.model, step.ground, targets, step.language)
    return losses


def class_loss(state: SceneState, targets: GeometryTargets) -> Tensor:
    """Return the cross-entropy of the points' classes; structure weighs a third."""
    known = (targets.classes >= 0).float()  # (B, P)
    structure = (targets.classes == state.class_probabilities.shape[-1] - 1).float()
    # Probability of the true class, (B, P).
    share = state.class_probabilities.gather(-1, targets.classes.clamp(min=0)[..., None])[..., 0]
    # Two thirds of all points are structure; a third of the weight balances them with objects.
    return masked_mean(-share.clamp(min=1e-6).log(), known * (1 - structure * 2 / 3))


def name_loss(state: SceneState, targets: ObjectTargets) -> Tensor:
    """Return the cross-entropy of the objects' classes, from the mean logits of their points.

    Here a cup weighs as much as a sofa; in `class_loss` each weighs by its points.
    """
    logits = mask_mean(targets.masks, state.class_logits[..., :-1])  # (B, N, C)
    visible = targets.present & (targets.masks.amax(-1) > 0)  # (B, N)
    return label_loss(logits[visible], targets.classes[visible])


def volume(size: Tensor) -> Tensor:
    """Return the products [...] of sizes [...,3]; the gradient of `prod` would be much slower."""
    return size[..., 0] * size[..., 1] * size[..., 2]


def box_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Return the mean corner distance plus 1 - IoU of axis-aligned boxes [M,6]; 0 if M is 0.

    IoU alone has no gradient for disjoint boxes, and corner distances alone favour large boxes.
    """
    if not len(predicted):
        return predicted.sum() * 0
    low = predicted[:, :3] - predicted[:, 3:] / 2  # (M, 3)
    high = predicted[:, :3] + predicted[:, 3:] / 2
    true_low, true_high = true[:, :3] - true[:, 3:] / 2, true[:, :3] + true[:, 3:] / 2
    corners = F.smooth_l1_loss(low, true_low, beta=CORNER_BETA_M) + F.smooth_l1_loss(
        high, true_high, beta=CORNER_BETA_M
    )
    shared = volume((torch.minimum(high, true_high) - torch.maximum(low, true_low)).clamp(min=0))
    union = volume(predicted[:, 3:]) + volume(true[:, 3:]) - shared  # (M,)
    return corners + (1 - shared / union.clamp(min=1e-6)).mean()


def mass_loss(log_probability: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of -log of the probability mass on the target entries.

    Args:
        log_probability: [...,K], log of a distribution over K entries.
        targets: [...,K], 0..1; rows of zeros are left out.

    Several entries may be right: their probabilities are added before the logarithm, so the model
    may choose among them.
    """
    asked = targets.amax(-1) > 0
    weight = targets / targets.amax(-1, keepdim=True).clamp(min=1e-6)
    mass = (log_probability.exp() * weight).sum(-1).clamp(min=1e-6)
    return masked_mean(-mass.log(), asked.float())


def grounding_loss(
    model: G2VLM, ground: GroundState, objects: ObjectTargets, targets: LanguageTargets
) -> dict[str, Tensor]:
    """Return the losses of grounding R references, by parts.

    mask: cross-entropy and Dice loss of the target's points (Milletari et al. 2016 for Dice).
    pick: the target among the objects, by the mean logit of their points.
    patch: the target among the patches.
    said: the class that the sentence names.
    aim: mass of the first attention on patches of anchors and of candidates, with cross-attention
        only.
    """
    count = targets.roles.shape[2]
    asked = (targets.roles[0, ..., :1] >= 0).float()  # (B, R, 1), 0 = padding
    # (3, B, R, N): targets, anchors, and objects of the targets' class.
    roles = targets.roles.clamp(min=0)
    logits = ground.point_logits[:, :count]  # (B, R, P)
    target_points = roles[0] @ objects.masks  # (B, R, P), share of a cell that the target covers
    pointwise = F.binary_cross_entropy_with_logits(logits, target_points, reduction="none").mean(-1)
    share = logits.sigmoid()
    dice = 1 - (2 * (share * target_points).sum(-1) + 1) / (
        share.sum(-1) + target_points.sum(-1) + 1
    )
    # Dice of an empty mask would punish every point, so it is left out.
    visible = (target_points.amax(-1) > 0).float() * asked[..., 0]  # (B, R)
    weight = objects.masks / objects.masks.sum(-1, keepdim=True).clamp(min=1e-6)
    with exact(logits):
        by_object = logits.float() @ weight.transpose(1, 2)  # (B, R, N)
    by_object = by_object.masked_fill(~objects.present[:, None], -1e4)
    patches = model.encoder.grid.pool(objects.masks.transpose(1, 2)).transpose(1, 2)  # (B, N, T)
    tokens = roles @ patches  # (3, B, R, T)
    losses = {
        "mask": masked_mean(MASK_WEIGHT * pointwise, asked[..., 0]) + masked_mean(dice, visible),
        "pick": mass_loss(by_object.log_softmax(-1), roles[0]),
        "patch": mass_loss(ground.token_logits[:, :count].log_softmax(-1), tokens[0]),
        "said": label_loss(ground.name_logits, targets.named),
    }
    if model.config.cross_attention:
        anchors, candidates = ground.aims[:, :, :count]
        losses["aim"] = mass_loss(anchors, tokens[1]) + mass_loss(candidates, tokens[2])
    return losses


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of labels i64 [...] given logits [...,K]; 0 if all are -1."""
    total = F.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), ignore_index=-1, reduction="sum"
    )
    return total / (labels >= 0).sum().clamp(min=1)


def relation_loss(
    logits: RelationLogits, targets: ObjectTargets, weights: Mapping[str, Tensor]
) -> Tensor:
    """Return the mean over relation families of the class-weighted cross-entropy.

    Pairs with the label -1 (void) are left out. `weights[family]` [K] weighs the labels.
    """
    total = logits.front.new_zeros(())
    for family, labels in zip(FAMILIES, targets.relations, strict=True):  # labels (B, N, N)
        if bool((labels >= 0).any()):
            pairs = logits.families[family].flatten(0, 2)  # (B*N*N, K)
            total = total + F.cross_entropy(
                pairs, labels.flatten(), weights[family], ignore_index=-1
            )
    return total / len(targets.relations)


def front_loss(logits: RelationLogits, yaw: Tensor, labelled: Tensor) -> Tensor:
    """Return 1 - cosine between predicted and true front directions.

    An object with yaw 0 faces -y, so its front is (sin yaw, -cos yaw).

    Args:
        logits: with the predicted front directions [B,N,2].
        yaw: [B,N], radians.
        labelled: bool [B,N], the objects that count.
    """
    true = torch.stack([yaw.sin(), -yaw.cos()], dim=-1)  # (B, N, 2)
    cosine = (F.normalize(logits.front, dim=-1, eps=1e-3) * true).sum(-1)
    return masked_mean(1 - cosine, labelled.float())


def contrast(scores: Tensor, positive: Tensor) -> Tensor:
    """Return the symmetric InfoNCE loss of scores [N,M]; `positive` [N,M] may hold several a row.

    Rows and columns without a positive are left out.

    Source: van den Oord et al. 2018; symmetric as in CLIP, Radford et al. 2021.
    """
    across = mass_loss(scores.log_softmax(1), positive)
    return (across + mass_loss(scores.log_softmax(0).T, positive.T)) / 2


def products(first: Tensor, second: Tensor) -> Tensor:
    """Return inner products [N,M] of vectors [N,E] and [M,E], in float32."""
    with exact(first):
        return first.float() @ second.float().T


def align_loss(step: StepOutputs) -> Tensor:
    """Return L_align: captions against the batch's scenes, and phrases against its objects."""
    space, objects, targets = step.model.descriptors, step.objects, step.language
    scale = space.sharpness
    texts = space.embed_text(targets.captions.pooled).flatten(0, 1)  # (B*captions, E)
    scenes = space.embed_scene(pool_scene(step.state))  # (B, E)
    kept = targets.captions.present.flatten()
    positive = targets.caption_scenes.flatten(0, 1)[kept]
    scene_part = contrast(products(scale * texts[kept], scenes), positive)
    phrases = space.embed_phrase(targets.phrases.pooled).flatten(0, 1)  # (B*phrases, E)
    boxes = step.boxes.detach()
    embedded = space.embed_objects(step.state, objects.masks, boxes).flatten(0, 1)  # (B*N, E)
    present, real = objects.present.flatten(), targets.phrases.present.flatten()
    positive = targets.phrase_objects.flatten(0, 1)[real][:, present]
    return scene_part + contrast(products(scale * phrases[real], embedded[present]), positive)


def text_loss(step: StepOutputs) -> dict[str, Tensor]:
    """Return L_text by parts: next words of answers, and of one caption per scene."""
    model, state, targets = step.model, step.state, step.language
    references, questions = targets.roles.shape[2], targets.answers.shape[1]
    # Sentences are references, then questions; only questions have answers.
    memory = step.ground.text_states[:, references : references + questions]
    scene = model.decoder.read(state.tokens)
    answers = model.decoder(targets.answers[..., :-1], scene, memory)
    captions = model.decoder(targets.caption[..., :-1], scene, model.caption_memory(state))
    return {
        "answer": next_word_loss(answers.logits, targets.answers[..., 1:]),
        "caption": next_word_loss(captions.logits, targets.caption[..., 1:]),
    }


def number_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Return the mean absolute difference of log values [B,Q] over answers that are numbers.

    A difference of logarithms is a relative error, and the median minimises its absolute value.
    Answers that are no numbers are NaN in `true`.
    """
    return masked_mean((predicted - true.nan_to_num()).abs(), true.isfinite().float())
