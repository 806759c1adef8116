"""Read a submission. The format stands in docs/submission-format.md and `metrics.schemas`.

`metrics.submission.writer` writes one and `metrics.submission.validate` lists all its faults.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from metrics.files import InputError
from metrics.schemas import printable
from metrics.submission import items
from metrics.submission.items import Grounding, Mesh, Occupancy, Points, ScoreTable
from metrics.submission.parsing import (
    Fault,
    Invalid,
    Rows,
    Tensors,
    open_tensors,
    read_object,
    read_rows,
    regular_file,
)
from metrics.submission.writer import MESH_KINDS, TASKS, SubmissionWriter

__all__ = [
    "MESH_KINDS",
    "TASKS",
    "Contents",
    "Grounding",
    "Invalid",
    "Mesh",
    "Occupancy",
    "Points",
    "ScoreTable",
    "Submission",
    "SubmissionWriter",
]
GEOMETRY = "geometry.safetensors"
# Retrieval tables: tensor, names of its rows, names of its columns.
TABLES = {
    "retrieval": ("text_to_scene", "texts", "scenes"),
    "probed_retrieval": ("probed_text_to_scene", "texts", "scenes"),
    "grounding_retrieval": ("phrase_to_object", "phrases", "objects"),
}


class Contents:
    """What lies in a submission's folder, whatever its manifest says, read lazily.

    Getters return None for what is missing and raise `Invalid` for what cannot be used: files
    that are broken, wrong shapes, numbers that are not finite, repeated items, unknown predicates.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._read: dict[str, Rows] = {}
        self._opened: dict[str, Tensors | Invalid | None] = {}

    def tensors(self, name: str) -> Tensors | None:
        """Return an opened safetensors file, None if it is not there."""
        if name not in self._opened:
            path = self.folder / name
            try:
                self._opened[name] = open_tensors(path) if regular_file(path) else None
            except Invalid as error:
                self._opened[name] = error
        found = self._opened[name]
        if isinstance(found, Invalid):
            raise Invalid(str(found))
        return found

    def arrays(self, scene: str, parts: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Return those of a scene's tensors that are there, by part."""
        tensors = self.tensors(GEOMETRY)
        if tensors is None:
            return {}
        names = {part: f"{scene}/{part}" for part in parts}
        there = {part: name for part, name in names.items() if name in tensors.keys()}  # noqa: SIM118
        return {part: tensors.get_tensor(name) for part, name in there.items()}

    def points(self, scene: str) -> Points | None:
        """Return the surface points of a scene."""
        arrays = self.arrays(scene, items.POINT_PARTS)
        if "points" not in arrays:
            return None
        self._refuse(scene, items.point_problems(arrays))
        points = arrays["points"].astype(np.float32, copy=False)
        return Points(points, *(arrays.get(part) for part in items.POINT_PARTS[1:]))

    def mesh(self, scene: str) -> Mesh | None:
        """Return the mesh of a scene."""
        arrays = self.arrays(scene, items.MESH_PARTS)
        if not arrays:
            return None
        self._refuse(scene, items.mesh_problems(arrays))
        vertices = arrays["vertices"].astype(np.float32, copy=False)
        return Mesh(vertices, arrays["faces"], arrays.get("vertex_colours"))

    def occupancy(self, scene: str) -> Occupancy | None:
        """Return the occupancy grid of a scene."""
        arrays = self.arrays(scene, items.GRID_PARTS)
        if not arrays:
            return None
        self._refuse(scene, items.grid_problems(arrays))
        packed, shape, origin, voxel = (arrays[part] for part in items.GRID_PARTS)
        sides = tuple(int(side) for side in shape)
        count = sides[0] * sides[1] * sides[2]
        grid = np.unpackbits(packed.reshape(-1), count=count).astype(bool).reshape(sides)
        return Occupancy(grid, origin, float(voxel[0]))

    def nothing_solid(self, scene: str) -> bool:
        """Tell whether a scene has a sound occupancy grid without a solid voxel."""
        try:
            grid = self.occupancy(scene)
        except Invalid:
            return False
        return grid is not None and not grid.grid.any()

    def _refuse(self, scene: str, problems: Iterator[items.Problem]) -> None:
        for what, mend in problems:
            item = f"scene {printable(scene)}"
            raise Invalid(f"{self.folder}/{Fault(GEOMETRY, None, item, what, mend)}")

    def rows(self, name: str) -> Rows:
        """Return what a JSON-lines file holds; nothing if it is not there."""
        if name not in self._read:
            self._read[name] = read_rows(self.folder / name)
        return self._read[name]

    def _row(self, name: str, *key: str) -> dict[str, Any] | None:
        rows = self.rows(name)
        if key in rows.spoiled:
            raise Invalid(f"{self.folder}/{rows.spoiled[key]}")
        return rows.items[key][1] if key in rows.items else None

    def objects(self, scene: str) -> tuple[list[dict[str, Any]], list[tuple]] | None:
        """Return detected objects and triplets (subject, predicate, object, score)."""
        row = self._row("objects.jsonl", scene)
        if row is None:
            return None
        objects = [
            {
                "box": [float(number) for number in value["box"]],
                "class": value["class"],
                "score": float(value.get("score", 1.0)),
                "oriented": value.get("oriented"),
            }
            for value in row["objects"]
        ]
        return objects, [
            (int(value[0]), value[1], int(value[2]), float(value[3]) if len(value) == 4 else 1.0)
            for value in row.get("triplets") or []
        ]

    def relations(self, scene: str) -> dict[tuple[int, int], dict[str, str]] | None:
        """Return {(i, j): {family: predicate or "none"}} over given objects."""
        row = self._row("relations.jsonl", scene)
        return None if row is None else {(int(i), int(j)): said for i, j, said in row["pairs"]}

    def relation_scores(self, scene: str) -> list[tuple[int, str, int, float]] | None:
        """Return (i, predicate, j, score) over given objects; None where none are written."""
        row = self._row("relations.jsonl", scene)
        if row is None or row.get("scores") is None:
            return None
        return [(int(i), name, int(j), float(score)) for i, name, j, score in row["scores"]]

    def grounding(self, scene: str, query: str) -> Grounding | None:
        """Return what a reference was grounded to."""
        row = self._row("grounding.jsonl", scene, query)
        if row is None:
            return None
        boxes, pick = row.get("boxes") or [], row.get("pick")
        return Grounding(np.array(boxes, float).reshape(-1, 6), None if pick is None else int(pick))

    def answer(self, scene: str, question: str) -> str | None:
        """Return the answer to a question."""
        row = self._row("answers.jsonl", scene, question)
        return None if row is None else row["answer"]

    def caption(self, scene: str) -> str | None:
        """Return the description of a scene."""
        row = self._row("captions.jsonl", scene)
        return None if row is None else row["text"]

    @cached_property
    def labels(self) -> tuple[dict[str, list[str]], list[Fault]]:
        """What the retrieval tables' rows and columns stand for, and the file's faults."""
        return read_object(self.folder / "retrieval.json", "retrieval")

    def retrieval(self) -> ScoreTable | None:
        """Return the scores of captions against scenes."""
        return self.table("retrieval")

    def probed_retrieval(self) -> ScoreTable | None:
        """Return the scores of captions against scenes through a linear probe."""
        return self.table("probed_retrieval")

    def grounding_retrieval(self) -> ScoreTable | None:
        """Return the scores of phrases against objects."""
        return self.table("grounding_retrieval")

    def table(self, task: str) -> ScoreTable | None:
        """Return the score table of a task of `TABLES`.

        What a repeated row or column scores is NaN: nobody can say which one was meant.
        """
        tensor, rows, columns = TABLES[task]
        tensors = self.tensors("retrieval.safetensors")
        if tensors is None or tensor not in tensors.keys():  # noqa: SIM118 (not a mapping)
            return None
        labels, faults = self.labels
        if faults:
            raise Invalid(f"{self.folder}/{faults[0]}")
        names, others = labels.get(rows, []), labels.get(columns, [])
        scores = tensors.get_tensor(tensor)
        if scores.shape != (len(names), len(others)) or scores.dtype.kind != "f":
            raise Invalid(
                f"{self.folder}/retrieval.safetensors: {tensor} is {scores.dtype} "
                f"{list(scores.shape)} for {len(names)} {rows} and {len(others)} {columns}; "
                "give floats, a row and a column for each name of retrieval.json"
            )
        scores = scores.astype(np.float32)
        scores[repeated(names)] = np.nan
        scores[:, repeated(others)] = np.nan
        return ScoreTable(names, others, scores)


def repeated(names: list[str]) -> list[int]:
    """Return the places of the names that stand more than once.

    >>> repeated(["a", "b", "a"])
    [0, 2]
    """
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    return sorted(place for found in places.values() if len(found) > 1 for place in found)


class Submission(Contents):
    """A submission folder with a sound manifest; raises `InputError` at once for any other."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        super().__init__(folder)
        self.manifest, faults = read_manifest(self.folder)
        if faults:
            more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
            raise InputError(f"{self.folder}/{faults[0]}{more}")
        self.method: str = self.manifest["method"]
        self.seed = int(self.manifest["seed"])
        self.split: str = self.manifest["split"]
        self.stochastic: bool = self.manifest["stochastic"]
        self.produces: frozenset[str] = frozenset(self.manifest["produces"])
        self.reasons: dict[str, str] = self.manifest.get("reasons") or {}
        self.mesh_kind: str | None = self.manifest.get("mesh_kind")
        self.thresholds: dict[str, Any] = self.manifest.get("thresholds") or {}
        self.cost: dict[str, Any] = self.manifest.get("cost") or {}


def read_manifest(folder: Path) -> tuple[dict[str, Any], list[Fault]]:
    """Return a submission's manifest and what is wrong with it.

    Raises `InputError` when there is no folder to look into.
    """
    if folder.is_file():
        kind = (
            "an archive: unpack it and" if folder.suffix in (".zip", ".gz", ".tar") else "a file;"
        )
        raise InputError(f"{folder}: is {kind} name the folder that holds manifest.json")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the folder that holds manifest.json")
    return read_object(folder / "manifest.json", "manifest")
