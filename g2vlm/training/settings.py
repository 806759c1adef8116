"""The `train` section of an experiment's config."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from g2vlm.settings import read_section, setting
from g2vlm.training.losses import LOSSES
from metrics.files import InputError

MOST_STEPS = 100_000_000


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How every method of an experiment is trained; config/cpu.yaml holds the default values."""

    stage1_steps: int = setting(
        "Optimizer steps of stage 1, geometry alone.", minimum=0, maximum=MOST_STEPS
    )
    stage2_steps: int = setting(
        "Optimizer steps of stage 2, geometry and language.", minimum=0, maximum=MOST_STEPS
    )
    box_head_steps: int = setting(
        "Steps of the box head on cached features.", minimum=1, maximum=MOST_STEPS
    )
    referring_head_steps: int = setting(
        "Steps of the referring head on cached features.", minimum=1, maximum=MOST_STEPS
    )
    qa_head_steps: int = setting(
        "Steps of the question-answering head on cached features.", minimum=1, maximum=MOST_STEPS
    )
    batch_scenes: int = setting("Scenes in a batch.", minimum=1, maximum=4096)
    queries_per_scene: int = setting(
        "Sentences sampled per scene and step, two references for each question.",
        minimum=1,
        maximum=1000,
    )
    occupancy_queries: int = setting(
        "3D points per scene and step at which occupancy is predicted.",
        minimum=1,
        maximum=1_000_000,
    )
    captions_per_scene: int = setting(
        "Captions per scene and step in L_align.", minimum=1, maximum=1000
    )
    phrases_per_scene: int = setting(
        "Object phrases per scene and step in L_align.", minimum=1, maximum=1000
    )
    learning_rate: float = setting(
        "Peak of the learning-rate schedule.", exclusiveMinimum=0, maximum=100
    )
    weight_decay: float = setting("Decoupled weight decay of matrices.", minimum=0, maximum=100)
    warmup: float = setting("Share of all steps with a rising learning rate.", minimum=0, maximum=1)
    dropout: float = setting("Dropout rate.", minimum=0, maximum=1)
    optimizer: str = setting(
        "Muon for large matrices and AdamW for the rest, or AdamW for all.",
        enum=["muon", "adamw"],
    )
    accumulation: int = setting(
        "Batches whose gradients make one optimizer step, shared by the processes.",
        minimum=1,
        maximum=4096,
    )
    clip: float = setting("Largest norm of the gradient.", exclusiveMinimum=0, maximum=1e6)
    precision: str = setting(
        "fp32, or bf16: matrix products in bfloat16, except for positions and similarities.",
        enum=["fp32", "bf16"],
    )
    checkpoint_seconds: float = setting(
        "Seconds between checkpoints.", exclusiveMinimum=0, maximum=86_400
    )
    processes: int = setting("Processes that train one model together.", minimum=1, maximum=512)
    loss_weights: dict[str, float] = setting(
        "Weights of the losses in the objective; 1 for a loss that is not listed.",
        additionalProperties=False,
        properties={
            loss.name: {"type": "number", "minimum": 0, "maximum": 1000} for loss in LOSSES
        },
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
        if read["stage1_steps"] + read["stage2_steps"] == 0:
            raise InputError(f"{source}: `train.stage1_steps` and `stage2_steps` are 0; train some")
        read["loss_weights"] = {loss.name: loss.weight for loss in LOSSES} | read["loss_weights"]
        return TrainSettings(**read)
