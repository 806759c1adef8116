"""What the network hands over: named tensors with documented shapes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from g2vlm.models.batch import SceneBatch
from g2vlm.models.grid import ViewGrid


@dataclass(frozen=True)
class SceneState:
    """A scene encoded once; all answers about it are read from this.

    B scenes, T patches, P points, D hidden, F point features, C classes. Metres, frame axes.

    batch: the inputs; tokens [B,T,D]; token_xyz [B,T,3]; point_features [B,P,F];
    points [B,P,3] predicted pointmap; depth [B,P] predicted z-depth in the point's own view (None
    where the model has no rays to lift along); guess [B,P] predicted z-depth before the sensor is
    believed (None likewise); confidence [B,P] in 0..1 (exp(-expected error / 10 cm));
    log_error [B,P] log of the expected error in metres; colours [B,P,3] in 0..1;
    class_logits [B,P,C+1], the last = structure or nothing; kinds [B,P,C+1], their softmax;
    centres [B,P,3] voted object centre; boxes [B,P,6] voted amodal box (centre, size);
    relative [B,T,T,K] pairwise features of patches (None without the geometry module);
    token_sizes [B,T,3] mean size of a patch's voted boxes; grid: how patches lie over points.
    """

    batch: SceneBatch
    tokens: Tensor
    token_xyz: Tensor
    point_features: Tensor
    points: Tensor
    depth: Tensor | None
    guess: Tensor | None
    confidence: Tensor
    log_error: Tensor
    colours: Tensor
    class_logits: Tensor
    kinds: Tensor
    centres: Tensor
    boxes: Tensor
    relative: Tensor | None
    token_sizes: Tensor
    grid: ViewGrid


@dataclass(frozen=True)
class GroundState:
    """Q sentences read against a scene.

    point_logits [B,Q,P]: the sentence's target covers the point; token_logits [B,Q,T];
    text_states [B,Q,M,D]: fused states of the sentence's slots and what it found in the scene, the
    decoder's memory;
    anchor [B,Q,T] and candidate [B,Q,T]: log-probabilities over patches of the first attention;
    name_logits [B,Q,C]: the class that the sentence names.
    """

    point_logits: Tensor
    token_logits: Tensor
    text_states: Tensor
    anchor: Tensor
    candidate: Tensor
    name_logits: Tensor


@dataclass(frozen=True)
class RelationLogits:
    """Logits of each relation family over ordered pairs (i, j) of N objects.

    families: {family: [B,N,N,K]} over `metrics.scene_graph.predicates.LABELS[family]`;
    front [B,N,2]: predicted (cos, sin) of the object's front direction, not normalised.
    """

    families: dict[str, Tensor]
    front: Tensor
