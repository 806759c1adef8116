"""Losses of the second stage: L_spatial, L_align, L_text."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from g2vlm.models.boxes import mask_mean
from g2vlm.models.decoder import next_word_loss
from g2vlm.models.layers import exact
from g2vlm.models.model import G2VLM
from g2vlm.models.state import GroundState, RelationLogits, SceneState
from g2vlm.training.data import GeometryTargets, LanguageTargets
from g2vlm.training.geometry_losses import masked_mean


def class_loss(state: SceneState, targets: GeometryTargets) -> Tensor:
    """Cross-entropy of the points' classes; structure, two thirds of the points, weighs a third."""
    known = (targets.classes >= 0).float()
    structure = (targets.classes == state.kinds.shape[-1] - 1).float()
    share = state.kinds.gather(-1, targets.classes.clamp(min=0)[..., None])[..., 0]
    weight = known * (1 - structure * 2 / 3)
    return masked_mean(-share.clamp(min=1e-6).log(), weight)


def name_loss(state: SceneState, targets: LanguageTargets) -> Tensor:
    """Cross-entropy of the objects' classes, read from the mean logits of their points.

    Here a cup weighs as much as a sofa; in `class_loss` it weighs by its points.
    """
    found = mask_mean(targets.masks, state.class_logits[..., :-1])
    chosen = targets.present & (targets.masks.amax(-1) > 0)
    if not bool(chosen.any()):
        return found.sum() * 0
    return F.cross_entropy(found[chosen], targets.classes[chosen])


def volume(size: Tensor) -> Tensor:
    """Product of [...,3] (its gradient is much cheaper than that of `prod`)."""
    return size[..., 0] * size[..., 1] * size[..., 2]


def vote_loss(state: SceneState, targets: GeometryTargets) -> Tensor:
    """Points' voted boxes against their objects'."""
    chosen = targets.votes
    return box_loss(state.boxes[chosen], targets.boxes[chosen])


def object_loss(boxes: Tensor, supervised: Tensor, targets: LanguageTargets) -> Tensor:
    """Boxes [B,N,6] of the true masks against the objects', in scenes [B] with 3D labels."""
    chosen = targets.present & (supervised > 0)[:, None]
    return box_loss(boxes[chosen], targets.boxes[chosen])


def box_loss(found: Tensor, true: Tensor) -> Tensor:
    """Corner distances and 1 - IoU of boxes [M,6], mean; 0 of no boxes."""
    if not len(found):
        return found.sum() * 0
    low, high = found[:, :3] - found[:, 3:] / 2, found[:, :3] + found[:, 3:] / 2
    true_low, true_high = true[:, :3] - true[:, 3:] / 2, true[:, :3] + true[:, 3:] / 2
    corners = F.smooth_l1_loss(low, true_low, beta=0.1) + F.smooth_l1_loss(
        high, true_high, beta=0.1
    )
    shared = volume((torch.minimum(high, true_high) - torch.maximum(low, true_low)).clamp(min=0))
    union = volume(found[:, 3:]) + volume(true[:, 3:]) - shared
    return corners + (1 - shared / union.clamp(min=1e-6)).mean()


def mass_loss(log_share: Tensor, wanted: Tensor) -> Tensor:
    """-log of the probability on `wanted` [...,K] (0..1), mean over rows that want something."""
    asked = wanted.amax(-1) > 0
    weight = wanted / wanted.amax(-1, keepdim=True).clamp(min=1e-6)
    mass = (log_share.exp() * weight).sum(-1).clamp(min=1e-6)
    return masked_mean(-mass.log(), asked.float())


def grounding_loss(
    model: G2VLM, ground: GroundState, targets: LanguageTargets
) -> dict[str, Tensor]:
    """Masks (cross-entropy and Dice), picks and the first attention's aims."""
    count = targets.targets.shape[1]
    asked = (targets.targets[..., :1] >= 0).float()
    roles = torch.stack([targets.targets, targets.anchors, targets.rivals]).clamp(min=0)
    logits = ground.point_logits[:, :count]
    wanted = roles[0] @ targets.masks
    pixelwise = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(-1)
    share = logits.sigmoid()
    dice = 1 - (2 * (share * wanted).sum(-1) + 1) / (share.sum(-1) + wanted.sum(-1) + 1)
    has = (wanted.amax(-1) > 0).float() * asked[..., 0]
    weight = targets.masks / targets.masks.sum(-1, keepdim=True).clamp(min=1e-6)
    with exact(logits):
        by_object = logits.float() @ weight.transpose(1, 2)
    by_object = by_object.masked_fill(~targets.present[:, None], -1e4)
    patches = model.encoder.grid.pool(targets.masks.transpose(1, 2)).transpose(1, 2)
    tokens = roles @ patches
    return {
        "mask": masked_mean(5 * pixelwise, asked[..., 0]) + masked_mean(dice, has),
        "pick": mass_loss(by_object.log_softmax(-1), roles[0]),
        "patch": mass_loss(ground.token_logits[:, :count].log_softmax(-1), tokens[0]),
        "said": said_loss(ground.name_logits, targets.named),
        **aim_loss(model, ground, tokens),
    }


