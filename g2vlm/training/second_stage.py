"""The second stage: features of every training scene, and the heads fitted on them.

A training step shows a head a few dozen objects of three or four scenes. Under a frozen network an
object or a scene is one row of numbers, and thousands of rows are gathered in seconds. The box head
and the retrieval head are fitted here, from scratch.

Shapes: S scenes, P points, M masks of a scene (ground truth first, then detected).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from g2vlm.models.batch import stack_scenes
from g2vlm.models.boxes import SYMMETRIES, BoxHead, corner_box, split_faces
from g2vlm.models.detection import clusters, member_masks, suppress
from g2vlm.models.heads import FIRST_SCALE, Descriptors, pool_scene
from g2vlm.models.layers import standard
from g2vlm.models.model import G2VLM
from g2vlm.models.qa_context import measure_room
from g2vlm.models.referring_head import ObjectSet
from g2vlm.models.state import SceneState, point_classes
from g2vlm.training.data import SceneSource, TrainSet, pad
from g2vlm.training.loss_functions import box_loss
from g2vlm.training.optimizer import Group, Optimizer, falling_cosine
from g2vlm.training.targets import TrainScene, mask_shares
from metrics.files import rng

SCENES_A_BATCH = 4
# Objects of at most this many scenes are cached: clustering a scene takes a core a while.
MOST_SCENES = 1000
# A cluster is matched to an object with at least this IoU of their points.
LEAST_MASK_IOU = 0.3
# Best on `val` of 256 to 1,024 objects a step and rates 0.002 to 0.008, from scratch or not.
OBJECTS_A_STEP = 512
BOX_RATE = 8e-3
BOX_DECAY = 0.01
# A cycle of the learning rate rises for this share of the steps, from this share of its peak, while
# the decay rate of the first moment falls from the second to the first of these values.
RISING_SHARE, FIRST_RATE = 0.3, 0.04
BETAS_IN_CYCLE = (0.85, 0.95)
# Best on `val` of a linear map and one hidden layer, dropout 0 to 0.6, and decay 0.05 to 1.
SCENES_A_STEP = 128
RETRIEVAL_STEPS = 400
RETRIEVAL_RATE = 3e-3
RETRIEVAL_DROPOUT = 0.3
RETRIEVAL_DECAY = 1.0

# A scene's objects, and their indices in its annotation (-1 = none of them).
IndexedSet = tuple[ObjectSet, np.ndarray]
# Arguments of `Optimizer.step` at each share 0..1 of the steps.
Schedule = Callable[[float], tuple[float, ...]]


@dataclass(frozen=True)
class CachedScene:
    """A scene's M masks as the frozen network sees them: ground truth, then clusters, best first.

    Attributes:
        box_features: [M,K], what the box head reads (`BoxHead.features`).
        faces: [M,6], visible faces.
        objects: `ObjectSet` of [M,...], with visible extents or predicted boxes.
        index: i64 [M], index in the annotation of the object that the mask shows, -1 = none.
        true_boxes: f32 [M,6], box of that object.
        gt_count: number of ground-truth masks.
        tokens: [T,D].
        room: [K], from `measure_room`.
    """

    box_features: Tensor
    faces: Tensor
    objects: ObjectSet
    index: np.ndarray
    true_boxes: Tensor
    gt_count: int
    tokens: Tensor
    room: Tensor

    @cached_property
    def sets(self) -> list[IndexedSet]:
        """The ground-truth objects and the detected objects, each set unless it is empty."""
        fields = vars(self.objects)
        detected = suppress(fields["boxes"][self.gt_count :].cpu().numpy())
        chosen = [np.arange(self.gt_count), self.gt_count + np.array(detected, int)]
        return [
            (ObjectSet(**{name: field[rows] for name, field in fields.items()}), self.index[rows])
            for rows in chosen
            if len(rows)
        ]


@torch.no_grad()
def cache_features(model: G2VLM, scenes: SceneSource) -> tuple[Tensor, list[CachedScene]]:
    """Encode all scenes once.

    The model is in training mode before and after.

    Returns:
        pooled features [S,D] of every scene, and the objects of the first `MOST_SCENES`.
    """
    device = next(model.parameters()).device
    model.eval()
    pooled, cached = [], []
    for start in range(0, len(scenes), SCENES_A_BATCH):
        batch = [scenes[row] for row in range(start, min(start + SCENES_A_BATCH, len(scenes)))]
        inputs = stack_scenes([scene.inputs for scene in batch], model.config)
        state = model.encode(inputs.to(device))
        pooled.append(pool_scene(state))
        if start < MOST_SCENES:
            cached += _cache_objects(model, state, batch)
    model.train()
    return torch.cat(pooled), cached


@torch.no_grad()
def predict_boxes(model: G2VLM, cached: Sequence[CachedScene]) -> list[CachedScene]:
    """Return the scenes with the boxes that the box head predicts now."""
    if not (model.config.votes and cached):
        return list(cached)
    features = torch.cat([scene.box_features for scene in cached])
    boxes = model.box_head.predict_symmetric(features, torch.cat([scene.faces for scene in cached]))
    return [
        replace(scene, objects=replace(scene.objects, boxes=own))
        for scene, own in zip(cached, boxes.split([len(s.faces) for s in cached]), strict=True)
    ]


def caption_embeddings(data: TrainSet) -> list[np.ndarray]:
    """Return the frozen text embeddings f32 [K,W] of the K captions of every scene."""
    annotations = (data.scenes.labels(row).annotation for row in range(len(data.scenes)))
    return [
        data.texts.gather([item["text"] for item in annotation["captions"]]).pooled
        for annotation in annotations
    ]


def _cache_objects(
    model: G2VLM, state: SceneState, scenes: Sequence[TrainScene]
) -> list[CachedScene]:
    """Return what the network computes for every mask of a batch's scenes."""
    device = state.points.device
    masks = [_masks(model, state, place, scene) for place, scene in enumerate(scenes)]
    inside = pad([scene_masks for scene_masks, _ in masks]).to(device)  # (B, M, P)
    features, faces = model.box_head.features(state, inside)
    objects = vars(model.object_set(state, inside, corner_box(*split_faces(faces))))
    rooms = measure_room(state.points)
    cached = []
    for place, (scene, (scene_masks, owner)) in enumerate(zip(scenes, masks, strict=True)):
        size = len(scene_masks)
        # The last row is that of the owner -1 (none).
        index = np.array([*(entry["index"] for entry in scene.annotation["objects"]), -1])
        boxes = np.concatenate([scene.all_boxes, np.zeros((1, 6), np.float32)])[owner]
        cached.append(
            CachedScene(
                box_features=features[place, :size],
                faces=faces[place, :size],
                objects=ObjectSet(**{name: part[place, :size] for name, part in objects.items()}),
                index=index[owner],
                true_boxes=torch.from_numpy(boxes).to(device),
                gt_count=len(scene.rows),
                tokens=state.tokens[place],
                room=rooms[place],
            )
        )
    return cached


