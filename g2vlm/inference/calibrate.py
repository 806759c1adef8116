"""The thresholds of a trained model and their calibration on the validation split.

Calibration is the only step of prediction that reads ground truth, and it reads val alone.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from g2vlm.features.readers import ImageFeatures
from g2vlm.inference.network import EncodedScene, Network
from g2vlm.inference.points import dense_depth, point_edges, upsample
from g2vlm.inference.scene import (
    MOST_BOXES,
    Ranked,
    object_rows,
    scene_graph,
    scene_points,
    scene_queries,
)
from g2vlm.inference.surface import boundary
from g2vlm.models.detection import Detection
from g2vlm.scenes.dataset import SceneStore, SceneViews
from metrics.constants import VOXEL_M
from metrics.files import InputError, read_json, rng, write_json
from metrics.geometry import lift_depth, to_frame, transform
from metrics.language.grounding import ref_f1
from metrics.pooled import fixed_set
from metrics.reconstruction.distances import fscore
from metrics.reconstruction.radius_counts import Samples, link, within
from metrics.scene_graph.boxes import box_iou, match_objects
from metrics.scene_graph.predicates import FAMILY_OF, VIEW_DEPENDENT
from metrics.scene_graph.spq import GraphTruth, Triplet, fold, graph_truth, true_counts
from metrics.schemas import short_repr

FILE = "thresholds.json"
# Ways to use the sensor's depth that are compared: (smoothing, trust in the learned correction).
FILTERS = ((0.0, 0.0), (0.0, 1.0), (0.5, 1.0), (1.0, 0.0), (1.0, 0.5), (1.0, 1.0))
NEAR_M = 0.05
GROUNDING_IOU = 0.25
GRAPH_IOU = 0.5
OCCUPANCY_POINTS = 4000
LOGIT_STEP = 0.125
# Every seventh pixel is enough to measure depth errors.
PIXEL_STEP = 7
# Points are scored in every fifth scene, with these shares of the least confident pixels dropped.
SCORED_STEP = 5
DROPPED = (0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.9)
# A level of confidence is given up after this many worse ones.
PATIENCE = 2
# Candidate thresholds: quantiles of logits, and of detection scores.
_QUANTILES = 25
_SCORE_QUANTILES = 101


@dataclass(frozen=True)
class Thresholds:
    """The thresholds that prediction applies.

    Args:
        occupancy_logit: a cell is solid above it.
        smoothing: 0 to 1, how far pixels move to the surface around them.
        trust: 0 to 1, how much of the learned correction is added to the sensor's depth.
        least_confidence: points below it are dropped.
        zero_logit: a query above it has no target.
        multi_logit: further boxes above it are targets too.
        object_score, triplet_score: detections and triplets below them are dropped.
    """

    occupancy_logit: float = 0.0
    smoothing: float = 0.5
    trust: float = 1.0
    least_confidence: float = 0.0
    zero_logit: float = math.inf
    multi_logit: float = math.inf
    object_score: float = 0.0
    triplet_score: float = 0.0

    def to_json(self) -> dict[str, float | None]:
        """Return plain values; an infinite threshold, which nothing reaches, becomes null."""
        return {k: v if math.isfinite(v) else None for k, v in asdict(self).items()}


def read_thresholds(path: str | Path) -> Thresholds:
    """Read a file of `Thresholds.to_json`.

    Raises:
        InputError: the file is missing, a name in it is missing or unknown, or a value is no finite
            number.
    """
    values = read_json(path)
    names = {item.name for item in fields(Thresholds)}
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds no thresholds; calibrate again")
    if set(values) != names:
        wrong = short_repr(sorted(set(values) ^ names)[0])
        raise InputError(f"{path}: threshold {wrong} is missing or unknown; calibrate again")
    for name, value in values.items():
        if value is not None and not (type(value) in (int, float) and math.isfinite(value)):
            raise InputError(f"{path}: {name} is {short_repr(value)}; calibrate again")
    return Thresholds(**{k: math.inf if v is None else float(v) for k, v in values.items()})


@dataclass(frozen=True)
class GraphMatch:
    """The predictions of one validation scene, each matched to the truth.

    Predictions that only touch void objects or pairs are left out.

    Args:
        truth: objects and triplets of the scene.
        objects: (class, score, IoU with the matched object or 0) of each detection.
        triplets: (folded predicate, score, quality or 0) of each predicted triplet.
    """

    truth: GraphTruth
    objects: list[tuple[str, float, float]]
    triplets: list[tuple[str, float, float]]


def calibrate_thresholds(
    network: Network,
    store: SceneStore,
    image_features: ImageFeatures,
    config: dict[str, Any],
    out_path: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Thresholds:
    """Calibrate all thresholds on `store`, which must be the validation split, and write them.

    Criteria: occupancy, best mean IoU; smoothing and trust, least depth error; confidence, best
    mean F-score at 5 cm; zero targets, most correct decisions; multiple targets, best mean F1 at
    IoU 0.25; objects, best panoptic quality of boxes at IoU 0.5; triplets, best SPQ at IoU 0.5.

    Args:
        network: a trained model.
        store, image_features: the scenes and their cached features.
        config: the experiment's config; reads `seed`.
        out_path: the file to write; by default thresholds.json in the model's folder.
        progress: called with (scenes done, scenes in all).
    """
    occupancy, errors, queries, graphs = [], [], [], []
    for done, name in enumerate(store.ids, 1):
        scene = network.encode(store.inputs(name), image_features[name])
        views = store.views(name)
        random = rng(int(config.get("seed", 0)), "thresholds", name)
        if network.config.votes:
            xyz, solid = occupancy_sample(views, OCCUPANCY_POINTS, random)
            occupancy.append((scene.occupancy(xyz), solid))
        errors.append(pixel_errors(scene, views.depth[: len(scene.inputs.rgb)]))
        annotation, graph = store.annotation(name), scene_graph(scene)
        objects = object_rows(graph.objects, network.config.classes)
        graphs.append(match_predictions(annotation, objects, graph.triplets))
        if network.config.language:
            queries += query_samples(scene, graph.objects, annotation)
        if progress:
            progress(done, len(store.ids))
    smoothing, trust = best_filter([found for found, _ in errors])
    confidence = np.concatenate([found for _, found in errors])

    def score(least: float) -> float:
        return mean_fscore(network, store, image_features, Thresholds(0.0, smoothing, trust, least))

    # In the order of the fields.
    thresholds = Thresholds(
        best_occupancy(occupancy),
        *(smoothing, trust, best_confidence(confidence, score)),
        *best_grounding(queries),
        *best_graph(graphs),
    )
    write_json(out_path or network.folder / FILE, thresholds.to_json())
    return thresholds


def occupancy_sample(
    views: SceneViews, count: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Sample positions of a room uniformly.

    Positions in cells at the border of a solid are left out, because truth is void there.

    Returns:
        Positions f32[N, 3] in the frame, N <= count, and whether each is solid, bool[N].
    """
    position = random.random((count, 3)) * views.room  # (count, 3) room frame
    index = np.floor(position / VOXEL_M).astype(int)
    shape = np.array(views.occupancy.shape)
    inside = (index < shape).all(1)
    index = np.minimum(index, shape - 1)
    solid = views.occupancy[tuple(index.T)] & inside
    border = boundary(views.occupancy)[tuple(index.T)] & inside
    xyz = transform(position, views.frame_from_room).astype(np.float32)
    return xyz[~border], solid[~border]


