"""The typed result of a run on a capture, and the files that it saves.

Boxes and positions are in the levelled frame of the capture's first camera, in metres, z up.
`Result.save` writes geometry in that frame or in the capture's own world.

| file | content |
| --- | --- |
| result.json | objects, relations, answers, groundings, captions and notes |
| scene_graph.json, scene_graph.graphml | objects as nodes, relations as edges |
| points.ply | coloured points with confidence (-1: a frame that the model did not read) |
| mesh.glb | the surfaces, textured with the frames |
| solids.glb | the furniture's volumes with vertex colours |
| viewer.html | all of it as one interactive page |
"""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from g2vlm.captures import Capture
from g2vlm.inference.surface import Mesh
from g2vlm.use.export import viewer_page, write_ply, write_solids_glb, write_textured_glb
from g2vlm.use.folder import FORMAT, check_frame, check_free
from g2vlm.use.ood_score import OODScore
from g2vlm.use.surfaces import Cloud, TexturedPart
from metrics.files import atomic_path, write_json
from metrics.geometry import box_corners

VERSION = 2
Box = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class DetectedObject:
    """A detected object.

    Args:
        name: unique in the result, e.g. "chair 2".
        kind: its class.
        score: 0 to 1.
        box: centre and size, metres.
        neighbours: the objects with the nearest descriptors as (name, cosine), nearest first.
    """

    name: str
    kind: str
    score: float
    box: Box
    neighbours: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Relation:
    """`subject` `predicate` `object`, e.g. "lamp 1" on "table 1", seen from the first camera."""

    subject: str
    predicate: str
    object: str
    score: float


@dataclass(frozen=True)
class Answer:
    """The model's answer to a question."""

    question: str
    answer: str


@dataclass(frozen=True)
class GroundedBox:
    """One box for a phrase, its score in 0 to 1, and the detected object it belongs to, if any."""

    box: Box
    score: float
    object: str | None


@dataclass(frozen=True)
class Grounding:
    """The boxes for one phrase, best first.

    `nothing` is true when the model predicts that no object fits; the boxes are then best guesses.
    """

    phrase: str
    boxes: tuple[GroundedBox, ...]
    nothing: bool


@dataclass(frozen=True)
class Result:
    """Everything that the model predicts for one capture.

    Args:
        capture: the frames that were given.
        method: name of the model's method.
        objects: the predicted objects.
        relations: the predicted relations between them.
        answers: the answers to the questions.
        grounded: the boxes for the phrases.
        captions: the predicted captions.
        cloud: coloured points.
        surfaces: textured surfaces, one part a frame.
        solids: the furniture's volumes as a mesh.
        ood_score: how unlike the training rooms the capture is; None without a calibration.
        views: names of the frames that the model read.
        notes: assumptions, repairs and omissions, one sentence each.
    """

    capture: Capture
    method: str
    objects: tuple[DetectedObject, ...]
    relations: tuple[Relation, ...]
    answers: tuple[Answer, ...]
    grounded: tuple[Grounding, ...]
    captions: tuple[str, ...]
    cloud: Cloud
    surfaces: tuple[TexturedPart, ...]
    solids: Mesh
    ood_score: OODScore | None
    views: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the content of result.json: everything but points, surfaces and solids."""
        objects = []
        for item in self.objects:
            # The 8 corners of the box in the capture's own world.
            corners = self.capture.to_capture(box_corners(np.array(item.box)))
            objects.append(asdict(item) | {"corners_in_capture": np.round(corners, 4).tolist()})
        return {
            "format": FORMAT,
            "version": VERSION,
            "source": self.capture.source,
            "method": self.method,
            "frames": list(self.capture.names),
            "views_read": list(self.views),
            "frame_from_capture": np.round(self.capture.frame_from_capture, 9).tolist(),
            "objects": objects,
            "relations": [asdict(item) for item in self.relations],
            "answers": [asdict(item) for item in self.answers],
            "grounded": [asdict(item) for item in self.grounded],
            "captions": list(self.captions),
            "points": len(self.cloud.points),
            "ood_score": asdict(self.ood_score) if self.ood_score else None,
            "notes": list(self.notes),
        }

    def save(self, folder: str | os.PathLike[str], frame: str = "levelled") -> None:
        """Write all files into `folder`, all or none.

        Args:
            folder: a new folder, or one with an earlier result, which is replaced.
            frame: frame of the geometry files, "levelled" or "capture".

        Raises:
            InputError: the folder holds anything else, or the frame is unknown.
        """
        check_frame(frame)
        check_free(Path(folder))
        to_capture = np.linalg.inv(self.capture.frame_from_capture)
        transform = to_capture if frame == "capture" else np.eye(4)
        document = self.to_json()
        page = viewer_page(document, self.capture, self.cloud, self.solids)
        nodes = [
            {"id": item.name, "class": item.kind, "score": item.score, "box": list(item.box)}
            for item in self.objects
        ]
        with atomic_path(folder, folder=True) as temporary:
            write_json(temporary / "result.json", document | {"geometry_frame": frame})
            write_json(
                temporary / "scene_graph.json", {"nodes": nodes, "edges": document["relations"]}
            )
            write_graphml(self.objects, self.relations, temporary / "scene_graph.graphml")
            write_ply(self.cloud, transform, temporary / "points.ply")
            write_textured_glb(self.surfaces, transform, temporary / "mesh.glb")
            write_solids_glb(self.solids, transform, temporary / "solids.glb")
            (temporary / "viewer.html").write_text(page, encoding="utf-8")

    def summary(self, folder: str | os.PathLike[str]) -> str:
        """Return the predictions in a few lines for a terminal; `folder` holds the saved files."""
        lines = [f"caption: {text}" for text in self.captions]
        for item in self.answers:
            lines += [item.question, f"  {item.answer}"]
        for item in self.grounded:
            lines += [item.phrase, f"  {_grounding_line(item)}"]
        lines.append(
            f"{len(self.objects)} objects, {len(self.relations)} relations, "
            f"{len(self.cloud.points)} points"
        )
        if self.ood_score:
            lines.append(self.ood_score.message)
        lines.append(f"open in a browser: {Path(folder) / 'viewer.html'}")
        return "\n".join(lines)


def write_graphml(
    objects: tuple[DetectedObject, ...], relations: tuple[Relation, ...], path: Path
) -> None:
    """Write the scene graph for graph tools; several relations of a pair are parallel edges."""
    import networkx

    graph = networkx.MultiDiGraph()
    for item in objects:
        box = zip(("x", "y", "z", "size_x", "size_y", "size_z"), item.box, strict=True)
        graph.add_node(item.name, **{"class": item.kind, "score": item.score}, **dict(box))
    for item in relations:
        graph.add_edge(item.subject, item.object, predicate=item.predicate, score=item.score)
    networkx.write_graphml(graph, path)


def _grounding_line(item: Grounding) -> str:
    if not item.boxes:
        return "nothing"
    best = item.boxes[0]
    prefix = "no object seems to fit; best guess: " if item.nothing else ""
    position = ", ".join(f"{value:.2f}" for value in best.box[:3])
    more = f" and {len(item.boxes) - 1} more" if len(item.boxes) > 1 else ""
    return f"{prefix}{best.object or 'an unnamed place'} at ({position}) m{more}"