def _masks(
    model: G2VLM, state: SceneState, place: int, scene: TrainScene
) -> tuple[np.ndarray, np.ndarray]:
    """Return one scene's ground-truth masks and clusters, and the objects that they show.

    Returns:
        masks f32 [M,P], and for each the row i64 [M] of `all_boxes` of its object, -1 = none.
    """
    rows = {entry["index"]: row for row, entry in enumerate(scene.annotation["objects"])}
    own = np.array([rows[index] for index in scene.rows], int)
    found = clusters(point_classes(state, model.config, place))
    if not found:
        return mask_shares(scene.masks), own
    masks = member_masks(found, len(scene.owner))
    owned = (scene.owner[None] == np.arange(len(rows))[:, None]).astype(np.float32)  # (objects, P)
    shared = masks @ owned.T
    union = masks.sum(1)[:, None] + owned.sum(1)[None] - shared
    # A column of zeros, so that a scene without objects has a maximum too.
    overlap = np.concatenate([shared / np.maximum(union, 1), np.zeros((len(masks), 1))], axis=1)
    best = np.where(overlap.max(1) > LEAST_MASK_IOU, overlap.argmax(1), -1)
    return np.concatenate([mask_shares(scene.masks), masks]), np.concatenate([own, best])


def fit_box_head(
    model: G2VLM, cached: Sequence[CachedScene], supervised: np.ndarray, seed: int, steps: int
) -> float | None:
    """Fit `model.box_head` from scratch on ground-truth masks and clusters.

    Rooms are used as they are and under the symmetries of their floor plan. The same objects,
    weights and seed give the same bits.

    Args:
        model: the trained model; its box head is replaced.
        cached: the objects of the first scenes.
        supervised: bool [S], whether a scene's boxes may be used.
        seed: of the training.
        steps: optimizer steps.

    Returns:
        the mean loss of the last tenth of the steps, None without any object.
    """
    scenes = [scene for scene, used in zip(cached, supervised, strict=False) if used]
    known = [torch.from_numpy(scene.index >= 0) for scene in scenes]
    if not sum(int(rows.sum()) for rows in known):
        return None
    features, faces, true = (
        torch.cat([getattr(scene, name)[rows] for scene, rows in zip(scenes, known, strict=True)])
        for name in ("box_features", "faces", "true_boxes")
    )
    random = seeded_generator(seed, "refit_boxes")
    head = model.box_head
    head.load_state_dict(BoxHead(model.config).state_dict())
    shapes, appearances = head.split(features)
    images = [head.shape_symmetry(shapes, which) for which in range(SYMMETRIES)]  # (N, K) each
    head.standard_shape.fit(torch.cat(images))
    # Every object under every symmetry, once: a step then only picks rows.
    symmetric = [
        (
            head.standard_shape(image),
            head.face_symmetry(faces, which),
            head.box_symmetry(true, which),
        )
        for which, image in enumerate(images)
    ]
    optimizer = Optimizer([Group(list(head.parameters()), BOX_DECAY)])

    def sample_losses() -> dict[str, Tensor]:
        rows = torch.from_numpy(random.integers(len(true), size=OBJECTS_A_STEP)).to(true.device)
        shape, visible, target = symmetric[int(random.integers(SYMMETRIES))]
        boxes = head.correct(shape[rows], visible[rows], head.appearance(appearances[rows]))
        return {"box": box_loss(boxes, target[rows])}

    return minimise(optimizer, cosine(BOX_RATE), steps, sample_losses, {"box": 1.0})["box"]


