"""Read a submission and find its faults. The format stands in `metrics.submission_writer`."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metrics.files import InputError, read_json, read_lines, sha256_file
from metrics.submission_checks import (
    Invalid,
    check_box,
    check_object,
    check_pair,
    check_rows,
    check_triplet,
    index_rows,
    open_tensors,
    read_manifest,
)
from metrics.submission_writer import MESH_KINDS, TASKS, SubmissionWriter

if TYPE_CHECKING:
    from metrics.truth import Truth

__all__ = [
    "MESH_KINDS",
    "TASKS",
    "Mesh",
    "Grounding",
    "Invalid",
    "Occupancy",
    "Points",
    "ScoreTable",
    "Submission",
    "SubmissionWriter",
]


@dataclass(frozen=True)
class Points:
    """Surface points: points f32 [M, 3] metres, colours u8 [M, 3], pixels i16 [M, 3] or None."""

    points: np.ndarray
    colours: np.ndarray | None
    pixels: np.ndarray | None
    confidence: np.ndarray | None


@dataclass(frozen=True)
class Mesh:
    """Triangles: vertices f32 [V, 3] metres, faces i32 [F, 3], colours u8 [V, 3] or None."""

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray | None


@dataclass(frozen=True)
class Occupancy:
    """Solid voxels: grid bool [X, Y, Z], origin f32 [3] its lower corner, voxel side in metres."""

    grid: np.ndarray
    origin: np.ndarray
    voxel: float


@dataclass(frozen=True)
class Grounding:
    """Where a reference points: boxes f64 [K, 6] best first, pick a given object's index."""

    boxes: np.ndarray
    pick: int | None


@dataclass(frozen=True)
class ScoreTable:
    """Similarities: scores f32 [rows, columns] and the names of both."""

    rows: list[str]
    columns: list[str]
    scores: np.ndarray


