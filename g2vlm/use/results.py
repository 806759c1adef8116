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
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from g2vlm.captures import Capture
from g2vlm.inference.surface import Mesh
from g2vlm.use.export import viewer_page, write_ply, write_solids_glb, write_textured_glb
from g2vlm.use.folder import FORMAT, check_frame, check_free, not_writable
from g2vlm.use.ood_score import OODScore
from g2vlm.use.surfaces import Cloud, TexturedPart
from metrics.files import atomic_path, one_line, write_json
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

    def save(self, folder: str | os.PathLike[str], frame: str = "levelled") -> tuple[str, ...]:
        """Write the files into `folder`: all of them appear at once.

        A file that cannot be made, such as a mesh without a face, is left out; the others are
        written.

        Args:
            folder: a new folder, or one with an earlier result, which is replaced.
            frame: frame of the geometry files, "levelled" or "capture".

        Returns:
            A sentence for each file that was left out; result.json holds them among its notes.

        Raises:
            InputError: the folder holds anything else or cannot be written, or the frame is
                unknown.
        """
        check_frame(frame)
        check_free(Path(folder))
        left_out: list[str] = []
        try:
            with atomic_path(folder, folder=True) as temporary:
                for name, write in self._writers(frame).items():
                    try:
                        write(temporary / name)
                    except OSError:
                        raise
                    except Exception as error:
                        # The other files are worth having, whatever went wrong with this one.
                        (temporary / name).unlink(missing_ok=True)
                        left_out.append(f"{name} was not written: {one_line(str(error))}.")
                document = self.to_json() | {"geometry_frame": frame}
                document["notes"] += left_out
                write_json(temporary / "result.json", document)
        except OSError as error:
            raise not_writable(Path(folder), error) from error
        return tuple(left_out)

    def _writers(self, frame: str) -> dict[str, Callable[[Path], object]]:
        """Return the function that writes each file but result.json to a path."""
        transform = (
            np.linalg.inv(self.capture.frame_from_capture) if frame == "capture" else np.eye(4)
        )
        return {
            "scene_graph.json": self._write_graph,
            "scene_graph.graphml": lambda path: write_graphml(self.objects, self.relations, path),
            "points.ply": lambda path: write_ply(self.cloud, transform, path),
            "mesh.glb": lambda path: write_textured_glb(self.surfaces, transform, path),
            "solids.glb": lambda path: write_solids_glb(self.solids, transform, path),
            "viewer.html": lambda path: path.write_text(
                viewer_page(self.to_json(), self.capture, self.cloud, self.solids),
                encoding="utf-8",
            ),
        }

    def _write_graph(self, path: Path) -> None:
        nodes = [
            {"id": item.name, "class": item.kind, "score": item.score, "box": list(item.box)}
            for item in self.objects
        ]
        write_json(path, {"nodes": nodes, "edges": [asdict(item) for item in self.relations]})

    def summary(self, folder: str | os.PathLike[str] | None = None) -> str:
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
        if folder is not None:
            lines.append(one_line(f"open in a browser: {Path(folder) / 'viewer.html'}"))
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
