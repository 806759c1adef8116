"""The training set in memory, and the batch of one step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g2vlm.models.batch import SceneBatch, TextBatch, build_text, scene_arrays, stack_scenes
from g2vlm.models.config import ModelConfig
from g2vlm.models.decoder import CAPTION, LEAST_NUMBER, PAD, START, Vocabulary, number_word
from g2vlm.training.targets import POOL, TrainScene, covered, train_scene
from metrics.files import rng
from metrics.scene_graph.predicates import FAMILIES

ANSWER_WORDS = 10
CAPTION_WORDS = 48
# Types of questions whose objects are all of the class that is asked for.
ONE_CLASS = ("count", "existence")


@dataclass(frozen=True)
class GeometryTargets:
    """Dense truth of B scenes. P points, K occupancy queries.

    depth [B,P] metres, 0 = none; normal [B,P,3], 0 = none; classes i64[B,P] (the number of classes
    = structure, -1 = unknown); boxes [B,P,6] of the point's object; votes bool[B,P]: the box may be
    learned; queries [B,K,3]; solid [B,K]; supervised [B]: 1 where 3D labels may be seen.
    """

    depth: Tensor
    normal: Tensor
    classes: Tensor
    boxes: Tensor
    votes: Tensor
    queries: Tensor
    solid: Tensor
    supervised: Tensor

    def to(self, device: torch.device | str) -> GeometryTargets:
        """Return the targets on another device."""
        return GeometryTargets(**{k: v.to(device) for k, v in vars(self).items()})


@dataclass(frozen=True)
class LanguageTargets:
    """Objects and sentences of B scenes. N objects, R references, S sentences (R first).

    masks [B,N,P] shares; present bool[B,N]; boxes [B,N,6]; yaw [B,N]; classes i64[B,N], -1 = not
    present; relations {family: i64[B,N,N]}, -1 = void; sentences (references, then questions);
    targets, anchors, rivals [B,R,N]: the objects meant, named as anchors, and of the targets'
    class; named i64[B,S]: the class that a sentence asks for, -1 = none or several; answers
    i64[B,S-R,A] words; caption i64[B,1,A]; captions and phrases to align, with the scenes [B,C,B]
    and objects [B,H,B*N] they hold for.
    """

    masks: Tensor
    present: Tensor
    boxes: Tensor
    yaw: Tensor
    classes: Tensor
    relations: dict[str, Tensor]
    sentences: TextBatch
    targets: Tensor
    anchors: Tensor
    rivals: Tensor
    named: Tensor
    answers: Tensor
    caption: Tensor
    captions: TextBatch
    caption_scenes: Tensor
    phrases: TextBatch
    phrase_objects: Tensor

    def to(self, device: torch.device | str) -> LanguageTargets:
        """Return the targets on another device."""
        moved = {k: v.to(device) for k, v in vars(self).items() if k != "relations"}
        relations = {k: v.to(device) for k, v in self.relations.items()}
        return LanguageTargets(relations=relations, **moved)


class TrainSet:
    """All training scenes in memory, prepared once (about 1.2 MB a scene at 128 x 96).

    `holds` says whether a caption's facts are true of an annotation, `fits` whether a phrase
    describes an annotation's object, `mentioned` what a sentence mentions of some objects, in its
    order: `objects` by index and their `colour`. Of `share` below 1 a fixed part of the scenes is
    kept; a smaller part lies within a larger one.
    """

    def __init__(
        self,
        store: Any,
        images: Any,
        texts: Any,
        classes: Sequence[str],
        holds: Callable[[Any, Mapping], bool],
        fits: Callable[[Mapping, Mapping], bool],
        mentioned: Callable[[str, Sequence[Mapping]], list[Any]],
        share: float = 1.0,
    ) -> None:
        self.scenes: list[TrainScene] = []
        self.texts = texts
        self.holds, self.fits, self.mentioned = holds, fits, mentioned
        self.classes = tuple(classes)
        kept = drawn_share(store.ids, share, "train_scenes")
        for name in np.array(store.ids)[kept].tolist():
            inputs, features = store.inputs(name), images[name]
            arrays = scene_arrays(inputs, features.tokens, features.points)
            views, annotation = store.views(name), store.annotation(name)
            self.scenes.append(train_scene(arrays, inputs, views, annotation, classes))
        painted = {name for scene in self.scenes for name in scene.colours.values()}
        self.colours = tuple(sorted(painted - {""}))
        self._mentions: dict[tuple[Any, ...], list[Any]] = {}
        self._relevant: dict[tuple[str, str, str], bool] = {}

    def relevant(self, scene: TrainScene, caption: Mapping[str, Any], other: TrainScene) -> bool:
        """Whether a caption of `scene` is true of `other`."""
        if scene is other:
            return True
        key = (scene.inputs.scene, caption["id"], other.inputs.scene)
        if key not in self._relevant:
            self._relevant[key] = bool(self.holds(caption["facts"], other.annotation))
        return self._relevant[key]

    def mentions(self, scene: TrainScene, text: str, about: Sequence[int]) -> list[Any]:
        """What a sentence about the objects of these indices mentions, in its order."""
        key = (scene.inputs.scene, text, *about)
        if key not in self._mentions:
            some = [item for item in scene.annotation["objects"] if item["index"] in about]
            self._mentions[key] = self.mentioned(text, some)
        return self._mentions[key]

    def colour_number(self, name: str | None) -> int:
        """A colour's place among `colours`, the one after the last for none (""), -1 = not known:
        no name, or a colour that no training object has."""
        if name == "":
            return len(self.colours)
        return self.colours.index(name) if name in self.colours else -1

    def supervised(self, share: float) -> np.ndarray:
        """Which scenes' 3D labels may be seen: a fixed `share` of them, bool[scenes]."""
        return drawn_share([scene.inputs.scene for scene in self.scenes], share, "supervision_3d")

    def order(self, seed: int, step: int, batch: int) -> np.ndarray:
        """The scenes of one step: consecutive runs through shuffled epochs."""
        count = len(self.scenes)
        place = np.arange(step * batch, (step + 1) * batch)
        epochs = {
            int(epoch): rng(seed, "order", str(epoch)).permutation(count)
            for epoch in np.unique(place // count)
        }
        return np.array([epochs[int(p // count)][p % count] for p in place])


def drawn_share(names: Sequence[str], share: float, purpose: str) -> np.ndarray:
    """Which of the scenes belong to a fixed share, bool[scenes]; shares are nested."""
    draws = [rng(0, purpose, name).random() for name in names]
    chosen = np.zeros(len(draws), bool)
    chosen[np.argsort(draws, kind="stable")[: round(share * len(draws))]] = True
    return chosen


def geometry_batch(
    scenes: Sequence[TrainScene],
    supervised: np.ndarray,
    classes: int,
    queries: int,
    draw: np.random.Generator,
) -> GeometryTargets:
    """Stack the dense truth and draw occupancy queries, half uniform and half near solids."""
    names = np.full((len(scenes), len(scenes[0].depth)), -1, np.int64)
    boxes = np.zeros((*names.shape, 6), np.float32)
    xyz, solid = [], []
    for row, scene in enumerate(scenes):
        owned = scene.owner >= 0
        names[row, scene.owner == -1] = classes
        names[row, owned] = scene.all_classes[scene.owner[owned]]
        boxes[row, owned] = scene.all_boxes[scene.owner[owned]]
        half = draw.integers(POOL, size=queries)
        half[queries // 2 :] += POOL
        xyz.append(scene.pool[half])
        solid.append(scene.solid[half])
    votes = (names >= 0) & (names < classes) & supervised[:, None]
    values = (
        np.stack([scene.depth for scene in scenes]).astype(np.float32),
        np.stack([scene.normal for scene in scenes]).astype(np.float32) / 127,
        names,
        boxes,
        votes,
        np.stack(xyz),
        np.stack(solid).astype(np.float32),
        supervised.astype(np.float32),
    )
    return GeometryTargets(*(torch.from_numpy(value) for value in values))


def _pick(items: Sequence[Any], count: int, draw: np.random.Generator) -> list[Any]:
    chosen = draw.permutation(len(items))[:count]
    return [items[place] for place in chosen]


def language_batch(
    data: TrainSet,
    scenes: Sequence[TrainScene],
    vocabulary: Vocabulary,
    counts: Mapping[str, int],
    draw: np.random.Generator,
) -> LanguageTargets:
    """Draw sentences of every scene and gather what they are about.

    `counts` gives how many references, questions, captions and phrases a scene.
    """
    drawn = [
        {name: _pick(scene.annotation[name], counts[name], draw) for name in counts}
        for scene in scenes
    ]
    size = max(1, max(len(scene.rows) for scene in scenes))
    sentences = _sentences(data, drawn, counts["references"])
    roles = _roles(scenes, drawn, (len(scenes), counts["references"], size))
    masks, boxes, yaw, classes = _objects(scenes, size)
    answers = [[q["answer"] for q in one["questions"]] for one in drawn]
    told = [[c["text"] for c in one["captions"][:1]] for one in drawn]
    return LanguageTargets(
        masks=masks,
        present=classes >= 0,
        boxes=boxes,
        yaw=yaw,
        classes=classes,
        relations={family: _relations(scenes, family, size) for family in FAMILIES},
        sentences=sentences,
        targets=roles[0],
        anchors=roles[1],
        rivals=roles[2],
        named=_named(scenes, drawn, counts["references"], sentences.present.shape[1]),
        answers=encode_words(answers, vocabulary, START, ANSWER_WORDS),
        caption=encode_words(told, vocabulary, CAPTION, CAPTION_WORDS),
        captions=_texts(data, drawn, "captions"),
        caption_scenes=_caption_scenes(data, scenes, drawn),
        phrases=_texts(data, drawn, "phrases"),
        phrase_objects=_phrase_objects(data, scenes, drawn, size),
    )


def _texts(data: TrainSet, drawn: Sequence[Mapping], name: str) -> TextBatch:
    return build_text(data.texts, [[item["text"] for item in one[name]] for one in drawn])


def _sentences(data: TrainSet, drawn: Sequence[Mapping], references: int) -> TextBatch:
    """References padded to their number, then questions, so that every row splits at one place."""
    filler = next((r["text"] for one in drawn for r in one["references"]), None)
    rows = []
    for one in drawn:
        texts = [item["text"] for item in one["references"]]
        if filler is not None:
            texts += [filler] * (references - len(texts))
        rows.append(texts + [item["text"] for item in one["questions"]])
    return build_text(data.texts, rows)


def _roles(scenes: Sequence[TrainScene], drawn: Sequence[Mapping], shape: tuple) -> Tensor:
    """Multi-hot [3,B,R,N]: targets, anchors, objects of the targets' class; -1 = no reference."""
    out = np.zeros((3, *shape), np.float32)
    for b, (scene, one) in enumerate(zip(scenes, drawn, strict=True)):
        out[:, b, len(one["references"]) :] = -1
        for r, reference in enumerate(one["references"]):
            for role, name in enumerate(("targets", "anchors")):
                out[role, b, r, [scene.rows[i] for i in reference[name] if i in scene.rows]] = 1
            kinds = scene.classes[out[0, b, r, : len(scene.classes)] > 0]
            out[2, b, r, : len(scene.classes)] = np.isin(scene.classes, kinds)
    return torch.from_numpy(out)


def _named(
    scenes: Sequence[TrainScene], drawn: Sequence[Mapping], references: int, size: int
) -> Tensor:
    """The class i64[B,S] of the objects that references mean, or that a question counts or seeks;
    -1 where the scene has none of them or the question is about several classes."""
    out = np.full((len(scenes), size), -1, np.int64)
    for b, (scene, one) in enumerate(zip(scenes, drawn, strict=True)):
        meant = [(row, item["targets"]) for row, item in enumerate(one["references"])]
        meant += [
            (references + row, item["objects"])
            for row, item in enumerate(one["questions"])
            if item["type"] in ONE_CLASS
        ]
        for row, objects in meant:
            kinds = {int(scene.classes[scene.rows[i]]) for i in objects if i in scene.rows}
            if len(kinds) == 1:
                out[b, row] = kinds.pop()
    return torch.from_numpy(out)


def _objects(scenes: Sequence[TrainScene], size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Masks, boxes, yaw and classes (-1 = padding) of the scenes' objects, padded to `size`."""
    masks = np.zeros((len(scenes), size, len(scenes[0].depth)), np.float32)
    boxes = np.zeros((len(scenes), size, 6), np.float32)
    yaw = np.zeros((len(scenes), size), np.float32)
    classes = np.full((len(scenes), size), -1, np.int64)
    for b, scene in enumerate(scenes):
        count = len(scene.rows)
        masks[b, :count] = covered(scene.masks)
        boxes[b, :count] = scene.boxes
        yaw[b, :count] = scene.yaw
        classes[b, :count] = scene.classes
    return tuple(torch.from_numpy(value) for value in (masks, boxes, yaw, classes))


def _relations(scenes: Sequence[TrainScene], family: str, size: int) -> Tensor:
    out = np.full((len(scenes), size, size), -1, np.int64)
    for b, scene in enumerate(scenes):
        count = len(scene.rows)
        out[b, :count, :count] = scene.relations[family]
    return torch.from_numpy(out)


def encode_words(
    texts: Sequence[Sequence[str]], vocabulary: Vocabulary, start: str, limit: int
) -> Tensor:
    """Words i64[B,K,A] of K texts a scene, padded; `limit` bounds A."""
    rows = [[vocabulary.encode(text, start, limit) for text in line] for line in texts]
    columns = max(1, max(len(line) for line in rows))
    length = max([2, *(len(row) for line in rows for row in line)])
    out = np.full((len(rows), columns, length), vocabulary.index[PAD], np.int64)
    for b, line in enumerate(rows):
        for q, row in enumerate(line):
            out[b, q, : len(row)] = row
    return torch.from_numpy(out)


def log_numbers(texts: Sequence[Sequence[str]]) -> Tensor:
    """Logs f32[B,K] of the texts that are numbers (`number_word`), NaN of the others."""
    out = np.full((len(texts), max(1, max(map(len, texts)))), np.nan, np.float32)
    for row, line in zip(out, texts, strict=True):
        for place, text in enumerate(line):
            if number_word(text):
                row[place] = math.log(max(float(text), LEAST_NUMBER))
    return torch.from_numpy(out)


def _caption_scenes(
    data: TrainSet, scenes: Sequence[TrainScene], drawn: Sequence[Mapping]
) -> Tensor:
    columns = max(1, max(len(one["captions"]) for one in drawn))
    out = np.zeros((len(scenes), columns, len(scenes)), np.float32)
    for b, (scene, one) in enumerate(zip(scenes, drawn, strict=True)):
        for c, caption in enumerate(one["captions"]):
            out[b, c] = [data.relevant(scene, caption, other) for other in scenes]
    return torch.from_numpy(out)


def _phrase_objects(
    data: TrainSet, scenes: Sequence[TrainScene], drawn: Sequence[Mapping], size: int
) -> Tensor:
    columns = max(1, max(len(one["phrases"]) for one in drawn))
    out = np.zeros((len(scenes), columns, len(scenes), size), np.float32)
    for b, one in enumerate(drawn):
        for h, phrase in enumerate(one["phrases"]):
            for other, scene in enumerate(scenes):
                for entry in scene.annotation["objects"]:
                    row = scene.rows.get(entry["index"])
                    if row is not None and data.fits(phrase, entry):
                        out[b, h, other, row] = 1
    return torch.from_numpy(out.reshape(*out.shape[:2], -1))


def input_batch(scenes: Sequence[TrainScene], config: ModelConfig) -> SceneBatch:
    """Stack the scenes' inputs."""
    return stack_scenes([scene.inputs for scene in scenes], config)
