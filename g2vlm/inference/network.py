"""A trained model as questions about one scene, answered in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from g2vlm.features.device import device_or_best
from g2vlm.inference.points import CellMap
from g2vlm.models.batch import build_batch, build_text, object_masks
from g2vlm.models.checkpoint import load_model
from g2vlm.models.config import ModelConfig
from g2vlm.models.decoder import PAD, START
from g2vlm.models.detection import PointClasses, point_classes, to_numpy
from g2vlm.models.heads import pool_scene
from g2vlm.models.qa_context import Found
from metrics.files import InputError, read_json

if TYPE_CHECKING:
    from g2vlm.features import SceneFeatures, TextFeatures
    from g2vlm.models.model import G2VLM
    from g2vlm.models.referring_head import ObjectSet
    from g2vlm.models.state import SceneState
    from g2vlm.scenes.dataset import SceneInputs

ANSWER_TOKENS = 8
# On a CPU small chunks stay in its cache: 8 against 25 microseconds a query.
_QUERIES_A_CHUNK = {"cpu": 2048, "cuda": 65_536}


class Network:
    """A model folder (model.safetensors, config.json, cost.json) ready to predict.

    Raises `InputError` naming the file that is missing, damaged or of another configuration.
    """

    def __init__(
        self,
        model_dir: str | Path,
        texts: TextFeatures,
        device: str | None = None,
        threads: int = 1,
    ) -> None:
        torch.set_num_threads(threads)
        self.folder = Path(model_dir)
        self.device = device_or_best(device)
        self.model: G2VLM = load_model(self.folder).to(self.device).eval()
        self.config: ModelConfig = self.model.config
        self.texts = texts
        self.seed = int(read_json(self.folder / "config.json").get("seed", 0))
        cost = self.folder / "cost.json"
        self.cost: dict[str, Any] = read_json(cost) if cost.is_file() else {}
        if texts.width != self.config.text_features:
            raise InputError(
                f"{texts.path}: texts of {texts.width} features for a model of "
                f"{self.config.text_features}; train again on these features"
            )

    def encode(self, inputs: SceneInputs, features: SceneFeatures) -> EncodedScene:
        """Run the scene through the model once."""
        with torch.inference_mode():
            batch = build_batch([inputs], [features], self.config).to(self.device)
            return EncodedScene(self, inputs, self.model.encode(batch))

    @torch.inference_mode()
    def captions(self, states: Sequence[SceneState]) -> list[str]:
        """Return a sentence about each scene; the captioner reads the states' tokens alone."""
        found = [""] * len(states)
        # Scenes of as many views are read together.
        for size in {state.tokens.shape[1] for state in states}:
            places = [k for k, state in enumerate(states) if state.tokens.shape[1] == size]
            joined = replace(states[0], tokens=torch.cat([states[k].tokens for k in places]))
            for place, text in zip(places, self.model.caption(joined), strict=True):
                found[place] = text
        return found

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str], phrases: bool = False) -> np.ndarray:
        """Return unit embeddings [Q, E] of captions, or of context-free phrases."""
        embed = self.model.embed_phrase if phrases else self.model.embed_text
        rows = [
            to_numpy(embed(build_text(self.texts, [texts[i : i + 256]]).to(self.device))[0])
            for i in range(0, len(texts), 256)
        ]
        return np.concatenate(rows) if rows else np.zeros((0, self.config.embedding), np.float32)

    def read_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return the frozen text encoder's embeddings [Q, W]."""
        return build_text(self.texts, [texts]).pooled[0].numpy()


