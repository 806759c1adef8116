"""Choose a trained model's thresholds on the validation split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from g2vlm.inference.network import EncodedScene, Network
from g2vlm.inference.points import dense_depth, point_edges, upsample
from g2vlm.inference.scene import object_rows, scene_objects, scene_queries
from g2vlm.inference.spq import GraphSample, best_graph, judge
from g2vlm.inference.thresholds import (
    FILE,
    FILTERS,
    Evidence,
    Thresholds,
    best_grounding,
    best_occupancy,
    best_points,
    occupancy_sample,
    write_thresholds,
)
from metrics.files import rng
from metrics.geometry import lift_depth, to_frame

if TYPE_CHECKING:
    from g2vlm.features import ImageFeatures, TextFeatures
    from g2vlm.scenes.dataset import SceneStore, SceneViews

OCCUPANCY_POINTS = 4000
PIXEL_STEP = 7


def choose_thresholds(
    model_dir: str | Path,
    store: SceneStore,
    image_features: ImageFeatures,
    text_features: TextFeatures,
    config: dict[str, Any],
    out_path: str | Path | None = None,
    device: str | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Thresholds:
    """Choose all thresholds on `store`, which must be the validation split, and write them.

    `out_path` is thresholds.json in `model_dir` by default. Occupancy: best mean IoU; smoothing:
    least depth error; confidence: best F at 5 cm; zero and multi targets: best mean F1 at IoU .25;
    objects: best panoptic quality of boxes at IoU .5; triplets: best SPQ at IoU .5.
    """
    network = Network(model_dir, text_features, device, threads)
    evidence = Evidence()
    graphs: list[GraphSample] = []
    for done, name in enumerate(store.ids, 1):
        scene = network.encode(store.inputs(name), image_features[name])
        views = store.views(name)
        random = rng(int(config.get("seed", 0)), "thresholds", name)
        _geometry(scene, views, random, evidence)
        if network.config.language:
            _spatial(scene, store.annotation(name), evidence, graphs)
        if progress:
            progress(done, len(store.ids))
    smoothing, trust, confidence = best_points(evidence.errors)
    zero, multi = best_grounding(evidence.queries)
    object_score, triplet_score = best_graph(graphs)
    chosen = Thresholds(
        occupancy_logit=best_occupancy(evidence.occupancy),
        smoothing=smoothing,
        trust=trust,
        least_confidence=confidence,
        zero_logit=zero,
        multi_logit=multi,
        object_score=object_score,
        triplet_score=triplet_score,
    )
    write_thresholds(out_path or Path(model_dir) / FILE, chosen)
    return chosen


def _geometry(
    scene: EncodedScene, views: SceneViews, random: np.random.Generator, evidence: Evidence
) -> None:
    if scene.network.config.votes:
        xyz, solid = occupancy_sample(views, OCCUPANCY_POINTS, random)
        evidence.occupancy.append((scene.occupancy(xyz), solid))
    evidence.errors.append(pixel_errors(scene, views.depth[: len(scene.inputs.rgb)]))


def pixel_errors(scene: EncodedScene, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return errors in metres [len(FILTERS), K] and confidences [K] of sampled pixels.

    `truth` f32 [V, H, W] is the input views' true depth. A pixel for which the method says nothing
    is left out, whatever the filter.
    """
    inputs, cells = scene.inputs, scene.cells()
    exact = to_frame(lift_depth(truth, inputs.intrinsics), inputs.pose)
    confidence = upsample(cells.confidence)
    if cells.depth is None:
        kept = (truth > 0) & ~point_edges(cells.points)
        predicted = [upsample(cells.points, extend=True)] * len(FILTERS)
    else:
        depths = [dense_depth(cells, inputs.depth, *values) for values in FILTERS]
        kept = (truth > 0) & (depths[0] > 0)
        predicted = [
            to_frame(lift_depth(depth, inputs.intrinsics), inputs.pose) for depth in depths
        ]
    index = np.flatnonzero(kept)[::PIXEL_STEP]
    place = exact.reshape(-1, 3)[index]
    errors = [np.linalg.norm(p.reshape(-1, 3)[index] - place, axis=1) for p in predicted]
    return np.stack(errors), confidence.reshape(-1)[index]


def _spatial(
    scene: EncodedScene,
    annotation: dict[str, Any],
    evidence: Evidence,
    graphs: list[GraphSample],
) -> None:
    found = scene_objects(scene)
    objects = object_rows(found.objects, scene.network.config.classes)
    graphs.append(judge(annotation, objects, found.triplets))
    boxes = {item["index"]: item["box"] for item in annotation["objects"]}
    targets = {
        item["id"]: np.array([boxes[index] for index in item["targets"]]).reshape(-1, 6)
        for item in annotation["references"]
    }
    for query, ranked, zero, _ in scene_queries(scene, found.objects):
        evidence.queries.append((ranked, zero, targets[query]))
