"""Let a trained model answer one split and keep its scores alone, for the studies."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from g2vlm.inference.predict import predict
from metrics.score import score_submission

if TYPE_CHECKING:
    from g2vlm.features import TextFeatures
    from g2vlm.run.progress import Progress


def judge_model(
    model_dir: Path,
    store: Any,
    image_features: Any,
    text_features: TextFeatures,
    thresholds: str | Path,
    truth_dir: Path,
    table: str | Path,
    config: dict[str, Any],
    progress: Progress | None = None,
) -> None:
    """Write the score table of a trained model on the split whose truth is in `truth_dir`.

    Of the reconstruction metrics it holds those of `config["studies"]["metrics"]`, which halves the
    scoring.

    Args:
        store, image_features: the split's scenes and the features of their views, as they are or
            spoiled (`g2vlm.inference.corrupt.SpoiledStore` is both).
        table: Parquet file, as `metrics.score.score_submission` writes it. The predictions, as
            large as a method's own, lie beside it until they are scored.
        progress: called with (scenes predicted, scenes in all).

    Raises `InputError` as `predict` and `score_submission` do.
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
