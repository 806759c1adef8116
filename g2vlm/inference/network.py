"""A trained model with NumPy in and out: `Network` encodes a scene, `EncodedScene` queries it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from g2vlm.features.packages import device_or_best
from g2vlm.features.readers import SceneFeatures, TextFeatures
from g2vlm.inference.points import CellMap
from g2vlm.models.batch import build_batch, build_text, object_masks
from g2vlm.models.checkpoint import load_model
from g2vlm.models.config import ModelConfig
from g2vlm.models.decoder import PAD, START
from g2vlm.models.detection import PointClasses
from g2vlm.models.file_format import read_config
from g2vlm.models.heads import PointTable, pool_scene
from g2vlm.models.model import G2VLM
from g2vlm.models.qa_context import QAContext
from g2vlm.models.referring_head import ObjectSet
from g2vlm.models.state import SceneState, point_classes, to_numpy
from g2vlm.scenes.dataset import SceneInputs
from metrics.files import InputError, read_json

ANSWER_TOKENS = 8
# On a CPU small chunks stay in its cache: 8 vs 25 microseconds a query.
_QUERIES_A_CHUNK = {"cpu": 2048, "cuda": 65_536}
_TEXTS_A_BATCH = 256


class Network:
    """A model folder (model.safetensors, config.json, cost.json) ready to predict.

    Args:
        model_dir: the folder.
        texts: cached or live token states of sentences.
        device: a torch device; by default the GPU where there is one.
        threads: CPU threads of torch.

    Raises:
        InputError: a file is missing, damaged or of another configuration.
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
        self.seed: int = read_config(self.folder).get("seed", 0)
        cost = self.folder / "cost.json"
        self.cost: dict[str, Any] = read_json(cost) if cost.is_file() else {}
        if not isinstance(self.cost, dict):
            raise InputError(f"{cost}: holds no object; train the model again")
        if texts.width != self.config.text_features:
            raise InputError(
                f"{texts.path}: texts of {texts.width} features for a model of "
                f"{self.config.text_features}; train again on these features"
            )

    def encode(self, inputs: SceneInputs, features: SceneFeatures) -> "EncodedScene":
        """Run the scene through the model once."""
        with torch.inference_mode():
            batch = build_batch([inputs], [features], self.config).to(self.device)
            return EncodedScene(self, inputs, self.model.encode(batch))

    @torch.inference_mode()
    def captions(self, states: Sequence[SceneState]) -> list[str]:
        """Return one sentence about each scene."""
        captions = [""] * len(states)
        # The captioner reads the tokens alone, so scenes with equally many views form a batch.
        for size in {state.tokens.shape[1] for state in states}:
            rows = [k for k, state in enumerate(states) if state.tokens.shape[1] == size]
            batch = replace(states[0], tokens=torch.cat([states[k].tokens for k in rows]))
            for row, text in zip(rows, self.model.caption(batch), strict=True):
                captions[row] = text
        return captions

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str], phrases: bool = False) -> np.ndarray:
        """Return the unit embeddings f32[Q, E] of captions, or of phrases without context."""
        space = self.model.descriptors
        embed = space.embed_phrase if phrases else space.embed_text
        rows = []
        for start in range(0, len(texts), _TEXTS_A_BATCH):
            batch = build_text(self.texts, [texts[start : start + _TEXTS_A_BATCH]])
            rows.append(to_numpy(embed(batch.pooled.to(self.device))[0]))
        return np.concatenate(rows) if rows else np.zeros((0, self.config.embedding), np.float32)

    def read_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return the frozen text encoder's embeddings f32[Q, W]."""
        return build_text(self.texts, [texts]).pooled[0].numpy()