def pixel_errors(scene: EncodedScene, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return errors in metres [len(FILTERS), K] and confidences [K] of sampled pixels.

    Pixels without a prediction are left out, for all filters alike.

    Args:
        scene: the encoded scene.
        truth: f32[V, H, W], true depth of the input views.
    """
    inputs, cells = scene.inputs, scene.cells()

    def lift(depth: np.ndarray) -> np.ndarray:
        return to_frame(lift_depth(depth, inputs.intrinsics), inputs.pose)  # (V, H, W, 3)

    if cells.depth is None:
        kept = (truth > 0) & ~point_edges(cells.points)
        predicted = [upsample(cells.points, extend=True)] * len(FILTERS)
    else:
        depths = [dense_depth(cells, inputs.depth, *values) for values in FILTERS]
        kept = (truth > 0) & (depths[0] > 0)
        predicted = [lift(depth) for depth in depths]
    index = np.flatnonzero(kept)[::PIXEL_STEP]  # (K,)
    target = lift(truth).reshape(-1, 3)[index]
    errors = [np.linalg.norm(p.reshape(-1, 3)[index] - target, axis=1) for p in predicted]
    return np.stack(errors), upsample(cells.confidence).reshape(-1)[index]


def query_samples(
    scene: EncodedScene, objects: list[Detection], annotation: dict[str, Any]
) -> list[tuple[Ranked, float, np.ndarray]]:
    """Return (ranked boxes, zero logit, target boxes [T, 6]) of each reference of a scene."""
    boxes = {item["index"]: item["box"] for item in annotation["objects"]}
    targets = {
        item["id"]: np.array([boxes[index] for index in item["targets"]]).reshape(-1, 6)
        for item in annotation["references"]
    }
    return [
        (ranked, zero_logit, targets[query])
        for query, ranked, zero_logit, _ in scene_queries(scene, objects)
    ]


def match_predictions(
    annotation: dict[str, Any],
    objects: Sequence[dict[str, Any]],
    triplets: Sequence[tuple[int, str, int, float]],
) -> GraphMatch:
    """Match detections ({"box", "class", "score"}) and triplets (best first) to the truth.

    The steps are those of `metrics.scene_graph.spq.graph_counts`, with each triplet's score kept.
    """
    truth = graph_truth(annotation)
    boxes = np.array([item["box"] for item in objects], float).reshape(-1, 6)
    match = match_objects(
        boxes, [item["class"] for item in objects], truth.boxes, truth.classes, GRAPH_IOU
    )
    excused = (box_iou(boxes, truth.void_boxes) > GRAPH_IOU).any(axis=1)
    overlap = {true: iou for true, iou in match.values()}
    # Nodes are true objects; unmatched detections get numbers after them.
    node = [match[k][0] if k in match else len(truth.boxes) + k for k in range(len(objects))]
    rows, seen = [], set()
    for subject, name, other, score in triplets:
        folded = fold((node[subject], name, node[other]))
        if folded not in seen:
            seen.add(folded)
            quality = _quality(folded, truth, overlap, excused)
            if quality is not None:
                rows.append((folded[1], score, quality))
    detections = [
        (item["class"], float(item["score"]), match[k][1] if k in match else 0.0)
        for k, item in enumerate(objects)
        if k in match or not excused[k]
    ]
    return GraphMatch(truth, detections, rows)


def _quality(
    triplet: Triplet, truth: GraphTruth, overlap: dict[int, float], excused: np.ndarray
) -> float | None:
    """Return the quality of a folded triplet, 0 if it is wrong and None if it is left out."""
    subject, name, other = triplet
    unmatched = [end - len(truth.boxes) for end in (subject, other) if end >= len(truth.boxes)]
    if unmatched:
        return None if all(excused[end] for end in unmatched) else 0.0
    if triplet in truth.triplets:
        return float(np.sqrt(overlap[subject] * overlap[other]))
    return None if (subject, other, FAMILY_OF[name]) in truth.void else 0.0


def best_occupancy(samples: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return the logit threshold of the best mean IoU over scenes.

    Args:
        samples: logits [N] and bool [N], whether each position is solid, of every scene.
    """
    if not samples:
        return Thresholds.occupancy_logit
    every = [np.sort(logits) for logits, _ in samples]
    true = [np.sort(logits[solid]) for logits, solid in samples]
    # From below the least logit to above the largest, so that the best level is inside.
    low, high = (np.floor(min(map(np.min, every))), np.ceil(max(map(np.max, every))))
    levels = np.arange(low, high + LOGIT_STEP, LOGIT_STEP)
    total = np.zeros(len(levels))
    for logits, of_solids in zip(every, true, strict=True):
        # A sorted array has len - searchsorted values above each level.
        above = len(logits) - np.searchsorted(logits, levels, "right")  # (levels,)
        hit = len(of_solids) - np.searchsorted(of_solids, levels, "right")
        total += hit / np.maximum(above + len(of_solids) - hit, 1)
    return float(levels[int(np.argmax(total))])


def best_filter(errors: list[np.ndarray]) -> tuple[float, float]:
    """Return smoothing and trust of the least mean of errors [len(FILTERS), K] of each scene.

    Errors are clipped at 20 cm.
    """
    if not errors:
        return Thresholds.smoothing, Thresholds.trust
    clipped = np.minimum(np.concatenate(errors, axis=1), 4 * NEAR_M)
    return FILTERS[int(np.argmin(clipped.mean(1)))]


def best_confidence(confidence: np.ndarray, score: Callable[[float], float]) -> float:
    """Return the least confidence of the best score, tried from the lowest on.

    Args:
        confidence: [K], of sampled pixels.
        score: returns what points of at least a confidence score.
    """
    levels = [0.0, *np.quantile(confidence, DROPPED[1:])] if len(confidence) else [0.0]
    best, highest, worse = 0.0, -math.inf, 0
    for level in map(float, levels):
        value = score(level)
        if value > highest:
            best, highest, worse = level, value, 0
        else:
            worse += 1
            if worse == PATIENCE:
                break
    return best


def mean_fscore(
    network: Network, store: SceneStore, image_features: ImageFeatures, limits: Thresholds
) -> float:
    """Return the mean F-score at 5 cm of the points that `limits` leave, over some scenes.

    It is the metric `fscore@5cm` with the surfaces that any view sees as the true surface, and
    those that an input view sees as the observed part.
    """
    values = []
    for name in store.ids[::SCORED_STEP]:
        scene, views = network.encode(store.inputs(name), image_features[name]), store.views(name)
        points = scene_points(scene, limits.smoothing, limits.trust, limits.least_confidence).points
        seen = len(scene.inputs.rgb)
        surfaces = to_frame(lift_depth(views.depth, views.intrinsics), views.pose)  # (V, H, W, 3)
        true = Samples(surfaces[views.depth > 0])
        observed = Samples(surfaces[:seen][views.depth[:seen] > 0])
        values.append(surface_fscore(Samples(points), true, observed) if len(points) else 0.0)
    return float(np.mean(values))


def surface_fscore(predicted: Samples, true: Samples, observed: Samples) -> float:
    """Return the F-score at 5 cm of predicted points, as `metrics.reconstruction` defines it."""
    cell = NEAR_M / 2
    precision = within(predicted, true, cell, NEAR_M, link(predicted, true))
    recall = within(observed, predicted, cell, NEAR_M, link(observed, predicted))
    return fscore(precision, recall)


def prefix_f1(ranked: Ranked, targets: np.ndarray) -> np.ndarray:
    """Return F1 at IoU 0.25, [9], of the first 0, 1, .. 8 boxes against targets [T, 6]."""
    count = min(len(ranked.boxes), MOST_BOXES)
    values = [ref_f1(ranked.boxes[:k], targets, GROUNDING_IOU) for k in range(count + 1)]
    return np.array(values + values[-1:] * (MOST_BOXES - count))


def best_grounding(queries: list[tuple[Ranked, float, np.ndarray]]) -> tuple[float, float]:
    """Return the zero threshold and the multi threshold.

    Zero: most queries correctly predicted to have a target or none. Boxes do not count, because a
    model with poor boxes would then do best without any prediction. Multi: best mean F1 at IoU
    0.25.
    """
    if not queries:
        return math.inf, math.inf
    f1 = np.stack([prefix_f1(ranked, targets) for ranked, _, targets in queries])  # (Q, 9)
    empty = np.array([len(targets) == 0 for _, _, targets in queries])
    zero = np.array([zero_logit for _, zero_logit, _ in queries])
    # Falling levels: of equally good thresholds argmax takes the highest, the most cautious.
    zero_levels = np.append(np.sort(zero), math.inf)[::-1]
    correct = ((zero > zero_levels[:, None]) == empty).mean(1)
    logits = np.full((len(queries), MOST_BOXES), -np.inf)  # (Q, 8)
    for row, (ranked, _, _) in enumerate(queries):
        logits[row, : len(ranked.logits)] = ranked.logits
    # The first box is always predicted, so the second logit decides whether there is another.
    second = logits[np.isfinite(logits[:, 1]), 1]
    multi_levels = np.quantile(second, np.linspace(0, 0.99, _QUANTILES)) if len(second) else []
    multi_levels = np.append(multi_levels, math.inf)[::-1]
    counts = np.maximum((logits > multi_levels[:, None, None]).sum(2), 1)  # (levels, Q)
    mean_f1 = f1[np.arange(len(queries)), counts].mean(1)
    return (
        float(zero_levels[int(np.argmax(correct))]),
        float(multi_levels[int(np.argmax(mean_f1))]),
    )


def best_graph(graphs: Sequence[GraphMatch]) -> tuple[float, float]:
    """Return the object score and the triplet score of the best box_pq and the best spq@0.5.

    Counts pool over the scenes; the mean runs over the classes, or view-independent predicates,
    that are common enough in the split's truth. Hallucinated ones are left out, unlike in the
    metrics, so that thresholds do not depend on what the rooms of val lack. Without a detection or
    a triplet the score is 0.
    """
    classes = Counter(name for graph in graphs for name in graph.truth.classes)
    predicates = {
        name: count
        for name, count in true_counts([graph.truth for graph in graphs]).items()
        if FAMILY_OF[name] not in VIEW_DEPENDENT
    }
    return (
        best_score([row for graph in graphs for row in graph.objects], classes),
        best_score([row for graph in graphs for row in graph.triplets], predicates),
    )


def best_score(rows: Sequence[tuple[str, float, float]], totals: dict[str, int]) -> float:
    """Return the least score of the best subset of (name, score, quality) rows.

    The best subset has the highest mean over names of panoptic quality, the sum of quality over
    TP + FP/2 + FN/2. With `totals` true items of each name, TP + FP is the number of rows and
    TP + FN the total.
    """
    names, _ = fixed_set(totals)
    if not rows or not names:
        return 0.0
    levels = np.unique(np.quantile([row[1] for row in rows], np.linspace(0, 1, _SCORE_QUANTILES)))
    mean = np.zeros(len(levels))
    for name in names:
        own = sorted((score, quality) for row_name, score, quality in rows if row_name == name)
        own_scores = np.array([score for score, _ in own])
        # Entry k is the summed quality of the rows from k on.
        gained = np.append(np.cumsum([quality for _, quality in own][::-1])[::-1], 0.0)
        first = np.searchsorted(own_scores, levels, "left")  # (levels,)
        mean += 2 * gained[first] / (len(own) - first + totals[name])
    return float(levels[int(np.argmax(mean))])
