"""What the model predicts in one training step, for the losses."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from g2vlm.models.model import G2VLM
from g2vlm.models.state import GroundState, RelationLogits, SceneState
from g2vlm.training.data import GeometryTargets, LanguageTargets


@dataclass(frozen=True)
class StepOutputs:
    """Targets of a batch of B scenes and the model's outputs for it, each computed once.

    Attributes:
        model: the model in training.
        state: the encoded scenes.
        geometry: dense targets.
        language: targets of objects and sentences; None in stage 1.
        relation_weights: {relation family: [K], weight of each label}.
    """

    model: G2VLM
    state: SceneState
    geometry: GeometryTargets
    language: LanguageTargets | None = None
    relation_weights: Mapping[str, Tensor] | None = None

    @cached_property
    def ground(self) -> GroundState:
        """The sentences of the batch grounded in its scenes."""
        return self.model.fusion(self.state, self.language.sentences)

    @cached_property
    def boxes(self) -> Tensor:
        """[B,N,6]: predicted boxes of the ground-truth masks."""
        return self.model.object_boxes(self.state, self.language.masks)

    @cached_property
    def relations(self) -> RelationLogits:
        """Relations between the ground-truth masks. They do not train the box head."""
        return self.model.relations(self.state, self.language.masks, self.boxes.detach())
