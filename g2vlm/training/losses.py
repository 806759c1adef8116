"""The table of losses: the training objective is their weighted sum.

To add a loss, edit two files: write its function in `loss_functions.py` and add its row here. The
config schema, the default weight, the objective and the columns of losses.parquet follow from the
row. `train.loss_weights` in config/cpu.yaml holds a weight other than the default.

This module imports no PyTorch, because the schema of the config is built from it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """One term of the training objective.

    Attributes:
        name: key in `train.loss_weights` and column of losses.parquet.
        description: one sentence for the documentation.
        function: its name in `loss_functions`. It takes a `StepOutputs` and returns the loss as a
            scalar tensor, or its parts as {name: scalar tensor}, which are summed.
        stage: first training stage (1 or 2) in which the loss takes part.
        parts: names of the parts, in the order of summation, where there are several. Each is a
            column `<name>/<part>` of losses.parquet.
        switch: a method that switches this off has no such loss.
        weight: weight where the config holds none.
    """

    name: str
    description: str
    function: str
    stage: int
    parts: tuple[str, ...] = ()
    switch: str | None = None
    weight: float = 1.0


# The objective sums in this order. Another order changes the last bits of the total, so append new
# rows at the end.
LOSSES = (
    Loss("depth", "Relative errors of predicted depth.", "depth_loss", stage=1),
    Loss(
        "normal",
        "Angles between normals of the pointmap and true normals.",
        "normal_loss",
        stage=1,
    ),
    Loss(
        "smoothness",
        "Bends of the pointmap, less across colour edges.",
        "smoothness_loss",
        stage=1,
    ),
    Loss(
        "reconstruction",
        "Errors of points with their predicted uncertainty, of occupancy and of colour.",
        "reconstruction_loss",
        stage=1,
        parts=("pointmap", "occupancy", "colour"),
    ),
    Loss(
        "spatial",
        "Classes, boxes and relations of objects, and the grounding of sentences in points.",
        "spatial_loss",
        stage=2,
        parts=(
            *("class", "name", "vote", "box", "relation", "front"),
            *("mask", "pick", "patch", "said", "aim"),
        ),
    ),
    Loss(
        "text",
        "Next words of answers and captions.",
        "text_loss",
        stage=2,
        parts=("answer", "caption"),
    ),
    Loss(
        "align",
        "Contrast of captions with scenes and of phrases with objects.",
        "align_loss",
        stage=2,
        switch="align_loss",
    ),
)
