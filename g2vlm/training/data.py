"""The training set in memory, the batch of one step, and what the model predicts for it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from g2vlm.models.batch import Movable, TextBatch, build_text
from g2vlm.models.decoder import (
    CAPTION,
    LEAST_NUMBER,
    PAD,
    START,
    Vocabulary,
    build_words,
    number_word,
)
from g2vlm.models.model import G2VLM
from g2vlm.models.state import GroundState, SceneState
from g2vlm.scenes.language.templates import ONE_CLASS
from g2vlm.training.targets import POOL, STRUCTURE, SceneLabels, TrainScene, mask_shares
from metrics.files import rng
from metrics.scene_graph.predicates import FAMILIES

ANSWER_WORDS = 10
CAPTION_WORDS = 48
# More scenes hardly change a mean or a frequency.
MEASURED_SCENES = 1000


@dataclass(frozen=True)
class GeometryTargets(Movable):
    """Dense targets of B scenes with P points and K occupancy queries.

    Attributes:
        depth: [B,P], metres, 0 = none.
        normal: [B,P,3], 0 = none.
        classes: i64 [B,P]; the number of classes = structure, -1 = unknown.
        boxes: [B,P,6], of the point's object.
        votes: bool [B,P], whether the box is a target.
        queries: [B,K,3], metres.
        solid: [B,K], 1 = in a solid, 0 = free.
        supervised: [B], 1 where 3D labels may be used.
    """

    depth: Tensor
    normal: Tensor
    classes: Tensor
    boxes: Tensor
    votes: Tensor
    queries: Tensor
    solid: Tensor
    supervised: Tensor


@dataclass(frozen=True)
class ObjectTargets(Movable):
    """Targets of B scenes with N objects.

    Attributes:
        masks: [B,N,P], share of the cell that the object covers.
        present: bool [B,N], false for padding.
        boxes: [B,N,6].
        yaw: [B,N], radians.
        classes: i64 [B,N], -1 = padding.
        relations: i64 [K,B,N,N], labels of the K families in `FAMILIES`, -1 = void.
    """

    masks: Tensor
    present: Tensor
    boxes: Tensor
    yaw: Tensor
    classes: Tensor
    relations: Tensor


@dataclass(frozen=True)
class LanguageTargets(Movable):
    """Targets of B scenes with N objects, R references and S sentences (references first).

    Attributes:
        sentences: the references, then the questions.
        roles: [3,B,R,N], 1 for objects that a reference means, for objects that it names as
            anchors, and for objects of the class that it means; -1 = no reference.
        named: i64 [B,S], class that a sentence asks for, -1 = none or several.
        answers: i64 [B,S-R,A], words.
        caption: i64 [B,1,A], words of one caption per scene.
        captions: captions for L_align.
        caption_scenes: [B,captions,B], 1 for scenes of which a caption is true.
        phrases: object phrases for L_align.
        phrase_objects: [B,phrases,B*N], 1 for objects that a phrase describes.
    """

    sentences: TextBatch
    roles: Tensor
    named: Tensor
    answers: Tensor
    caption: Tensor
    captions: TextBatch
    caption_scenes: Tensor
    phrases: TextBatch
    phrase_objects: Tensor


@dataclass(frozen=True)
class StepOutputs:
    """Targets of a batch of B scenes and the model's outputs for it, each computed once.

    Attributes:
        model: the model in training.
        state: the encoded scenes.
        geometry: dense targets.
        objects: targets of objects; None in stage 1.
        language: targets of sentences; None in stage 1 and without language.
        relation_weights: {relation family: [K], weight of each label}.
    """

    model: G2VLM
    state: SceneState
    geometry: GeometryTargets
    objects: ObjectTargets | None = None
    language: LanguageTargets | None = None
    relation_weights: Mapping[str, Tensor] | None = None

    @cached_property
    def ground(self) -> GroundState:
        """The sentences of the batch grounded in its scenes."""
        return self.model.fusion(self.state, self.language.sentences)

    @cached_property
    def boxes(self) -> Tensor:
        """[B,N,6]: predicted boxes of the ground-truth masks."""
        return self.model.box_head(self.state, self.objects.masks)


class SceneSource(Protocol):
    """The scenes of a training set by number, in memory or on disk."""

    names: Sequence[str]

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> TrainScene: ...

    def labels(self, row: int) -> SceneLabels:
        """Return objects and language of a scene, which is quicker than the whole scene."""


class TrainSet:
    """The scenes of a training and what all of them hold.

    Args:
        scenes: the training scenes.
        texts: a `TextFeatures`.
        classes: names of the object classes.
        facts_hold: tells whether a caption's facts are true of an annotation.
        phrase_holds: tells whether a phrase describes an annotation's object.
        parse_mentions: returns what a sentence mentions of some objects, in its order: their
            indices (`objects`) and their `colour`.

    Attributes:
        measured: numbers of the scenes on which means and frequencies are measured.
        colours: all names of colours of objects, sorted.
        words: the words of all answers and captions (`build_words`).
    """

    def __init__(
        self,
        scenes: SceneSource,
        texts: Any,
        classes: Sequence[str],
        facts_hold: Callable[[Any, Mapping], bool],
        phrase_holds: Callable[[Mapping, Mapping], bool],
        parse_mentions: Callable[[str, Sequence[Mapping]], list[Any]],
    ) -> None:
        self.scenes, self.texts = scenes, texts
        self.facts_hold, self.phrase_holds = facts_hold, phrase_holds
        self.parse_mentions = parse_mentions
        self.classes = tuple(classes)
        colours: set[str] = set()
        sentences: set[str] = set()
        for row in range(len(scenes)):
            labels = scenes.labels(row)
            colours.update(labels.colours.values())
            sentences.update(item["answer"] for item in labels.annotation["questions"])
            sentences.update(item["text"] for item in labels.annotation["captions"])
        self.measured = range(min(len(scenes), MEASURED_SCENES))
        self.colours = tuple(sorted(colours - {""}))
        self.words = build_words(sentences)
        self._mentions: dict[tuple[Any, ...], list[Any]] = {}
        self._relevant: dict[tuple[str, str, str], bool] = {}

    def relevant(self, scene: SceneLabels, caption: Mapping[str, Any], other: SceneLabels) -> bool:
        """Return whether a caption of `scene` is true of `other`."""
        if scene is other:
            return True
        key = (scene.name, caption["id"], other.name)
        if key not in self._relevant:
            self._relevant[key] = bool(self.facts_hold(caption["facts"], other.annotation))
        return self._relevant[key]

    def mentions(self, scene: SceneLabels, text: str, about: Sequence[int]) -> list[Any]:
        """Return what a sentence about the objects of these indices mentions, in its order."""
        key = (scene.name, text, *about)
        if key not in self._mentions:
            some = [item for item in scene.annotation["objects"] if item["index"] in about]
            self._mentions[key] = self.parse_mentions(text, some)
        return self._mentions[key]

    def colour_number(self, name: str | None) -> int:
        """Return a colour's place among `colours`.

        The place after the last stands for no colour (""), and -1 for an unknown one: None, or a
        colour that no training object has.
        """
        if name == "":
            return len(self.colours)
        return self.colours.index(name) if name in self.colours else -1

    def order(self, seed: int, step: int, batch: int) -> np.ndarray:
        """Return the rows of the scenes in one batch: a run through shuffled epochs.

        Args:
            seed: of the training.
            step: number of the batch in the training.
            batch: scenes in a batch.
        """
        count = len(self.scenes)
        place = np.arange(step * batch, (step + 1) * batch)
        epochs = {
            int(epoch): rng(seed, "order", str(epoch)).permutation(count)
            for epoch in np.unique(place // count)
        }
        return np.array([epochs[int(p // count)][p % count] for p in place])


def fixed_share(names: Sequence[str], share: float, purpose: str) -> np.ndarray:
    """Return which scenes belong to a fixed share, bool [scenes]; a smaller share is a subset."""
    draws = [rng(0, purpose, name).random() for name in names]
    chosen = np.zeros(len(draws), bool)
    chosen[np.argsort(draws, kind="stable")[: round(share * len(draws))]] = True
    return chosen


def geometry_batch(
    scenes: Sequence[TrainScene],
    supervised: np.ndarray,
    classes: int,
    queries: int,
    random: np.random.Generator,
) -> GeometryTargets:
    """Return the dense targets of scenes, with sampled occupancy queries.

    Args:
        scenes: the B scenes of a batch.
        supervised: bool [B], whether 3D labels may be used.
        classes: number of object classes.
        queries: occupancy queries per scene, half uniform and half near solids.
        random: samples the queries.
    """
    names = np.full((len(scenes), len(scenes[0].depth)), -1, np.int64)
    boxes = np.zeros((*names.shape, 6), np.float32)
    xyz, solid = [], []
    for row, scene in enumerate(scenes):
        owned = scene.owner >= 0
        names[row, scene.owner == STRUCTURE] = classes
        names[row, owned] = scene.all_classes[scene.owner[owned]]
        boxes[row, owned] = scene.all_boxes[scene.owner[owned]]
        chosen = random.integers(POOL, size=queries)
        # The second half of the pool is near solids.
        chosen[queries // 2 :] += POOL
        xyz.append(scene.pool[chosen])
        solid.append(scene.solid[chosen])
    values = (
        np.stack([scene.depth for scene in scenes]).astype(np.float32),
        np.stack([scene.normal for scene in scenes]).astype(np.float32) / 127,
        names,
        boxes,
        (names >= 0) & (names < classes) & supervised[:, None],
        np.stack(xyz),
        np.stack(solid).astype(np.float32),
        supervised.astype(np.float32),
    )
    return GeometryTargets(*(torch.from_numpy(value) for value in values))


def sample(items: Sequence[Any], count: int, random: np.random.Generator) -> list[Any]:
    """Return up to `count` of the items in random order."""
    return [items[place] for place in random.permutation(len(items))[:count]]


def object_batch(scenes: Sequence[TrainScene]) -> ObjectTargets:
    """Return the targets of the objects of the B scenes of a batch."""
    classes = pad([scene.classes for scene in scenes], -1)
    return ObjectTargets(
        masks=pad([mask_shares(scene.masks) for scene in scenes]),
        present=classes >= 0,
        boxes=pad([scene.boxes for scene in scenes]),
        yaw=pad([scene.yaw for scene in scenes]),
        classes=classes,
        relations=_relations(scenes, classes.shape[1]),
    )


def language_batch(
    data: TrainSet,
    scenes: Sequence[TrainScene],
    vocabulary: Vocabulary,
    counts: Mapping[str, int],
    random: np.random.Generator,
) -> LanguageTargets:
    """Sample sentences of every scene and return them with their targets.

    Args:
        data: the training set.
        scenes: the B scenes of a batch.
        vocabulary: of the decoder.
        counts: references, questions, captions and phrases per scene.
        random: samples the sentences.
    """
    sampled = [
        {name: sample(scene.annotation[name], counts[name], random) for name in counts}
        for scene in scenes
    ]
    size = max(1, max(len(scene.rows) for scene in scenes))
    sentences = _sentences(data, sampled, counts["references"])
    return LanguageTargets(
        sentences=sentences,
        roles=_roles(scenes, sampled, (len(scenes), counts["references"], size)),
        named=_named(scenes, sampled, counts["references"], sentences.present.shape[1]),
        answers=encode_words(
            [[question["answer"] for question in one["questions"]] for one in sampled],
            *(vocabulary, START, ANSWER_WORDS),
        ),
        caption=encode_words(
            [[caption["text"] for caption in one["captions"][:1]] for one in sampled],
            *(vocabulary, CAPTION, CAPTION_WORDS),
        ),
        captions=_texts(data, sampled, "captions"),
        caption_scenes=_caption_scenes(data, scenes, sampled),
        phrases=_texts(data, sampled, "phrases"),
        phrase_objects=_phrase_objects(data, scenes, sampled, size),
    )


def _texts(data: TrainSet, sampled: Sequence[Mapping], name: str) -> TextBatch:
    """Return the sampled sentences: captions or phrases."""
    return build_text(data.texts, [[item["text"] for item in one[name]] for one in sampled])


def _sentences(data: TrainSet, sampled: Sequence[Mapping], references: int) -> TextBatch:
    """Return the references, padded to their number, then the questions of every scene."""
    filler = next((r["text"] for one in sampled for r in one["references"]), None)
    rows = []
    for one in sampled:
        texts = [item["text"] for item in one["references"]]
        if filler is not None:
            texts += [filler] * (references - len(texts))
        rows.append(texts + [item["text"] for item in one["questions"]])
    return build_text(data.texts, rows)


def _roles(scenes: Sequence[TrainScene], sampled: Sequence[Mapping], shape: tuple) -> Tensor:
    """Return targets, anchors and objects of the targets' class [3,B,R,N]; -1 = no reference."""
    out = np.zeros((3, *shape), np.float32)
    for b, (scene, one) in enumerate(zip(scenes, sampled, strict=True)):
        out[:, b, len(one["references"]) :] = -1
        for r, reference in enumerate(one["references"]):
            for role, name in enumerate(("targets", "anchors")):
                out[role, b, r, [scene.rows[i] for i in reference[name] if i in scene.rows]] = 1
            classes = scene.classes[out[0, b, r, : len(scene.classes)] > 0]
            out[2, b, r, : len(scene.classes)] = np.isin(scene.classes, classes)
    return torch.from_numpy(out)


