"""What a run on a capture gives, typed; boxes in the levelled frame of its first camera."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from g2vlm.captures.capture import Capture
from g2vlm.inference.surface import Mesh
from g2vlm.use.folder import FORMAT
from g2vlm.use.ood_score import Familiarity
from g2vlm.use.surfaces import Cloud, TexturedPart

VERSION = 1
Box = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class FoundObject:
    """A detected object: unique name ("chair 2"), class, score in 0..1, box (centre, size; m).

    neighbours: the objects of the nearest descriptors, (name, cosine), nearest first.
    """

    name: str
    kind: str
    score: float
    box: Box
    neighbours: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Relation:
    """subject predicate object, e.g. "lamp 1" on "table 1", as seen from the first camera."""

    subject: str
    predicate: str
    object: str
    score: float


@dataclass(frozen=True)
class Answer:
    """What the model answers to a question."""

    question: str
    answer: str


@dataclass(frozen=True)
class FoundBox:
    """A box that a phrase points to: score in 0..1 and the object it belongs to, if any."""

    box: Box
    score: float
    object: str | None


@dataclass(frozen=True)
class Grounded:
    """What a phrase points to, best first.

    nothing: whether the model holds that no object fits, in which case the boxes are its best
    guess all the same.
    """

    phrase: str
    boxes: tuple[FoundBox, ...]
    nothing: bool


@dataclass(frozen=True)
class Result:
    """Everything about one capture.

    cloud: coloured points; surfaces: textured parts, one a frame; solids: the furniture's volumes
    as a mesh; familiarity: none where the checkpoint was not calibrated; views: names of the
    frames that the model read; notes: what was assumed or left out.
    """

    capture: Capture
    method: str
    objects: tuple[FoundObject, ...]
    relations: tuple[Relation, ...]
    answers: tuple[Answer, ...]
    grounded: tuple[Grounded, ...]
    captions: tuple[str, ...]
    cloud: Cloud
    surfaces: tuple[TexturedPart, ...]
    solids: Mesh
    familiarity: Familiarity | None
    views: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what is said about the capture as plain values (no geometry but boxes)."""
        familiarity = asdict(self.familiarity) if self.familiarity else None
        return {
            "format": FORMAT,
            "version": VERSION,
            "source": self.capture.source,
            "method": self.method,
            "frames": list(self.capture.names),
            "views_read": list(self.views),
            "frame_from_capture": np.round(self.capture.frame_from_capture, 9).tolist(),
            "objects": [self._object(item) for item in self.objects],
            "relations": [asdict(item) for item in self.relations],
            "answers": [asdict(item) for item in self.answers],
            "grounded": [asdict(item) for item in self.grounded],
            "captions": list(self.captions),
            "points": len(self.cloud.points),
            "familiarity": familiarity,
            "notes": list(self.notes),
        }

    def _object(self, item: FoundObject) -> dict[str, Any]:
        """An object with its box's 8 corners in the capture's own world beside it."""
        corners = self.capture.to_capture(box_corners(np.array(item.box)))
        return asdict(item) | {"corners_in_capture": np.round(corners, 4).tolist()}

    def save(self, folder: str | os.PathLike[str], frame: str = "levelled") -> None:
        """Write all files into a new folder, whole or not at all; see `g2vlm.use.export`."""
        from g2vlm.use.export import save

        save(self, folder, frame)


def box_corners(box: np.ndarray) -> np.ndarray:
    """Return the corners f64[8, 3] of a box [6] (centre, size)."""
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    return box[:3] + signs * box[3:] / 2
