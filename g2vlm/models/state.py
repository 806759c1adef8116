"""What the network returns: named tensors with documented shapes."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from g2vlm.models.batch import SceneBatch
from g2vlm.models.config import ModelConfig
from g2vlm.models.detection import PointClasses
from g2vlm.models.layers import ViewGrid


@dataclass(frozen=True)
class SceneState:
    """A scene encoded once; every output about it is computed from this.

    B scenes, T patches, P points, D hidden, F point features, C classes; metres, frame axes.

    Attributes:
        batch: the inputs, with standardised features.
        tokens: [B,T,D], patch tokens.
        token_xyz: [B,T,3], position of a patch, the mean of its points.
        point_features: [B,P,F].
        points: [B,P,3], predicted pointmap.
        depth: [B,P], predicted z-depth in the point's own view; None without known rays.
        image_depth: [B,P], z-depth predicted without the sensor; None without known rays.
        confidence: [B,P] in 0..1, exp(-expected error / 10 cm).
        log_error: [B,P], log of the expected error in metres.
        colours: [B,P,3] in 0..1.
        class_logits: [B,P,C+1]; the last class is structure or nothing.
        class_probabilities: [B,P,C+1], softmax of the logits.
        boxes: [B,P,6], amodal box (centre, size) that the point votes for.
        relative: [B,T,T,6], pairwise features of patches; None without the geometry module.
        token_sizes: [B,T,3], mean size of the boxes that a patch's points vote for.
        grid: how patches lie over points.
    """

    batch: SceneBatch
    tokens: Tensor
    token_xyz: Tensor
    point_features: Tensor
    points: Tensor
    depth: Tensor | None
    image_depth: Tensor | None
    confidence: Tensor
    log_error: Tensor
    colours: Tensor
    class_logits: Tensor
    class_probabilities: Tensor
    boxes: Tensor
    relative: Tensor | None
    token_sizes: Tensor
    grid: ViewGrid


@dataclass(frozen=True)
class GroundState:
    """Q sentences grounded in a scene.

    Attributes:
        point_logits: [B,Q,P], the sentence's target covers the point.
        token_logits: [B,Q,T], the sentence's target covers the patch.
        text_states: [B,Q,M,D], memory of the decoder: fused states of the sentence, then what it
            found in the scene.
        aims: [2,B,Q,T], log-probabilities of the first attention over patches, for anchors and for
            candidates.
        name_logits: [B,Q,C], the class that the sentence names.
    """

    point_logits: Tensor
    token_logits: Tensor
    text_states: Tensor
    aims: Tensor
    name_logits: Tensor


@dataclass(frozen=True)
class RelationLogits:
    """Relations of all ordered pairs (i, j) of N objects.

    Attributes:
        families: {family: [B,N,N,K]}, logits of `metrics.scene_graph.predicates.LABELS[family]`.
        front: [B,N,2], predicted (cos, sin) of the objects' front directions, not normalised.
    """

    families: dict[str, Tensor]
    front: Tensor


def to_numpy(tensor: Tensor) -> np.ndarray:
    """Return a tensor's values as a float32 array in main memory."""
    return tensor.detach().float().cpu().numpy()


def point_classes(state: SceneState, config: ModelConfig, scene: int) -> PointClasses:
    """Return the class probabilities of the points of scene number `scene` of a batch.

    A model that does not know its cameras measures ranges from the first one.
    """
    camera = state.batch.camera if config.lifts else state.batch.camera[:, :1]  # (B, P or 1, 3)
    ranges = (state.points - camera).norm(dim=-1)  # (B, P)
    return PointClasses(
        to_numpy(state.points[scene]),
        to_numpy(state.class_probabilities[scene]),
        to_numpy(ranges[scene]),
        grid=(state.batch.pose.shape[1], *state.grid.cells),
    )