def said_loss(logits: Tensor, named: Tensor) -> Tensor:
    """Cross-entropy of the class that sentences ask for, logits [B,S,C] and named i64[B,S]."""
    if not bool((named >= 0).any()):
        return logits.sum() * 0
    return F.cross_entropy(logits.flatten(0, 1), named.flatten(), ignore_index=-1)


def aim_loss(model: G2VLM, ground: GroundState, tokens: Tensor) -> dict[str, Tensor]:
    """Where the first attention should fall: patches of anchors and of the targets' rivals.

    `tokens` [3,B,R,T]: patches of targets, anchors, rivals. Nothing without cross-attention.
    """
    if not model.config.cross_attention:
        return {}
    count = tokens.shape[2]
    anchors = mass_loss(ground.anchor[:, :count], tokens[1])
    return {"aim": anchors + mass_loss(ground.candidate[:, :count], tokens[2])}


def relation_loss(
    logits: RelationLogits, targets: LanguageTargets, weights: Mapping[str, Tensor]
) -> Tensor:
    """Mean over families of class-weighted cross-entropy on judged pairs."""
    total = logits.front.new_zeros(())
    for family, labels in targets.relations.items():
        if bool((labels >= 0).any()):
            found = logits.families[family].flatten(0, 2)
            total = total + F.cross_entropy(
                found, labels.flatten(), weights[family], ignore_index=-1
            )
    return total / len(targets.relations)


def front_loss(logits: RelationLogits, targets: LanguageTargets) -> Tensor:
    """1 - cosine of the predicted and the true front direction (the yaw's -y axis)."""
    true = torch.stack([targets.yaw.sin(), -targets.yaw.cos()], dim=-1)
    cosine = (F.normalize(logits.front, dim=-1, eps=1e-3) * true).sum(-1)
    return masked_mean(1 - cosine, targets.present.float())


def contrast(scores: Tensor, positive: Tensor) -> Tensor:
    """Symmetric InfoNCE of scores [N,M] with several positives; rows without one skip."""
    across = mass_loss(scores.log_softmax(1), positive)
    down = mass_loss(scores.log_softmax(0).T, positive.T)
    return (across + down) / 2


def products(first: Tensor, second: Tensor) -> Tensor:
    """Inner products [N,M] of vectors [N,E] and [M,E], in float32."""
    with exact(first):
        return first.float() @ second.float().T


def align_loss(model: G2VLM, state: SceneState, boxes: Tensor, targets: LanguageTargets) -> Tensor:
    """L_align: captions against the batch's scenes, phrases against its objects, of `boxes`."""
    scale = model.descriptors.sharpness
    texts = model.embed_text(targets.captions).flatten(0, 1)
    scenes = model.embed_scene(state)
    kept = targets.captions.present.flatten()
    alike = products(scale * texts[kept], scenes)
    scene_part = contrast(alike, targets.caption_scenes.flatten(0, 1)[kept])
    phrases = model.embed_phrase(targets.phrases).flatten(0, 1)
    objects = model.embed_objects(state, targets.masks, boxes).flatten(0, 1)
    here, named = targets.present.flatten(), targets.phrases.present.flatten()
    wanted = targets.phrase_objects.flatten(0, 1)[named][:, here]
    return scene_part + contrast(products(scale * phrases[named], objects[here]), wanted)


def text_loss(
    model: G2VLM, state: SceneState, ground: GroundState, targets: LanguageTargets
) -> dict[str, Tensor]:
    """L_text by parts: next words of answers, and of one caption a scene."""
    pad = 0
    count = targets.targets.shape[1]
    asked = targets.answers.shape[1]
    memory = ground.text_states[:, count : count + asked]
    scene = model.decoder.read_scene(state.tokens)
    said = model.decoder(targets.answers[..., :-1], scene, memory)
    told = model.decoder(targets.caption[..., :-1], scene, model.caption_memory(state))
    return {
        "answer": next_word_loss(said.logits, targets.answers[..., 1:], pad),
        "caption": next_word_loss(told.logits, targets.caption[..., 1:], pad),
    }


def number_loss(found: Tensor, true: Tensor) -> Tensor:
    """Mean absolute difference of log values [B,Q], over the answers that have one (not NaN).

    The value that makes it least is the median, and differences of logs are relative errors.
    """
    return masked_mean((found - true.nan_to_num()).abs(), true.isfinite().float())
