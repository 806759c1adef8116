"""Write a submission: the predictions of one method, seed and split, in the common format.

The folder holds:

- ``manifest.json``: method, tasks, units, cost and the sha256 of every other file;
- ``geometry.safetensors``: points, meshes and occupancy grids by scene;
- ``objects.jsonl``, ``relations.jsonl``, ``grounding.jsonl``, ``answers.jsonl``,
  ``captions.jsonl``: one JSON value a line;
- ``retrieval.safetensors`` with ``retrieval.json``: score matrices and the names of their rows and
  columns.

Everything is metres in the levelled frame of the first input camera.
"""

import json
import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from metrics.files import InputError, atomic_path, sha256_file, write_json, write_lines
from metrics.submission.items import FARTHEST_MM, MOST_VOXELS
from metrics.submission.packing import SUFFIX, pack

FORMAT = "g2vlm-submission"
VERSION = 1
FRAME = "levelled_first_camera"
POSE_CONVENTION = "opencv_camera_to_world"
TASKS = (
    "points",
    "mesh",
    "occupancy",
    "objects",
    "graph",
    "given_relations",
    "grounding",
    "picks",
    "retrieval",
    "probed_retrieval",
    "grounding_retrieval",
    "answers",
    "captions",
)
MESH_KINDS = ("solids", "free_boundary")

_DTYPES = {
    "float32": "F32",
    "int32": "I32",
    "float16": "F16",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
}


