"""Read a submission, lazily and safely. docs/submission-format.md describes the format.

`metrics.submission.writer` writes submissions and `metrics.submission.validate` lists their faults.
"""

import os
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from metrics.files import InputError
from metrics.submission import items
from metrics.submission.items import Grounding, Mesh, Occupancy, Points, SimilarityTable
from metrics.submission.packing import PARTS, SUFFIX, unpack
from metrics.submission.parsing import (
    Fault,
    Invalid,
    Rows,
    Tensors,
    open_tensors,
    read_object,
    read_rows,
    regular_file,
    scene_label,
)

GEOMETRY = "geometry.safetensors"
SCORES = "retrieval.safetensors"
# Retrieval tasks: tensor, kind of its rows, kind of its columns.
TABLES = {
    "retrieval": ("text_to_scene", "texts", "scenes"),
    "probed_retrieval": ("probed_text_to_scene", "texts", "scenes"),
    "grounding_retrieval": ("phrase_to_object", "phrases", "objects"),
}


class Contents:
    """The contents of a submission's folder, read lazily, without regard to its manifest.

    Getters return None for what is missing. They raise `Invalid` for what cannot be used: broken
    files, wrong shapes, numbers that are not finite, repeated items, unknown predicates.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._rows: dict[str, Rows] = {}
        self._opened: dict[str, Tensors | Fault | None] = {}

    def tensors(self, name: str) -> Tensors | None:
        """Return an opened safetensors file, None if it is not there."""
        if name not in self._opened:
            path = self.folder / name
            try:
                self._opened[name] = open_tensors(path) if regular_file(path) else None
            except Invalid as error:
                self._opened[name] = error.fault
        opened = self._opened[name]
        if isinstance(opened, Fault):
            raise Invalid(self.folder, opened)
        return opened

    def arrays(self, scene: str, parts: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Return those of a scene's tensors that are in the file, by part, unpacked."""
        tensors = self.tensors(GEOMETRY)
        names = tensors.keys() if tensors is not None else frozenset()
        found = {}
        for part in parts:
            name = f"{scene}/{part}"
            if name in names:
                found[part] = tensors.get_tensor(name)
            if name + SUFFIX not in names or part not in PARTS:
                continue
            if part in found:
                problem = (f"has both {part} and {part}{SUFFIX}", "give one of them")
                self._refuse(scene, iter([problem]))
            try:
                found[part] = unpack(part, tensors.get_tensor(name + SUFFIX))
            except ValueError as error:
                problem = (f"{part}{SUFFIX} {error}", "deflate the steps from row to row")
                self._refuse(scene, iter([problem]))
        return found

    def points(self, scene: str) -> Points | None:
        """Return the surface points of a scene."""
        arrays = self.arrays(scene, items.POINT_PARTS)
        if "points" not in arrays:
            return None
        self._refuse(scene, items.point_problems(arrays))
        return Points(
            items.positions_of("points", arrays),
            arrays.get("colours"),
            items.pixels_of(arrays),
            arrays.get("confidence"),
        )

    def mesh(self, scene: str) -> Mesh | None:
        """Return the mesh of a scene."""
        arrays = self.arrays(scene, items.MESH_PARTS)
        if not arrays:
            return None
        self._refuse(scene, items.mesh_problems(arrays))
        return Mesh(
            items.positions_of("vertices", arrays),
            arrays["faces"],
            arrays.get("vertex_colours"),
        )

    def occupancy(self, scene: str) -> Occupancy | None:
        """Return the occupancy grid of a scene."""
        arrays = self.arrays(scene, items.GRID_PARTS)
        if not arrays:
            return None
        self._refuse(scene, items.grid_problems(arrays))
        packed, shape, origin, voxel = (arrays[part] for part in items.GRID_PARTS)
        return Occupancy(items.unpacked_bits(packed, shape), origin, float(voxel[0]))

    def _refuse(self, scene: str, problems: Iterator[items.Problem]) -> None:
        """Raise `Invalid` for the first problem of a scene's geometry, if there is one."""
        for what, fix in problems:
            raise Invalid(self.folder, Fault(GEOMETRY, None, scene_label(scene), what, fix))

    def rows(self, name: str) -> Rows:
        """Return the contents of a JSON-lines file, empty if there is no such file."""
        if name not in self._rows:
            self._rows[name] = read_rows(self.folder / name)
        return self._rows[name]

    def _row(self, name: str, *key: str) -> dict[str, Any] | None:
        rows = self.rows(name)
        if key in rows.invalid:
            raise Invalid(self.folder, rows.invalid[key])
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
        """Return {(i, j): {family: predicate or "none"}} over ground-truth objects."""
        row = self._row("relations.jsonl", scene)
        return None if row is None else {(int(i), int(j)): labels for i, j, labels in row["pairs"]}

    def relation_scores(self, scene: str) -> list[tuple[int, str, int, float]] | None:
        """Return (i, predicate, j, score) over ground-truth objects, None without scores."""
        row = self._row("relations.jsonl", scene)
        if row is None or row.get("scores") is None:
            return None
        return [(int(i), name, int(j), float(score)) for i, name, j, score in row["scores"]]

    def grounding(self, scene: str, query: str) -> Grounding | None:
        """Return what a referring expression was grounded to."""
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
        """The names of the retrieval tables' rows and columns, and the faults of that file."""
        return read_object(self.folder / "retrieval.json", "retrieval")

    def table(self, task: str) -> SimilarityTable | None:
        """Return the table of a task of `TABLES`: captions against scenes, phrases against objects.

        The scores of a repeated row or column are NaN, because it is unclear which of them counts.
        """
        tensor, rows, columns = TABLES[task]
        tensors = self.tensors(SCORES)
        if tensors is None or tensor not in tensors.keys():  # noqa: SIM118 (not a mapping)
            return None
        labels, faults = self.labels
        if faults:
            raise Invalid(self.folder, faults[0])
        row_names, column_names = labels.get(rows, []), labels.get(columns, [])
        scores = tensors.get_tensor(tensor)
        if scores.shape != (len(row_names), len(column_names)) or scores.dtype.kind != "f":
            what = (
                f"{tensor} is {scores.dtype} {list(scores.shape)} for {len(row_names)} {rows} and "
                f"{len(column_names)} {columns}"
            )
            fix = "give floats, a row and a column for each name of retrieval.json"
            raise Invalid(self.folder, Fault(SCORES, None, "", what, fix))
        scores = scores.astype(np.float32)
        scores[repeated(row_names)] = np.nan
        scores[:, repeated(column_names)] = np.nan
        return SimilarityTable(row_names, column_names, scores)


def repeated(names: list[str]) -> list[int]:
    """Return the positions of the names that occur more than once.

    Example:
        >>> repeated(["a", "b", "a"])
        [0, 2]
    """
    counts = Counter(names)
    return [place for place, name in enumerate(names) if counts[name] > 1]


class Submission(Contents):
    """A submission folder with a valid manifest; raises `InputError` for any other."""

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
    """Return a submission's manifest and its faults; raises `InputError` if there is no folder."""
    fix = "name the folder that holds manifest.json"
    if folder.suffix in (".zip", ".gz", ".tar") and folder.is_file():
        raise InputError(f"{folder}: is an archive: unpack it and {fix}")
    if folder.is_file():
        raise InputError(f"{folder}: is a file; {fix}")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; {fix}")
    return read_object(folder / "manifest.json", "manifest")
