"""The table of losses: the training objective is their weighted sum.

To add a loss, edit two files: write its function in `loss_functions.py` and add its row here. The
config schema, the default weight, the objective and the columns of losses.parquet follow from the
row. `train.loss_weights` in config/cpu.yaml holds a weight other than the default.

This module imports no PyTorch, because the schema of the config is built from it.
"""

from dataclasses import dataclass

from g2vlm.models.config import Switches


@dataclass(frozen=True)
class Part:
    """One part of a loss.

    Attributes:
        name: column `<loss>/<name>` of losses.parquet.
        labels: what the training scenes must be labelled with.
        of_objects: the labels are 3D labels of objects, which a method may use in the share
            `supervision_3d` of the scenes only.
        switches: a method that switches one of these off has no such part.
    """

    name: str
    labels: str
    of_objects: bool = False
    switches: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loss:
    """One term of the training objective.

    Attributes:
        name: key in `train.loss_weights` and column of losses.parquet.
        description: one sentence for the documentation.
        function: its name in `loss_functions`. It takes a `StepOutputs` and returns the loss as a
            scalar tensor, or its parts as {name: scalar tensor}, which are summed.
        stage: first training stage (1 or 2) in which the loss takes part.
        labels: what the training scenes must be labelled with, for a loss without parts.
        parts: in the order of summation, where there are several.
        switches: a method that switches one of these off has no such loss.
        weight: weight where the config holds none.
    """

    name: str
    description: str
    function: str
    stage: int
    labels: str = ""
    parts: tuple[Part, ...] = ()
    switches: tuple[str, ...] = ()
    weight: float = 1.0


_LANGUAGE = ("language",)
# The objective sums in this order. Another order changes the last bits of the total, so append new
# rows at the end.
LOSSES = (
    Loss(
        "depth", "Relative errors of predicted depth.", "depth_loss", stage=1, labels="depth maps"
    ),
    Loss(
        "normal",
        "Angles between normals of the pointmap and true normals.",
        "normal_loss",
        stage=1,
        labels="normal maps",
    ),
    Loss(
        "smoothness",
        "Bends of the pointmap, less across colour edges.",
        "smoothness_loss",
        stage=1,
        labels="none",
    ),
    Loss(
        "reconstruction",
        "Errors of points with their predicted uncertainty, of occupancy and of colour.",
        "reconstruction_loss",
        stage=1,
        parts=(
            Part("pointmap", "depth maps and cameras"),
            Part("occupancy", "solids", of_objects=True),
            Part("colour", "images"),
        ),
    ),
    Loss(
        "spatial",
        "Classes, boxes and relations of objects, and the grounding of sentences in points.",
        "spatial_loss",
        stage=2,
        parts=(
            Part("class", "masks and classes"),
            Part("name", "masks and classes"),
            Part("vote", "3D boxes", of_objects=True),
            Part("box", "3D boxes", of_objects=True),
            Part("relation", "named relations"),
            Part("front", "front directions", of_objects=True),
            Part("mask", "masks of referred objects", switches=_LANGUAGE),
            Part("pick", "referred objects", switches=_LANGUAGE),
            Part("patch", "masks of referred objects", switches=_LANGUAGE),
            Part("said", "named classes", switches=_LANGUAGE),
            Part(
                "aim", "masks of anchors and candidates", switches=("language", "cross_attention")
            ),
        ),
    ),
    Loss(
        "text",
        "Next words of answers and captions.",
        "text_loss",
        stage=2,
        parts=(Part("answer", "answers"), Part("caption", "captions")),
        switches=_LANGUAGE,
    ),
    Loss(
        "align",
        "Contrast of captions with scenes and of phrases with objects.",
        "align_loss",
        stage=2,
        labels="captions and phrases",
        switches=("language", "align_loss"),
    ),
)


def parts_of(loss: Loss) -> tuple[Part, ...]:
    """Return the parts of a loss; a loss without any is one part without a name."""
    return loss.parts or (Part("", loss.labels),)


def supervision(method: Switches) -> dict[str, float]:
    """Return the share of training scenes that supervise each loss, or each part of one.

    Returns:
        {"<loss>" or "<loss>/<part>": share}, 0 where the method has no such loss, or no label.
    """
    shares = {}
    for loss in LOSSES:
        for part in parts_of(loss):
            column = f"{loss.name}/{part.name}" if part.name else loss.name
            is_on = all(getattr(method, name) for name in (*loss.switches, *part.switches))
            share = method.supervision_3d if part.of_objects else 1.0
            shares[column] = share if is_on else 0.0
    return shares