class EncodedScene:
    """One encoded scene. P points: the 4-pixel cells of the input views, view after view."""

    def __init__(self, network: Network, inputs: SceneInputs, state: SceneState) -> None:
        self.network = network
        self.inputs = inputs
        self.state = state
        self.masks = object_masks(inputs.given_masks, len(inputs.given_indices))

    def cells(self) -> CellMap:
        """Return the pointmap on cells."""
        config = self.network.config
        grid = (len(self.inputs.rgb), *self.state.grid.cells)
        sensed = to_numpy(self.state.batch.depth[0]).reshape(grid) if config.senses else None
        depth = self.state.depth
        return CellMap(
            to_numpy(self.state.points[0]).reshape(*grid, 3),
            None if depth is None else to_numpy(depth[0]).reshape(grid),
            sensed,
            to_numpy(self.state.confidence[0]).reshape(grid),
        )

    def kinds(self) -> PointClasses:
        """Return what each point says about its object."""
        return point_classes(self.state, self.network.config, 0)

    @torch.inference_mode()
    def occupancy(self, xyz: np.ndarray) -> np.ndarray:
        """Return occupancy logits [N] at float32 positions [N, 3] in the frame."""
        places = torch.from_numpy(xyz).to(self.network.device)
        size = _QUERIES_A_CHUNK["cpu" if places.device.type == "cpu" else "cuda"]
        rows = [
            self.network.model.occupancy(self.state, part[None])[0] for part in places.split(size)
        ]
        return to_numpy(torch.cat(rows)) if rows else np.zeros(0, np.float32)

    @torch.inference_mode()
    def ground(self, queries: Sequence[str]) -> np.ndarray:
        """Return logits [Q, P]: the target of each of Q queries covers the point."""
        text = build_text(self.network.texts, [queries]).to(self.network.device)
        return to_numpy(self.network.model.ground(self.state, text).point_logits[0])

    def objects(self, masks: np.ndarray, boxes: np.ndarray) -> ObjectSet:
        """Return the objects of masks [N, P] and boxes [N, 6]; one absent where there are none."""
        if not len(masks):
            masks, boxes = np.zeros((1, self.masks.shape[1])), np.zeros((1, 6))
        parts = (torch.from_numpy(value).float() for value in (masks, boxes))
        inside, where = (part.to(self.network.device)[None] for part in parts)
        return self.network.model.see_objects(self.state, inside, where)

    @torch.inference_mode()
    def read(
        self, queries: Sequence[str], masks: np.ndarray, boxes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return logits [Q, N] that a query means an object, of masks [N, P] and boxes [N, 6], and
        logits [Q] that it means none."""
        if not queries:
            return np.zeros((0, len(masks)), np.float32), np.zeros(0, np.float32)
        text = build_text(self.network.texts, [queries]).to(self.network.device)
        found = self.network.model.reader(text, self.objects(masks, boxes))
        return to_numpy(found.logits[0, :, : len(masks)]), to_numpy(found.zero_logit[0])

    @torch.inference_mode()
    def boxes(self, masks: np.ndarray) -> np.ndarray:
        """Return the amodal boxes [N, 6] of the objects under masks [N, P] (0..1)."""
        inside = torch.from_numpy(masks).float().to(self.network.device)[None]
        return to_numpy(self.network.model.object_boxes(self.state, inside)[0])

    @cached_property
    def given_boxes(self) -> np.ndarray:
        """The model's own boxes [N, 6] of the given objects."""
        return self.boxes(self.masks)

    @torch.inference_mode()
    def relations(self, masks: np.ndarray, boxes: np.ndarray) -> dict[str, np.ndarray]:
        """Return each family's probabilities [N, N, K] for objects of masks [N, P], boxes [N, 6].

        K runs over `metrics.scene_graph.predicates.LABELS[family]`.
        """
        device = self.network.device
        inside, where = (torch.from_numpy(v).float().to(device)[None] for v in (masks, boxes))
        logits = self.network.model.relations(self.state, inside, where).families
        return {family: to_numpy(values[0].softmax(-1)) for family, values in logits.items()}

    @torch.inference_mode()
    def answers(
        self,
        questions: Sequence[str],
        choices: Sequence[Sequence[str]],
        masks: np.ndarray,
        boxes: np.ndarray,
    ) -> list[str]:
        """Return the greedy answer to each of Q questions, given objects as in `read`.

        Where a question names its choices and the greedy answer is none of them, the likeliest
        choice is taken.
        """
        if not questions:
            return []
        model = self.network.model
        text = build_text(self.network.texts, [questions]).to(self.network.device)
        objects = self.objects(masks, boxes)
        (said,), found = model.answer(self.state, text, objects, ANSWER_TOKENS)
        odd = [r for r, names in enumerate(choices) if names and said[r] not in names]
        if odd:
            best = self._likeliest(found, odd, [choices[row] for row in odd])
            for row, name in zip(odd, best, strict=True):
                said[row] = name
        return said

    def _likeliest(
        self, found: Found, rows: Sequence[int], choices: Sequence[Sequence[str]]
    ) -> list[str]:
        """Return for each of the questions `rows` the choice that the decoder finds likeliest."""
        model = self.network.model
        pad = model.vocabulary.index[PAD]
        owner = [place for place, names in enumerate(choices) for _ in names]
        lines = [
            model.vocabulary.encode(name, START, 3 * ANSWER_TOKENS)
            for names in choices
            for name in names
        ]
        words = torch.full((1, len(lines), max(map(len, lines))), pad)
        for place, line in enumerate(lines):
            words[0, place, : len(line)] = torch.tensor(line)
        words = words.to(self.network.device)
        which = [rows[place] for place in owner]
        scene = model.decoder.read_scene(self.state.tokens)
        memory, hints = found.memory[:, which], found.hints.take(which)
        shares = model.decoder(words[..., :-1], scene, memory, hints).logits.log_softmax(-1)
        following = words[..., 1:]
        each = shares.gather(-1, following[..., None])[..., 0] * (following != pad)
        total, owners = to_numpy(each.sum(-1)[0]), np.array(owner)
        return [names[int(total[owners == place].argmax())] for place, names in enumerate(choices)]

    @torch.inference_mode()
    def embedding(self) -> np.ndarray:
        """Return the scene's unit embedding [E]."""
        return to_numpy(self.network.model.embed_scene(self.state)[0])

    @torch.inference_mode()
    def pooled(self) -> np.ndarray:
        """Return what the trunk says of the whole scene [D]: what the retrieval probe reads."""
        return to_numpy(pool_scene(self.state)[0])

    @torch.inference_mode()
    def object_embeddings(self) -> np.ndarray:
        """Return the unit embeddings [N, E] of the given objects."""
        device = self.network.device
        masks, boxes = (
            torch.from_numpy(v).to(device)[None] for v in (self.masks, self.given_boxes)
        )
        return to_numpy(self.network.model.embed_objects(self.state, masks, boxes)[0])