def _named(
    scenes: Sequence[TrainScene], sampled: Sequence[Mapping], references: int, size: int
) -> Tensor:
    """Return the class i64 [B,S] of the objects that a reference means or a question counts.

    It is -1 where the scene has none of them, or where a question is about several classes.
    """
    out = np.full((len(scenes), size), -1, np.int64)
    for b, (scene, one) in enumerate(zip(scenes, sampled, strict=True)):
        meant = [(row, item["targets"]) for row, item in enumerate(one["references"])]
        meant += [
            (references + row, item["objects"])
            for row, item in enumerate(one["questions"])
            if item["type"] in ONE_CLASS
        ]
        for row, objects in meant:
            classes = {int(scene.classes[scene.rows[i]]) for i in objects if i in scene.rows}
            if len(classes) == 1:
                out[b, row] = classes.pop()
    return torch.from_numpy(out)


def pad(rows: Sequence[ArrayLike], fill: float = 0) -> Tensor:
    """Return rows [N,...] of several scenes, padded to the largest N and at least 1: [B,N,...]."""
    first, size = np.asarray(rows[0]), max(1, *map(len, rows))
    out = np.full((len(rows), size, *first.shape[1:]), fill, first.dtype)
    for padded, row in zip(out, rows, strict=True):
        padded[: len(row)] = row
    return torch.from_numpy(out)


