"""Run a trained model over one split and keep only its scores, for the studies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from g2vlm.inference.predict import predict
from metrics.score import score_submission

if TYPE_CHECKING:
    from g2vlm.features import ImageFeatures, TextFeatures
    from g2vlm.inference.corrupt import CorruptedStore
    from g2vlm.scenes.dataset import SceneStore


def evaluate_model(
    model_dir: Path,
    store: SceneStore | CorruptedStore,
    image_features: ImageFeatures | CorruptedStore,
    text_features: TextFeatures,
    thresholds: str | Path,
    truth_dir: Path,
    table: str | Path,
    config: dict[str, Any],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the score table of a trained model on the split whose truth is in `truth_dir`.

    The table holds the reconstruction metrics of `config["studies"]["metrics"]` only, which halves
    the scoring time.

    Args:
        model_dir, text_features, config: as for `predict`.
        store, image_features: the split's scenes and their features; a `CorruptedStore` is both.
        thresholds: file of `calibrate_thresholds`.
        truth_dir: the split's truth; its name is the split's.
        table: Parquet file of `metrics.score.score_submission`. The predictions, as large as a
            submission, are in a folder next to it until they are scored.
        progress: called with (scenes predicted, scenes in all).

    Raises:
        InputError: as `predict` and `score_submission`.
    """
    folder = Path(table).with_suffix(".predictions")
    predict(
        model_dir,
        store,
        image_features,
        text_features,
        folder,
        truth_dir.name,
        config,
        thresholds,
        progress=progress,
    )
    score_submission(folder, truth_dir, table, truth_dir, config["studies"]["metrics"])
    shutil.rmtree(folder)
