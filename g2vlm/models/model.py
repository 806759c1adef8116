"""G2VLM: one network that reconstructs a scene and grounds sentences in it."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from g2vlm.models.batch import SceneBatch, TextBatch
from g2vlm.models.boxes import BoxHead, mask_mean
from g2vlm.models.config import ModelConfig
from g2vlm.models.decoder import CAPTION, END, START, Decoder, Vocabulary
from g2vlm.models.encoder import Encoder
from g2vlm.models.fusion import Fusion
from g2vlm.models.heads import Descriptors, OccupancyHead, PointHeads, RelationHead
from g2vlm.models.layers import relative_features
from g2vlm.models.qa_context import QAContext, QAContextEncoder, measure_room
from g2vlm.models.referring_head import ObjectSet, ReferringHead
from g2vlm.models.state import RelationLogits, SceneState


class G2VLM(nn.Module):
    """The network. A scene is encoded once, and every output is computed from its state.

    Shapes: B scenes, T patches, P points, Q sentences, N objects, D hidden, E descriptor width.
    Lengths are in metres in the levelled frame of the first camera.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = Vocabulary(config.words)
        self.encoder = Encoder(config)
        self.point_heads = PointHeads(config)
        self.class_embedding = nn.Linear(len(config.classes) + 1, config.hidden)
        self.box_head = BoxHead(config)
        self.occupancy_head = OccupancyHead(config)
        self.relation_head = RelationHead(config)
        self.descriptors = Descriptors(config)
        self.fusion = Fusion(config)
        self.referring_head = ReferringHead(config)
        self.qa_context = QAContextEncoder(config)
        self.decoder = Decoder(config)

    def encode(self, batch: SceneBatch) -> SceneState:
        """Encode scenes and predict every dense output."""
        batch = replace(
            batch,
            tokens=self.encoder.standard_tokens(batch.tokens),
            features=self.encoder.standard_points(batch.features),
        )
        tokens, features, guesses = self.encoder(batch)
        dense = self.point_heads(features, guesses, batch, self.encoder.grid)
        pool = self.encoder.grid.pool
        # Tokens know the predicted classes of their points, without a gradient into these.
        classes = pool(dense["class_probabilities"].detach())  # (B, T, C + 1)
        tokens = tokens + self.class_embedding((classes + 1e-6).sqrt())
        # Colours differ from the image's by at most 0.1.
        dense["colours"] = (batch.rgb + 0.1 * torch.tanh(dense["colours"])).clamp(0, 1)
        xyz = pool(dense["points"].detach())
        object_share = 1 - dense["class_probabilities"].detach()[..., -1:]
        sizes = pool(dense["boxes"].detach()[..., 3:] * object_share)
        return SceneState(
            batch=batch,
            tokens=tokens,
            token_xyz=xyz,
            point_features=features,
            relative=relative_features(xyz) if self.config.relates else None,
            # A mean over the patch's points weighted by being part of an object.
            token_sizes=sizes / pool(object_share).clamp(min=1e-6),
            grid=self.encoder.grid,
            **dense,
        )

    def object_set(self, state: SceneState, masks: Tensor, boxes: Tensor) -> ObjectSet:
        """Return the objects under masks [B,N,P] with boxes [B,N,6], for the referring head."""
        points = mask_mean(masks, state.point_features)
        return ObjectSet(
            look=torch.cat([points, mask_mean(masks, state.batch.rgb - 0.5)], dim=-1),
            classes=mask_mean(masks, state.class_probabilities),
            boxes=boxes,
            front=self.relation_head.front(points),
            present=masks.amax(-1) > 0,
        )

    def relations(self, state: SceneState, masks: Tensor, boxes: Tensor) -> RelationLogits:
        """Return relations of all ordered pairs of objects with masks [B,N,P], boxes [B,N,6]."""
        return self.relation_head(mask_mean(masks, state.point_features), boxes)

    def caption_memory(self, state: SceneState) -> Tensor:
        """Return the decoder's memory [B,1,1,D] for captions: the mean of the tokens."""
        return state.tokens.mean(1)[:, None, None]

    def question_context(self, text: TextBatch, objects: ObjectSet, room: Tensor) -> QAContext:
        """Return the context of questions about objects; `room` comes from `measure_room`.

        No gradient reaches the referring head or the relations, which have losses of their own.
        """
        with torch.no_grad():
            features = objects.look[..., : self.config.point_hidden]
            relations = self.relation_head(features, objects.boxes)
            referral = self.referring_head(text, objects)
        return self.qa_context(text, objects, room, relations, referral)

    def answer(
        self, state: SceneState, text: TextBatch, objects: ObjectSet, max_tokens: int = 8
    ) -> tuple[list[list[str]], QAContext]:
        """Return greedy answers by scene and question, and the context they were written from."""
        context = self.question_context(text, objects, measure_room(state.points))
        index = self.vocabulary.index
        words, values = self.decoder.write(
            index[START], index[END], state.tokens, context.memory, max_tokens, context.hints
        )
        answers = []
        for scene in zip(words.tolist(), values.tolist(), text.present.tolist(), strict=True):
            questions = zip(*scene, strict=True)
            answers.append([self.vocabulary.decode(w, v) for w, v, present in questions if present])
        return answers, context

    def caption(self, state: SceneState, max_tokens: int = 48) -> list[str]:
        """Return one greedy caption per scene."""
        index = self.vocabulary.index
        numbers, _ = self.decoder.write(
            index[CAPTION], index[END], state.tokens, self.caption_memory(state), max_tokens
        )
        return [self.vocabulary.decode(lines[0]) for lines in numbers.tolist()]