class Submission:
    """A submission folder, read lazily.

    Getters return None for what is missing and raise `Invalid` for what cannot be used (wrong
    shapes, numbers that are not finite, unknown predicates). A folder without a readable manifest
    raises `InputError` at once.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.manifest: dict[str, Any] = read_manifest(self.folder / "manifest.json")
        self.method: str = self.manifest["method"]
        self.seed: int = self.manifest["seed"]
        self.split: str = self.manifest["split"]
        self.stochastic: bool = self.manifest["stochastic"]
        self.produces: frozenset[str] = frozenset(self.manifest["produces"])
        self.reasons: dict[str, str] = self.manifest.get("reasons") or {}
        self.mesh_kind: str | None = self.manifest.get("mesh_kind")
        self.thresholds: dict[str, Any] = self.manifest.get("thresholds") or {}
        self.cost: dict[str, Any] = self.manifest.get("cost") or {}

    @cached_property
    def _geometry(self) -> Any:
        return open_tensors(self.folder / "geometry.safetensors")

    @cached_property
    def _geometry_names(self) -> frozenset[str]:
        return frozenset(self._geometry.keys()) if self._geometry is not None else frozenset()

    def _tensor(self, name: str) -> np.ndarray | None:
        return self._geometry.get_tensor(name) if name in self._geometry_names else None

    def points(self, scene: str) -> Points | None:
        """Return the surface points of a scene."""
        points = self._tensor(f"{scene}/points")
        if points is None:
            return None
        check_rows(self._where(scene), "points", points, floats=True)
        extra = {name: self._tensor(f"{scene}/{name}") for name in ("colours", "pixels")}
        for name, value in extra.items():
            if value is not None:
                check_rows(self._where(scene), name, value, len(points))
        confidence = self._tensor(f"{scene}/confidence")
        return Points(points.astype(np.float32, copy=False), confidence=confidence, **extra)

    def mesh(self, scene: str) -> Mesh | None:
        """Return the mesh of a scene."""
        vertices, faces = (self._tensor(f"{scene}/{name}") for name in ("vertices", "faces"))
        if vertices is None or faces is None:
            return None
        where = self._where(scene)
        check_rows(where, "vertices", vertices, floats=True)
        check_rows(where, "faces", faces)
        if faces.size and (faces.min() < 0 or faces.max() >= len(vertices)):
            raise Invalid(f"{where}: faces name vertices that are not there; write indices below V")
        colours = self._tensor(f"{scene}/vertex_colours")
        if colours is not None:
            check_rows(where, "vertex_colours", colours, len(vertices))
        return Mesh(vertices.astype(np.float32, copy=False), faces, colours)

    def occupancy(self, scene: str) -> Occupancy | None:
        """Return the occupancy grid of a scene."""
        names = ("occupancy", "occupancy_shape", "occupancy_origin", "occupancy_voxel")
        packed, shape, origin, voxel = (self._tensor(f"{scene}/{name}") for name in names)
        if packed is None or shape is None or origin is None or voxel is None:
            return None
        where = self._where(scene)
        count = math.prod(int(side) for side in shape)
        if shape.shape != (3,) or shape.min() < 0 or packed.size != (count + 7) // 8:
            raise Invalid(f"{where}: occupancy bits do not fill its shape; pack the whole grid")
        if origin.shape != (3,) or not np.isfinite(origin).all() or not 0 < float(voxel[0]) < 1e3:
            raise Invalid(f"{where}: occupancy origin or voxel is no length; give metres")
        grid = np.unpackbits(packed.reshape(-1), count=count).astype(bool).reshape(shape)
        return Occupancy(grid, origin, float(voxel[0]))

    def objects(self, scene: str) -> tuple[list[dict[str, Any]], list[tuple]] | None:
        """Return detected objects and triplets (subject, predicate, object, score)."""
        row = self._rows("objects.jsonl", ("scene",)).get((scene,))
        if row is None:
            return None
        where = f"{self.folder / 'objects.jsonl'}: scene {scene}"
        objects = row.get("objects")
        if not isinstance(objects, list):
            raise Invalid(f"{where}: no list of objects; give [] when there are none")
        objects = [check_object(where, value) for value in objects]
        return objects, [
            check_triplet(where, value, len(objects)) for value in row.get("triplets", [])
        ]

    def relations(self, scene: str) -> dict[tuple[int, int], dict[str, str]] | None:
        """Return {(i, j): {family: predicate or "none"}} over given objects."""
        row = self._rows("relations.jsonl", ("scene",)).get((scene,))
        if row is None:
            return None
        where = f"{self.folder / 'relations.jsonl'}: scene {scene}"
        return dict(check_pair(where, value) for value in row.get("pairs", []))

    def grounding(self, scene: str, query: str) -> Grounding | None:
        """Return what a reference was grounded to."""
        row = self._rows("grounding.jsonl", ("scene", "query")).get((scene, query))
        if row is None:
            return None
        where = f"{self.folder / 'grounding.jsonl'}: scene {scene} query {query}"
        boxes = [check_box(where, value) for value in row.get("boxes") or []]
        pick = row.get("pick")
        if pick is not None and (isinstance(pick, bool) or not isinstance(pick, int)):
            raise Invalid(f"{where}: pick {pick!r} is no index; give a given object's index")
        return Grounding(np.array(boxes, float).reshape(-1, 6), pick)

    def answer(self, scene: str, question: str) -> str | None:
        """Return the answer to a question."""
        row = self._rows("answers.jsonl", ("scene", "question")).get((scene, question))
        return None if row is None else str(row.get("answer", ""))

    def caption(self, scene: str) -> str | None:
        """Return the description of a scene."""
        row = self._rows("captions.jsonl", ("scene",)).get((scene,))
        return None if row is None else str(row.get("text", ""))

    def retrieval(self) -> ScoreTable | None:
        """Return the scores of captions against scenes."""
        return self._table("text_to_scene", "texts", "scenes")

    def grounding_retrieval(self) -> ScoreTable | None:
        """Return the scores of phrases against objects."""
        return self._table("phrase_to_object", "phrases", "objects")

    def _where(self, scene: str) -> str:
        return f"{self.folder / 'geometry.safetensors'}: scene {scene}"

    def _rows(self, name: str, keys: tuple[str, ...]) -> dict[tuple, dict[str, Any]]:
        cache: dict[str, dict[tuple, dict[str, Any]]] = self.__dict__.setdefault("_lines", {})
        if name not in cache:
            path = self.folder / name
            cache[name] = index_rows(path, read_lines(path), keys) if path.exists() else {}
        return cache[name]

    def _table(self, name: str, rows: str, columns: str) -> ScoreTable | None:
        tensors = open_tensors(self.folder / "retrieval.safetensors")
        if tensors is None or name not in tensors.keys():  # noqa: SIM118 (not a mapping)
            return None
        path = self.folder / "retrieval.json"
        names = read_json(path)
        scores = tensors.get_tensor(name)
        if scores.shape != (len(names.get(rows, ())), len(names.get(columns, ()))):
            raise Invalid(f"{path}: {rows} and {columns} do not fit the scores; name every row")
        return ScoreTable(names[rows], names[columns], scores.astype(np.float32, copy=False))

    def validate(self, truth: Truth | None = None) -> list[str]:
        """Return the faults of the whole submission, one line each; empty when it is sound.

        With `truth`, also what was declared and is missing for an item of the split.
        """
        faults = self._file_faults()
        for scene in truth.scenes if truth is not None else self._scenes():
            faults += self._scene_faults(scene, truth)
        for task, getter in (
            ("retrieval", self.retrieval),
            ("grounding_retrieval", self.grounding_retrieval),
        ):
            faults += self._fault(task, getter, required=task in self.produces)
        return faults

    def _scenes(self) -> list[str]:
        found = {name.rsplit("/", 1)[0] for name in self._geometry_names}
        for name in ("objects", "relations", "captions"):
            found |= {key[0] for key in self._rows(f"{name}.jsonl", ("scene",))}
        return sorted(found)

    def _file_faults(self) -> list[str]:
        faults = []
        for name, digest in self.manifest.get("files", {}).items():
            path = self.folder / name
            if not path.is_file():
                faults.append(f"{path}: named in the manifest and missing; write it")
            elif sha256_file(path) != digest:
                faults.append(f"{path}: differs from the manifest's sha256; write it again")
        return faults

    def _scene_faults(self, scene: str, truth: Truth | None) -> list[str]:
        faults = []
        for task, getter in (
            ("points", self.points),
            ("mesh", self.mesh),
            ("occupancy", self.occupancy),
            ("objects", self.objects),
            ("given_relations", self.relations),
            ("captions", self.caption),
        ):
            required = truth is not None and task in self.produces
            faults += self._fault(f"{task} of {scene}", lambda g=getter: g(scene), required)
        if truth is None:
            return faults
        line = truth.annotation(scene)
        if self.produces & {"grounding", "picks"}:
            for item in line["references"]:
                query = item["id"]
                faults += self._fault(
                    f"grounding of {scene}/{query}", lambda q=query: self.grounding(scene, q), True
                )
        if "answers" in self.produces:
            for item in line["questions"]:
                query = item["id"]
                faults += self._fault(
                    f"answer to {scene}/{query}", lambda q=query: self.answer(scene, q), True
                )
        return faults

    def _fault(self, what: str, getter: Any, required: bool) -> list[str]:
        try:
            value = getter()
        except InputError as error:
            return [str(error)]
        if value is None and required:
            return [f"{self.folder}: {what} is declared and missing; write it or do not declare it"]
        return []