class TensorSpool:
    """Collect tensors on disk, not in memory, and write them as one safetensors file.

    Tensors are grouped by element size (4, 2, 1 bytes), so that each one is aligned in the file.

    Args:
        folder: where tensors are collected; by default the system's folder of temporary files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="spool.", dir=folder))
        self._files: dict[int, BinaryIO] = {
            size: (self._folder / str(size)).open("w+b") for size in (4, 2, 1)
        }
        self._entries: dict[int, list[tuple[str, str, list[int], int]]] = {4: [], 2: [], 1: []}
        self._names: set[str] = set()

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str, array: np.ndarray) -> None:
        """Append an array of float32, int32, float16, int16, int8 or uint8 under a new name."""
        if name in self._names:
            raise InputError(f"{name}: written twice; write each item of a scene once")
        self._names.add(name)
        data = np.ascontiguousarray(array)
        size = data.dtype.itemsize
        self._entries[size].append((name, _DTYPES[data.dtype.name], list(data.shape), data.nbytes))
        self._files[size].write(data.tobytes())

    def save(self, path: Path, metadata: dict[str, str] | None = None) -> None:
        """Write the safetensors file."""
        header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
        offset = 0
        for size in (4, 2, 1):
            for name, dtype, shape, count in self._entries[size]:
                offsets = [offset, offset + count]
                header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
                offset += count
        text = json.dumps(header, separators=(",", ":")).encode("utf-8")
        text += b" " * (-len(text) % 8)
        with open(path, "wb") as out:
            out.write(len(text).to_bytes(8, "little"))
            out.write(text)
            for size in (4, 2, 1):
                self._files[size].seek(0)
                shutil.copyfileobj(self._files[size], out, 1 << 20)

    def close(self) -> None:
        """Delete the temporary files."""
        for handle in self._files.values():
            handle.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class SubmissionWriter:
    """Context manager that writes a submission; the folder appears whole at a clean exit.

    Args:
        folder: of the submission; an earlier one is replaced.
        method: its name in every table.
        seed: of the training, 0 where nothing is random.
        split: the predicted split.
        stochastic: False for a method whose reruns are identical.
        produces: tasks (of `TASKS`) that it predicts for the whole split.
        reasons: {task: why it is not produced}.
        mesh_kind: "solids" (outward normals, furniture only) or "free_boundary" (surface of the
            free space, normals into it); needed when "mesh" is produced.
        cost: parameters, train_seconds, seconds_per_scene, peak_memory_mb.
        compact: store geometry in about a quarter of the bytes: points and vertices as whole
            millimetres, confidence in 255 steps, all of it deflated. Coordinates change by up to
            0.5 mm. What does not fit, a point 33 m from the middle or a confidence of 0, is stored
            as without `compact`.

    `cost`, `thresholds` and `reasons` may be changed until the exit.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        method: str,
        seed: int,
        split: str,
        stochastic: bool,
        produces: list[str] | tuple[str, ...],
        reasons: dict[str, str] | None = None,
        mesh_kind: str | None = None,
        cost: dict[str, Any] | None = None,
        compact: bool = False,
    ) -> None:
        unknown = sorted(set(produces) - set(TASKS))
        if unknown:
            raise InputError(f"{folder}: unknown tasks {unknown}; choose from {list(TASKS)}")
        if mesh_kind not in (None, *MESH_KINDS):
            raise InputError(f"{folder}: mesh_kind {mesh_kind!r}; choose from {list(MESH_KINDS)}")
        if "mesh" in produces and mesh_kind is None:
            raise InputError(
                f"{folder}: produces a mesh; give mesh_kind, one of {list(MESH_KINDS)}"
            )
        self.folder = Path(folder)
        self.method, self.seed, self.split = method, int(seed), split
        self.stochastic = bool(stochastic)
        self.produces = [task for task in TASKS if task in set(produces)]
        self.reasons: dict[str, str] = dict(reasons or {})
        self.mesh_kind = mesh_kind
        self._compact = compact
        self.cost: dict[str, Any] = dict(cost or {})
        self.thresholds: dict[str, Any] = {}
        self._lines: dict[str, list[dict[str, Any]]] = {}
        self._table_names: dict[str, list[str]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "SubmissionWriter":
        self._temporary = self._stack.enter_context(atomic_path(self.folder, folder=True))
        self._spool = TensorSpool()
        self._stack.callback(self._spool.close)
        self._tables = TensorSpool()
        self._stack.callback(self._tables.close)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, value, trace)
            return
        # The stack also removes the temporary folder if `_finish` fails.
        with self._stack:
            self._finish()

    def points(
        self,
        scene: str,
        points: np.ndarray,
        colours: np.ndarray,
        pixels: np.ndarray | None = None,
        confidence: np.ndarray | None = None,
    ) -> None:
        """Write the surface points of a scene.

        Args:
            scene: name.
            points: f32 [M, 3], metres.
            colours: u8 [M, 3], sRGB.
            pixels: i16 [M, 3], input view, row and column of each point; metrics with sim3
                alignment need them.
            confidence: f16 [M], any positive scale.
        """
        points = _rows_of_3(scene, "points", points, np.float32)
        count = len(points)
        self._positions(scene, "points", points)
        self._part(scene, "colours", _rows_of_3(scene, "colours", colours, np.uint8, count))
        if pixels is not None:
            self._pixels(scene, _rows_of_3(scene, "pixels", pixels, np.int16, count))
        if confidence is not None:
            weights = np.asarray(confidence, np.float16).reshape(-1)
            if len(weights) != count:
                raise InputError(
                    f"{scene}: {len(weights)} confidences for {count} points; give one a point"
                )
            if not (self._compact and (weights > 0).all() and np.isfinite(weights).all()):
                self._spool.add(f"{scene}/confidence", weights)
                return
            steps = np.rint(255 * weights.astype(np.float64) / weights.max(initial=0))
            self._part(scene, "confidence", np.maximum(steps, 1).astype(np.uint8))

    def _part(self, scene: str, part: str, array: np.ndarray) -> None:
        """Write one tensor, packed if the submission is compact."""
        if self._compact:
            self._spool.add(f"{scene}/{part}{SUFFIX}", pack(part, array))
        else:
            self._spool.add(f"{scene}/{part}", array)

    def _positions(self, scene: str, part: str, metres: np.ndarray) -> None:
        """Write points or vertices [M, 3]."""
        exact, origin = metres.astype(np.float64), np.zeros(3, np.float32)
        if len(exact) and np.isfinite(exact).all():
            origin = ((exact.min(axis=0) + exact.max(axis=0)) / 2).astype(np.float32)
        steps = np.rint((exact - origin) * 1000)
        # NaN is not less than the limit.
        fits = bool((np.abs(steps) <= FARTHEST_MM).all())
        if not (self._compact and fits):
            self._spool.add(f"{scene}/{part}", metres)
            return
        self._part(scene, part, steps.astype(np.int16))
        self._spool.add(f"{scene}/{part}_origin", origin)

    def _pixels(self, scene: str, pixels: np.ndarray) -> None:
        """Write pixels [M, 3]: as a mask if they are in order and the submission is compact."""
        if self._compact and len(pixels) and pixels.min() >= 0:
            shape = pixels.max(axis=0).astype(np.int64) + 1
            places = np.ravel_multi_index(tuple(pixels.T.astype(np.int64)), tuple(shape))
            # A pixel takes 48 bits, and a mask one for each pixel up to the last.
            most = min(48 * len(pixels), MOST_VOXELS)
            if (np.diff(places) > 0).all() and shape.prod() <= most:
                mask = np.zeros(shape.prod(), bool)
                mask[places] = True
                self._part(scene, "pixel_mask", np.packbits(mask))
                self._spool.add(f"{scene}/pixel_mask_shape", shape.astype(np.int32))
                return
        self._spool.add(f"{scene}/pixels", pixels)

    def mesh(
        self,
        scene: str,
        vertices: np.ndarray,
        faces: np.ndarray,
        colours: np.ndarray | None = None,
    ) -> None:
        """Write a triangle mesh; one without triangles is left out, as the format requires.

        Args:
            scene: name.
            vertices: f32 [V, 3], metres.
            faces: i32 [F, 3], indices into `vertices`.
            colours: u8 [V, 3], sRGB.
        """
        vertices = _rows_of_3(scene, "vertices", vertices, np.float32)
        faces = _rows_of_3(scene, "faces", faces, np.int32)
        if not len(faces):
            return
        self._positions(scene, "vertices", vertices)
        self._part(scene, "faces", faces)
        if colours is not None:
            rows = _rows_of_3(scene, "vertex_colours", colours, np.uint8, len(vertices))
            self._part(scene, "vertex_colours", rows)

    def occupancy(
        self, scene: str, grid: np.ndarray, origin: np.ndarray | list[float], voxel: float
    ) -> None:
        """Write solid space as a grid of voxels, axis-aligned in the frame.

        Args:
            scene: name.
            grid: bool [X, Y, Z], True where space is solid; outside the grid it is free.
            origin: lower corner of voxel (0, 0, 0), metres.
            voxel: side of a voxel, metres.
        """
        grid = np.asarray(grid, bool)
        if grid.ndim != 3:
            raise InputError(f"{scene}: occupancy has {grid.ndim} axes; give [X, Y, Z]")
        self._part(scene, "occupancy", np.packbits(grid))
        self._spool.add(f"{scene}/occupancy_shape", np.asarray(grid.shape, np.int32))
        self._spool.add(f"{scene}/occupancy_origin", np.asarray(origin, np.float32).reshape(3))
        self._spool.add(f"{scene}/occupancy_voxel", np.asarray([voxel], np.float32))

    def objects(
        self, scene: str, objects: list[dict[str, Any]], triplets: list[Any] | None = None
    ) -> None:
        """Write detected objects and the relations among them.

        Args:
            scene: name.
            objects: {"box": [cx, cy, cz, sx, sy, sz], "class", "score"}, and "oriented":
                [cx, cy, cz, sx, sy, sz, yaw] where the object's own sides and heading are known.
            triplets: [subject, predicate, object, score]; subject and object index `objects`.
        """
        self._line(
            "objects.jsonl", {"scene": scene, "objects": objects, "triplets": triplets or []}
        )

    def relations(self, scene: str, pairs: list[Any], scores: list[Any] | None = None) -> None:
        """Write the relations of ground-truth objects.

        Args:
            scene: name.
            pairs: [i, j, {family: predicate or "none"}].
            scores: [i, predicate, j, score], any number of predicates for a pair, where the method
                can rank them.
        """
        ranked = {} if scores is None else {"scores": scores}
        self._line("relations.jsonl", {"scene": scene, "pairs": pairs} | ranked)

    def grounding(
        self, scene: str, query: str, boxes: list[Any] | np.ndarray, pick: int | None = None
    ) -> None:
        """Write the boxes of a referring expression, best first, and a ground-truth object."""
        self._line(
            "grounding.jsonl", {"scene": scene, "query": query, "boxes": boxes, "pick": pick}
        )

    def answer(self, scene: str, question: str, answer: str) -> None:
        """Write the answer to a question."""
        self._line("answers.jsonl", {"scene": scene, "question": question, "answer": str(answer)})

    def caption(self, scene: str, text: str) -> None:
        """Write a description of a scene."""
        self._line("captions.jsonl", {"scene": scene, "text": str(text)})

    def retrieval(self, texts: list[str], scenes: list[str], text_to_scene: np.ndarray) -> None:
        """Write scores [Q, S] of every caption ("scene/c00") against every scene."""
        self._table("text_to_scene", "texts", texts, "scenes", scenes, text_to_scene)

    def probed_retrieval(self, texts: list[str], scenes: list[str], scores: np.ndarray) -> None:
        """Write scores [Q, S] like those of `retrieval`, by a linear probe of scene features.

        The probe is fitted on train with the method frozen, so that methods that never learned to
        retrieve can be compared by their features.

        Source: Alain and Bengio, Understanding intermediate layers using linear classifier probes,
            2016.
        """
        self._table("probed_text_to_scene", "texts", texts, "scenes", scenes, scores)

    def grounding_retrieval(
        self, phrases: list[str], objects: list[str], phrase_to_object: np.ndarray
    ) -> None:
        """Write scores [P, O] of every phrase ("scene/p00") against every "scene:index"."""
        self._table("phrase_to_object", "phrases", phrases, "objects", objects, phrase_to_object)

    def _line(self, name: str, row: dict[str, Any]) -> None:
        self._lines.setdefault(name, []).append(plain(row))

    def _table(
        self, name: str, row: str, rows: list[str], column: str, columns: list[str], scores: Any
    ) -> None:
        scores = np.ascontiguousarray(scores, np.float32)
        if scores.shape != (len(rows), len(columns)):
            raise InputError(
                f"{name}: scores are {list(scores.shape)} for {len(rows)} {row} and "
                f"{len(columns)} {column}; give a row and a column for each name"
            )
        for axis, names in ((row, rows), (column, columns)):
            if self._table_names.get(axis, list(names)) != list(names):
                raise InputError(
                    f"{name}: {axis} differ from an earlier table's; give both tables the same"
                )
        self._tables.add(name, scores)
        self._table_names |= {row: list(rows), column: list(columns)}

    def _finish(self) -> None:
        folder = self._temporary
        if len(self._spool):
            self._spool.save(folder / "geometry.safetensors")
        for name, rows in self._lines.items():
            write_lines(folder / name, rows)
        if len(self._tables):
            self._tables.save(folder / "retrieval.safetensors")
            write_json(folder / "retrieval.json", self._table_names)
        manifest = plain(
            {
                "format": FORMAT,
                "version": VERSION,
                "method": self.method,
                "seed": self.seed,
                "stochastic": self.stochastic,
                "split": self.split,
                "units": "metre",
                "frame": FRAME,
                "pose_convention": POSE_CONVENTION,
                "produces": self.produces,
                "reasons": self.reasons,
                "mesh_kind": self.mesh_kind,
                "thresholds": self.thresholds,
                "cost": self.cost,
                "files": {path.name: sha256_file(path) for path in sorted(folder.iterdir())},
            }
        )
        write_json(folder / "manifest.json", manifest)


def plain(value: Any) -> Any:
    """Return a value with NumPy scalars and arrays as numbers and lists, which JSON can hold."""
    # Nearly all values are of these types.
    if type(value) in (float, int, str):
        return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value


def _rows_of_3(
    scene: str, name: str, array: Any, dtype: type, length: int | None = None
) -> np.ndarray:
    """Return an array as [length, 3] of a type; raises InputError for any other shape."""
    array = np.ascontiguousarray(array, dtype)
    if array.ndim != 2 or array.shape[1] != 3 or length not in (None, len(array)):
        wanted = f"[{'M' if length is None else length}, 3]"
        raise InputError(f"{scene}: {name} are {list(array.shape)}; give {wanted}")
    return array