class EncodedScene:
    """One encoded scene.

    Its P points are the 4-pixel cells of the input views, view after view. Objects are given as
    masks [N, P] over the points and boxes [N, 6] (centre and size, metres).

    Attributes:
        masks: f32[N, P] of the ground-truth objects that the tasks on known objects use.
    """

    def __init__(self, network: Network, inputs: SceneInputs, state: SceneState) -> None:
        self.network = network
        self.inputs = inputs
        self.state = state
        self.masks = object_masks(inputs.gt_masks, len(inputs.gt_indices))

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

    def point_classes(self) -> PointClasses:
        """Return the class probabilities of the points."""
        return point_classes(self.state, self.network.config, 0)

    @torch.inference_mode()
    def occupancy(self, xyz: np.ndarray) -> np.ndarray:
        """Return occupancy logits f32[N] at positions f32[N, 3] in the frame."""
        positions = torch.from_numpy(xyz).to(self.network.device)
        size = _QUERIES_A_CHUNK["cpu" if positions.device.type == "cpu" else "cuda"]
        head = self.network.model.occupancy_head
        rows = [
            head(self.state, chunk[None], self._point_table)[0] for chunk in positions.split(size)
        ]
        return to_numpy(torch.cat(rows)) if rows else np.zeros(0, np.float32)

    @cached_property
    @torch.inference_mode()
    def _point_table(self) -> PointTable:
        """What occupancy reads of the points."""
        return self.network.model.occupancy_head.read(self.state)

    @torch.inference_mode()
    def ground(self, queries: Sequence[str]) -> np.ndarray:
        """Return logits f32[Q, P] that the target of each query covers the point."""
        text = build_text(self.network.texts, [queries]).to(self.network.device)
        return to_numpy(self.network.model.fusion(self.state, text).point_logits[0])

    def _tensors(self, *arrays: np.ndarray) -> list[torch.Tensor]:
        """Return arrays as float tensors on the model's device, in a batch of one."""
        return [torch.from_numpy(a).float().to(self.network.device)[None] for a in arrays]

    def objects(self, masks: np.ndarray, boxes: np.ndarray) -> ObjectSet:
        """Return the object set of masks [N, P] and boxes [N, 6]."""
        if not len(masks):
            # The heads need at least one object: one without points, of size 0.
            masks, boxes = np.zeros((1, self.masks.shape[1])), np.zeros((1, 6))
        return self.network.model.object_set(self.state, *self._tensors(masks, boxes))

    @torch.inference_mode()
    def refer(
        self, queries: Sequence[str], masks: np.ndarray, boxes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Run the referring head.

        Returns:
            Logits f32[Q, N] that each query means each object of masks [N, P] and boxes [N, 6], and
            zero logits f32[Q] that it means none.
        """
        if not queries:
            return np.zeros((0, len(masks)), np.float32), np.zeros(0, np.float32)
        text = build_text(self.network.texts, [queries]).to(self.network.device)
        output = self.network.model.referring_head(text, self.objects(masks, boxes))
        return to_numpy(output.logits[0, :, : len(masks)]), to_numpy(output.zero_logit[0])

    @torch.inference_mode()
    def boxes(self, masks: np.ndarray) -> np.ndarray:
        """Return the amodal boxes f32[N, 6] of the objects of masks [N, P] in 0..1."""
        return to_numpy(self.network.model.box_head(self.state, *self._tensors(masks))[0])

    @cached_property
    def gt_object_boxes(self) -> np.ndarray:
        """The model's own boxes f32[N, 6] of the ground-truth objects, from their masks."""
        return self.boxes(self.masks)

    @torch.inference_mode()
    def relations(self, masks: np.ndarray, boxes: np.ndarray) -> dict[str, np.ndarray]:
        """Return the probabilities f32[N, N, K] of each family's labels (`LABELS[family]`)."""
        logits = self.network.model.relations(self.state, *self._tensors(masks, boxes)).families
        return {family: to_numpy(values[0].softmax(-1)) for family, values in logits.items()}

    @torch.inference_mode()
    def answers(
        self,
        questions: Sequence[str],
        choices: Sequence[Sequence[str]],
        masks: np.ndarray,
        boxes: np.ndarray,
    ) -> list[str]:
        """Return the answer to each of Q questions by greedy decoding.

        Where a question has choices and the greedy answer is none of them, the answer is the choice
        of the highest likelihood.

        Args:
            questions: Q sentences.
            choices: the allowed answers of each question, empty where any is allowed.
            masks, boxes: objects of the scene, [N, P] and [N, 6].
        """
        if not questions:
            return []
        text = build_text(self.network.texts, [questions]).to(self.network.device)
        (answers,), context = self.network.model.answer(
            self.state, text, self.objects(masks, boxes), ANSWER_TOKENS
        )
        rows = [row for row, names in enumerate(choices) if names and answers[row] not in names]
        if rows:
            best = self._likeliest_choices(context, rows, [choices[row] for row in rows])
            for row, name in zip(rows, best, strict=True):
                answers[row] = name
        return answers

    def _likeliest_choices(
        self, context: QAContext, rows: Sequence[int], choices: Sequence[Sequence[str]]
    ) -> list[str]:
        """Return the choice of the highest likelihood for each of the questions `rows`.

        The decoder scores all L choices of all these questions as one batch of L sequences.
        """
        model = self.network.model
        pad = model.vocabulary.index[PAD]
        owner = [place for place, names in enumerate(choices) for _ in names]  # L, into `rows`
        lines = [
            torch.tensor(model.vocabulary.encode(name, START, 3 * ANSWER_TOKENS))
            for names in choices
            for name in names
        ]
        words = pad_sequence(lines, batch_first=True, padding_value=pad)  # (L, T)
        words = words[None].to(self.network.device)  # (1, L, T)
        question = [rows[place] for place in owner]  # L, the question of each sequence
        scene = model.decoder.read(self.state.tokens)
        memory, hints = context.memory[:, question], context.hints.take(question)
        log_probability = model.decoder(words[..., :-1], scene, memory, hints).logits.log_softmax(
            -1
        )
        target = words[..., 1:]
        each = log_probability.gather(-1, target[..., None])[..., 0] * (target != pad)
        total, owners = to_numpy(each.sum(-1)[0]), np.array(owner)  # (L,)
        return [names[int(total[owners == place].argmax())] for place, names in enumerate(choices)]

    @torch.inference_mode()
    def embedding(self) -> np.ndarray:
        """Return the scene's unit embedding f32[E]."""
        return to_numpy(self.network.model.descriptors.embed_scene(pool_scene(self.state))[0])

    @torch.inference_mode()
    def pooled(self) -> np.ndarray:
        """Return the trunk's pooled features f32[D], the input of the retrieval probe."""
        return to_numpy(pool_scene(self.state)[0])

    @torch.inference_mode()
    def embed_objects(self, masks: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Return the unit embeddings f32[N, E] of objects of masks [N, P] and boxes [N, 6]."""
        tensors = self._tensors(masks, boxes)
        return to_numpy(self.network.model.descriptors.embed_objects(self.state, *tensors)[0])
