"""The predict stage: a trained model over a split, handed in as one submission."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from g2vlm.inference.calibrate import choose_thresholds
from g2vlm.inference.capabilities import capabilities
from g2vlm.inference.gallery import Gallery, ProbedGallery
from g2vlm.inference.network import Network
from g2vlm.inference.scene import SceneWriter
from g2vlm.inference.thresholds import FILE, read_thresholds
from metrics.submission.writer import SubmissionWriter

if TYPE_CHECKING:
    from g2vlm.features import ImageFeatures, TextFeatures
    from g2vlm.scenes.dataset import SceneStore

__all__ = ["choose_thresholds", "predict"]

VOXEL_M = 0.1
Progress = Callable[[int, int], None]


def predict(
    model_dir: str | Path,
    store: SceneStore,
    image_features: ImageFeatures,
    text_features: TextFeatures,
    out_dir: str | Path,
    split: str,
    config: dict[str, Any],
    thresholds: str | Path | None = None,
    device: str | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> None:
    """Write the submission of a trained model on one split.

    Args:
        model_dir: what training wrote (model.safetensors, config.json, cost.json,
            probe.safetensors).
        store, image_features, text_features: the split's scenes and the cached features.
        out_dir: the submission's folder; an earlier one is replaced at a clean end.
        config: the experiment's config; reads predict.mesh_voxel_m (finest cell, metres).
        thresholds: the file of `choose_thresholds`; by default thresholds.json in `model_dir`.
        device: a torch device; by default the GPU where there is one.
        progress: called with (scenes done, scenes in all).

    Raises `InputError` for a damaged model, features of other scenes or missing thresholds.
    """
    network = Network(model_dir, text_features, device, threads)
    # The imported modules are many objects; without this each collection walks them all.
    gc.freeze()
    able = capabilities(network.config)
    limits = read_thresholds(thresholds or Path(model_dir) / FILE)
    voxel = float(config.get("predict", {}).get("mesh_voxel_m", VOXEL_M))
    with SubmissionWriter(
        out_dir,
        network.config.method,
        network.seed,
        split,
        True,
        able.produces,
        able.reasons,
        able.mesh_kind,
    ) as writer:
        writer.thresholds = limits.to_json()
        scenes = SceneWriter(writer, limits, voxel)
        galleries: list[Gallery | ProbedGallery] = [ProbedGallery(network, writer)]
        galleries += [Gallery(network, writer)] if network.config.language else []
        started = time.perf_counter()
        for done, scene in enumerate(store.ids, 1):
            encoded = network.encode(store.inputs(scene), image_features[scene])
            scenes.write(encoded)
            for gallery in galleries:
                gallery.add(encoded)
            if progress:
                progress(done, len(store.ids))
        for gallery in galleries:
            gallery.close()
        seconds = (time.perf_counter() - started) / max(1, len(store.ids))
        writer.cost |= _cost(network, seconds)


def _cost(network: Network, seconds_per_scene: float) -> dict[str, Any]:
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "parameters": sum(p.numel() for p in network.model.parameters()),
        "train_seconds": network.cost.get("train_seconds"),
        "seconds_per_scene": round(seconds_per_scene, 4),
        "peak_memory_mb": round(peak_kb / 1024, 1),
    }