def _relations(scenes: Sequence[TrainScene], size: int) -> Tensor:
    """Return the labels i64 [K,B,N,N] of every family, padded with -1."""
    out = np.full((len(FAMILIES), len(scenes), size, size), -1, np.int64)
    for b, scene in enumerate(scenes):
        count = len(scene.rows)
        out[:, b, :count, :count] = [scene.relations[family] for family in FAMILIES]
    return torch.from_numpy(out)


def encode_words(
    texts: Sequence[Sequence[str]], vocabulary: Vocabulary, start: str, limit: int
) -> Tensor:
    """Return the words of texts as padded numbers.

    Args:
        texts: K texts of each of B scenes.
        vocabulary: of the decoder.
        start: first word of every text.
        limit: most words of a text.

    Returns:
        i64 [B,K,A].
    """
    rows = [[vocabulary.encode(text, start, limit) for text in line] for line in texts]
    columns = max(1, max(len(line) for line in rows))
    length = max([2, *(len(row) for line in rows for row in line)])
    out = np.full((len(rows), columns, length), vocabulary.index[PAD], np.int64)
    for b, line in enumerate(rows):
        for q, row in enumerate(line):
            out[b, q, : len(row)] = row
    return torch.from_numpy(out)


def log_numbers(texts: Sequence[Sequence[str]]) -> Tensor:
    """Return logs f32 [B,K] of the texts that are numbers (`number_word`), NaN for the others."""
    logs = [
        [math.log(max(float(text), LEAST_NUMBER)) if number_word(text) else np.nan for text in line]
        for line in texts
    ]
    return pad([np.array(line, np.float32) for line in logs], np.nan)


