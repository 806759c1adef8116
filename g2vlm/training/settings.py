"""The `train` section of an experiment's config."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from g2vlm.settings import read_section, setting
from g2vlm.training.losses import LOSSES


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How every method of an experiment is trained; config/cpu.yaml holds the default values."""

    stage1_steps: int = setting("Optimizer steps of stage 1, geometry alone.", minimum=0)
    stage2_steps: int = setting("Optimizer steps of stage 2, geometry and language.", minimum=0)
    box_head_steps: int = setting("Steps of the box head on cached features.", minimum=1)
    referring_head_steps: int = setting(
        "Steps of the referring head on cached features.", minimum=1
    )
    qa_head_steps: int = setting(
        "Steps of the question-answering head on cached features.", minimum=1
    )
    batch_scenes: int = setting("Scenes in a batch.", minimum=1)
    queries_per_scene: int = setting(
        "Sentences sampled per scene and step, two references for each question.", minimum=1
    )
    occupancy_queries: int = setting(
        "3D points per scene and step at which occupancy is predicted.", minimum=1
    )
    captions_per_scene: int = setting("Captions per scene and step in L_align.", minimum=1)
    phrases_per_scene: int = setting("Object phrases per scene and step in L_align.", minimum=1)
    learning_rate: float = setting("Peak of the learning-rate schedule.", exclusiveMinimum=0)
    weight_decay: float = setting("Decoupled weight decay of matrices.", minimum=0)
    warmup: float = setting("Share of all steps with a rising learning rate.", minimum=0, maximum=1)
    dropout: float = setting("Dropout rate.", minimum=0, maximum=1)
    optimizer: str = setting(
        "Muon for large matrices and AdamW for the rest, or AdamW for all.",
        enum=["muon", "adamw"],
    )
    accumulation: int = setting(
        "Batches whose gradients make one optimizer step, shared by the processes.", minimum=1
    )
    clip: float = setting("Largest norm of the gradient.", exclusiveMinimum=0)
    precision: str = setting(
        "fp32, or bf16: matrix products in bfloat16, except for positions and similarities.",
        enum=["fp32", "bf16"],
    )
    checkpoint_seconds: float = setting("Seconds between checkpoints.", exclusiveMinimum=0)
    processes: int = setting("Processes that train one model together.", minimum=1)
    loss_weights: dict[str, float] = setting(
        "Weights of the losses in the objective; 1 for a loss that is not listed.",
        additionalProperties=False,
        properties={loss.name: {"type": "number", "minimum": 0} for loss in LOSSES},
    )

    @property
    def steps(self) -> int:
        """Optimizer steps of both stages."""
        return self.stage1_steps + self.stage2_steps

    @property
    def questions(self) -> int:
        """Questions per scene and step."""
        return max(1, self.queries_per_scene // 3)

    @property
    def references(self) -> int:
        """References per scene and step."""
        return max(1, self.queries_per_scene - self.questions)

    @staticmethod
    def from_config(values: Mapping[str, Any], source: str = "config") -> "TrainSettings":
        """Read a `train` section.

        Raises:
            InputError: for an unknown or missing key, or a value out of bounds.
        """
        read = read_section(TrainSettings, values, "train", source)
        read["loss_weights"] = {loss.name: loss.weight for loss in LOSSES} | read["loss_weights"]
        return TrainSettings(**read)