def fit_retrieval_head(
    descriptors: Descriptors, pooled: Tensor, captions: Sequence[np.ndarray], seed: int
) -> float | None:
    """Fit the projections of scenes and captions from scratch by L_align, in large batches.

    The one positive of a caption is its own scene: it holds for one in a hundred of the others.

    Args:
        descriptors: the retrieval head; its projections are replaced.
        pooled: [S,D], pooled features of the scenes.
        captions: f32 [K,W], frozen embeddings of each scene's captions.
        seed: of the training.

    Returns:
        the mean loss of the last tenth of the steps, None with fewer than two captioned scenes.
    """
    counts = np.array([len(rows) for rows in captions])
    captioned = np.flatnonzero(counts)
    if len(captioned) < 2:
        return None
    random = seeded_generator(seed, "refit_retrieval")
    # Captions of all scenes, one after the other; those of a scene begin at its entry of `starts`.
    starts = np.cumsum(counts) - counts
    texts = standard(torch.from_numpy(np.concatenate(captions)).to(pooled.device))
    descriptors.standard_scene.fit(pooled)
    descriptors.standard_text.fit(texts)
    scene_layer, text_layer = descriptors.scene, descriptors.text
    for layer in (scene_layer, text_layer):
        layer.reset_parameters()
    torch.nn.init.constant_(descriptors.scale, FIRST_SCALE)
    scenes = descriptors.standard_scene(pooled)  # (S, D)
    texts = descriptors.standard_text(texts)  # (captions of all scenes, W)
    optimizer = Optimizer(
        [
            Group([scene_layer.weight, text_layer.weight], RETRIEVAL_DECAY),
            Group([scene_layer.bias, text_layer.bias, descriptors.scale], 0.0),
        ]
    )
    # Caption k of a batch belongs to scene k.
    own = torch.arange(min(SCENES_A_STEP, len(captioned)), device=pooled.device)

    def sample_losses() -> dict[str, Tensor]:
        rows = random.permutation(captioned)[: len(own)]
        caption = torch.from_numpy(starts[rows] + random.integers(counts[rows]))
        scene = scene_layer(F.dropout(scenes[torch.from_numpy(rows)], RETRIEVAL_DROPOUT))
        text = text_layer(F.dropout(texts[caption], RETRIEVAL_DROPOUT))
        scores = descriptors.sharpness * F.normalize(text, dim=-1) @ F.normalize(scene, dim=-1).T
        return {"align": (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2}

    schedule = cosine(RETRIEVAL_RATE)
    return minimise(optimizer, schedule, RETRIEVAL_STEPS, sample_losses, {"align": 1.0})["align"]


def seeded_generator(seed: int, key: str) -> np.random.Generator:
    """Return the generator of one head's fit, and seed PyTorch's from it.

    The keys hold old names of the heads: others would change every weight.
    """
    random = rng(seed, key, "")
    torch.manual_seed(int(random.integers(2**62)))
    return random


def cosine(peak: float) -> Schedule:
    """Return the schedule of a learning rate that falls from its peak to 0."""
    return lambda done: (peak * falling_cosine(done),)


def one_cycle(peak: float) -> Schedule:
    """Return a schedule that rises to the peak and falls to 0, while the momentum does the reverse.

    Source: Smith & Topin 2018.
    """

    def schedule(done: float) -> tuple[float, float]:
        if done < RISING_SHARE:
            height = 1 - falling_cosine(done / RISING_SHARE)
        else:
            height = falling_cosine((done - RISING_SHARE) / (1 - RISING_SHARE))
        least = FIRST_RATE if done < RISING_SHARE else 0.0
        low, high = BETAS_IN_CYCLE
        return peak * (least + (1 - least) * height), high - (high - low) * height

    return schedule


def minimise(
    optimizer: Optimizer,
    schedule: Schedule,
    steps: int,
    sample_losses: Callable[[], Mapping[str, Tensor]],
    weights: Mapping[str, float],
    clip: float | None = None,
) -> dict[str, float]:
    """Take optimizer steps along the weighted sum of sampled losses.

    Args:
        optimizer: over what is fitted.
        schedule: returns the arguments of `Optimizer.step` from the share of steps that is done.
        steps: optimizer steps.
        sample_losses: samples a batch and returns its losses by name.
        weights: weight of each loss in the sum.
        clip: largest norm of the gradient, None = any.

    Returns:
        the mean losses of the last tenth of the steps.
    """
    log = []
    for step in range(steps):
        losses = sample_losses()
        total = sum(weights[name] * value for name, value in losses.items())
        optimizer.zero_grad()
        total.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(optimizer.parameters, clip)
        optimizer.step(*schedule(step / steps))
        log.append({name: float(value.detach()) for name, value in losses.items()})
    last = log[-max(1, steps // 10) :]
    return {name: float(np.mean([losses[name] for losses in last])) for name in last[0]}