def _caption_scenes(
    data: TrainSet, scenes: Sequence[TrainScene], sampled: Sequence[Mapping]
) -> Tensor:
    """Return which scenes each caption is true of, [B,captions,B]."""
    columns = max(1, max(len(one["captions"]) for one in sampled))
    out = np.zeros((len(scenes), columns, len(scenes)), np.float32)
    for b, (scene, one) in enumerate(zip(scenes, sampled, strict=True)):
        for c, caption in enumerate(one["captions"]):
            out[b, c] = [data.relevant(scene, caption, other) for other in scenes]
    return torch.from_numpy(out)


def _phrase_objects(
    data: TrainSet, scenes: Sequence[TrainScene], sampled: Sequence[Mapping], size: int
) -> Tensor:
    """Return which objects of all scenes each phrase describes, [B,phrases,B*N]."""
    columns = max(1, max(len(one["phrases"]) for one in sampled))
    out = np.zeros((len(scenes), columns, len(scenes), size), np.float32)
    for b, one in enumerate(sampled):
        for h, phrase in enumerate(one["phrases"]):
            for other, scene in enumerate(scenes):
                for entry in scene.annotation["objects"]:
                    row = scene.rows.get(entry["index"])
                    if row is not None and data.phrase_holds(phrase, entry):
                        out[b, h, other, row] = 1
    return torch.from_numpy(out.reshape(*out.shape[:2], -1))
