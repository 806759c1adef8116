"""G2VLM: one network that reconstructs a scene and reads sentences against it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g2vlm.models.batch import SceneBatch, TextBatch
from g2vlm.models.boxes import BoxHead, mask_mean
from g2vlm.models.config import ModelConfig
from g2vlm.models.decoder import CAPTION, END, START, Decoder, Vocabulary
from g2vlm.models.encoder import Encoder
from g2vlm.models.fusion import Fusion
from g2vlm.models.heads import (
    Descriptors,
    OccupancyHead,
    PointHeads,
    RelationHead,
    pool_scene,
)
from g2vlm.models.layers import relative_features, standard
from g2vlm.models.qa_context import Findings, Found, measure_room
from g2vlm.models.referring_head import ObjectReader, ObjectSet
from g2vlm.models.state import GroundState, RelationLogits, SceneState


class G2VLM(nn.Module):
    """The model; every method takes an encoded scene, so a scene is encoded once.

    Shapes: B scenes, T patches, P points, Q sentences, N objects; metres, the levelled
    first-camera frame.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = Vocabulary(config.words)
        self.encoder = Encoder(config)
        self.points = PointHeads(config)
        self.kind = nn.Linear(len(config.classes) + 1, config.hidden)
        self.boxes = BoxHead(config)
        self.solids = OccupancyHead(config)
        self.relation = RelationHead(config)
        self.descriptors = Descriptors(config)
        self.fusion = Fusion(config)
        self.reader = ObjectReader(config)
        self.findings = Findings(config)
        self.decoder = Decoder(config)

    def encode(self, batch: SceneBatch) -> SceneState:
        """Encode scenes and read every dense output; see `SceneState`."""
        batch = self.encoder.standardise(batch)
        tokens, features, guesses = self.encoder(batch)
        read = self.points(features, guesses, batch, self.encoder.grid)
        pool = self.encoder.grid.pool
        shares = pool(read["kinds"].detach())
        tokens = tokens + self.kind((shares + 1e-6).sqrt())
        read["colours"] = (batch.rgb + 0.1 * torch.tanh(read["colours"])).clamp(0, 1)
        xyz = pool(read["points"].detach())
        object_share = 1 - read["kinds"].detach()[..., -1:]
        sizes = pool(read["boxes"].detach()[..., 3:] * object_share)
        return SceneState(
            batch=batch,
            tokens=tokens,
            token_xyz=xyz,
            point_features=features,
            relative=relative_features(xyz) if self.config.relates else None,
            token_sizes=sizes / pool(object_share).clamp(min=1e-6),
            grid=self.encoder.grid,
            **read,
        )

    def occupancy(self, state: SceneState, xyz: Tensor) -> Tensor:
        """Logits [B,N] of solid furniture at `xyz` [B,N,3]."""
        return self.solids(state, xyz)

    def ground(self, state: SceneState, text: TextBatch) -> GroundState:
        """Find what each sentence means; see `GroundState`."""
        return self.fusion(state, text)

    def object_boxes(self, state: SceneState, masks: Tensor) -> Tensor:
        """Boxes [B,N,6] of the objects under masks [B,N,P] (0..1).

        The extents of the masked points, completed by what was learned, or, where 3D boxes were
        never supervised, the extents alone (2nd to 98th percentile).
        """
        return self.boxes(state, masks, self.config.votes)

    def see_objects(self, state: SceneState, masks: Tensor, boxes: Tensor) -> ObjectSet:
        """What `reader` reads of the objects under masks [B,N,P] with boxes [B,N,6]."""
        points = mask_mean(masks, state.point_features)
        look = torch.cat([points, mask_mean(masks, state.batch.rgb - 0.5)], dim=-1)
        kinds = mask_mean(masks, state.kinds)
        return ObjectSet(look, kinds, boxes, self.relation.front(points), masks.amax(-1) > 0)

    def relations(self, state: SceneState, masks: Tensor, boxes: Tensor) -> RelationLogits:
        """Relations of all ordered pairs of objects under masks [B,N,P] with boxes [B,N,6]."""
        return self.relation(mask_mean(masks, state.point_features), boxes)

    def embed_scene(self, state: SceneState) -> Tensor:
        """Unit-norm descriptors [B,E] of scenes."""
        return self.descriptors.embed_scene(pool_scene(state))

    def embed_objects(self, state: SceneState, masks: Tensor, boxes: Tensor) -> Tensor:
        """Unit-norm descriptors [B,N,E] of the objects under masks [B,N,P], boxes [B,N,6]."""
        return self.descriptors.embed_objects(state, masks, boxes)

    def embed_text(self, text: TextBatch) -> Tensor:
        """Unit-norm descriptors [B,Q,E] of sentences about scenes."""
        return self.descriptors.embed_text(text.pooled)

    def embed_phrase(self, text: TextBatch) -> Tensor:
        """Unit-norm descriptors [B,Q,E] of phrases about objects."""
        return F.normalize(self.descriptors.phrase(standard(text.pooled)), dim=-1)

    def caption_memory(self, state: SceneState) -> Tensor:
        """The captioner's memory [B,1,1,D]: the pooled scene; its patches come beside it."""
        return state.tokens.mean(1)[:, None, None]

    def find(self, text: TextBatch, objects: ObjectSet, room: Tensor) -> Found:
        """What objects and the room's measures (`measure_room`) say to questions; see `Findings`.

        No gradient reaches the reader or the relations: they have references of their own.
        """
        with torch.no_grad():
            relations = self.relation(objects.look[..., : self.config.point_hidden], objects.boxes)
            reading = self.reader(text, objects)
        return self.findings(text, objects, room, relations, reading)

    def answer(
        self, state: SceneState, text: TextBatch, objects: ObjectSet, max_tokens: int = 8
    ) -> tuple[list[list[str]], Found]:
        """Greedy answers by scene and question, and what they were written from."""
        found = self.find(text, objects, measure_room(state.points))
        index = self.vocabulary.index
        said = self.decoder.write(
            index[START], index[END], state.tokens, found.memory, max_tokens, found.hints
        )
        rows = zip(*(part.tolist() for part in (*said, text.present)), strict=True)
        written = [
            [self.vocabulary.decode(*one) for *one, real in zip(*row, strict=True) if real]
            for row in rows
        ]
        return written, found

    def caption(self, state: SceneState, max_tokens: int = 48) -> list[str]:
        """One greedy caption a scene."""
        index = self.vocabulary.index
        memory = self.caption_memory(state)
        numbers, _ = self.decoder.write(
            index[CAPTION], index[END], state.tokens, memory, max_tokens
        )
        return [self.vocabulary.decode(lines[0]) for lines in numbers.tolist()]
