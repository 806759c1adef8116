"""Publish a trained model of a finished experiment as a folder of its own."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from g2vlm.features import readers
from g2vlm.models.file_format import sentence, table
from g2vlm.models.probe import FILE as PROBE
from metrics.files import InputError, atomic_path, write_json

CARD = Path(__file__).resolve().parents[2] / "docs" / "model-card.md"
FRONT_MATTER = (
    "---\nlicense: apache-2.0\nlibrary_name: g2vlm\ntags: [3d, rgb-d, grounding]\n---\n\n"
)
SPLIT, SCENES = "dev_scene", 4
# Metrics of single scenes or sentences, to check a loaded copy by: none that ranks a whole split.
CHECKED = (
    "chamfer_l1_m",
    "fscore@5cm",
    "normal_consistency",
    "mesh_iou",
    "occupancy_iou",
    "ref_acc@0.25",
    "ref_pick",
    "answer_score",
)


def publish(
    results: str | os.PathLike[str],
    out: str | os.PathLike[str],
    method: str = "full",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the model folder `out`, all of it or nothing; an earlier one is replaced.

    The folder holds model.safetensors (fp16), config.json, cost.json, the retrieval probe, the
    thresholds calibrated on val, the calibration of the out-of-distribution score, a model card,
    and scores.json: the scores of the model on the first scenes of dev_scene, to check a copy by.

    Args:
        results: folder of a finished experiment, e.g. `results/cpu`.
        out: the model folder.
        method, seed: which of the experiment's models.
        progress: called with (scenes read, scenes in all).

    Raises:
        InputError: the experiment is unfinished; the message names the missing file.
    """
    from safetensors.torch import save_file

    from g2vlm.models.checkpoint import FORMAT, read_tensors
    from g2vlm.use.ood_score import FILE, calibrate

    results = Path(results)
    model = results / "models" / method / str(seed)
    thresholds = results / "predictions" / method / str(seed) / "thresholds.json"
    scores = results / "scores" / method / str(seed) / f"{SPLIT}.parquet"
    probe = model / PROBE
    for path in (model / "config.json", model / "model.safetensors", probe, thresholds, scores):
        if not path.is_file():
            raise InputError(f"{path}: no such file; finish the run with `make reproduce`")
    if not CARD.is_file():
        raise InputError(f"{CARD}: no such file; publish from a checkout of the project")
    weights = read_tensors(model / "model.safetensors", "train the model again")
    with atomic_path(out, folder=True) as folder:
        # atomic_path gives the file the usual permissions; save_file alone keeps it to its owner.
        with atomic_path(folder / "model.safetensors") as half:
            save_file({k: v.half() for k, v in weights.items()}, half, metadata={"format": FORMAT})
        for path in (model / "config.json", model / "cost.json", probe, thresholds):
            shutil.copyfile(path, folder / path.name)
        write_json(folder / "scores.json", scene_scores(scores))
        # The documentation's card, with front matter for model hubs and the model's size.
        size = f"\n**Size.** {sentence(model)}\n\n{table(model)}"
        card = FRONT_MATTER + CARD.read_text(encoding="utf-8") + size
        (folder / "README.md").write_text(card, encoding="utf-8")
        train, val = (readers.open_split(results, split) for split in ("train", "val"))
        calibrate(train, val, folder / FILE, progress)
    return Path(out)


def scene_scores(path: Path) -> dict[str, Any]:
    """Return {"split", "scenes": {scene: {metric: mean over its queries}}} of the first scenes."""
    import pandas as pd

    rows = pd.read_parquet(path).query("subset == 'all' and kind == 'item' and metric in @CHECKED")
    names = sorted(rows["scene"].unique())[:SCENES]
    means = rows.groupby(["scene", "metric"])["value"].mean().round(6)
    return {"split": SPLIT, "scenes": {name: means[name].to_dict() for name in names}}
