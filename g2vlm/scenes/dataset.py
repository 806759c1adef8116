"""Read rendered scenes from their shards, without torch.

`SceneStore.inputs` gives what a method may see of a scene, `SceneStore.views` everything that was
rendered, and `SceneStore.annotation` the true objects, relations and sentences.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from metrics.constants import FIRST_OBJECT, INPUT_VIEWS
from metrics.files import InputError, iterate_lines, read_line

# An object that the input views show on fewer pixels than this is left out of all questions.
ELIGIBLE_PIXELS = 40
# Annotations of this many scenes stay in memory, about 0.2 MB each; others are read again.
KEPT_ANNOTATIONS = 1024


@dataclass(frozen=True)
class SceneViews:
    """Everything rendered of a scene: V views, the input views first, and N objects.

    Args:
        rgb: uint8 [V, H, W, 3].
        depth: float32 [V, H, W] true z-depth in metres, 0 = no surface.
        sensor: float32 [V, H, W] simulated sensor's z-depth in metres, 0 = no measurement.
        normal: float32 [V, H, W, 3] in the frame, towards the camera.
        instance: uint8 [V, H, W], values of `metrics.constants`.
        intrinsics: float32 [V, 3, 3] in pixels.
        pose: float32 [V, 4, 4] camera to frame.
        boxes: float32 [N, 6] centre and size in metres, axis-aligned in the frame.
        yaw: float32 [N] radians, counter-clockwise in the frame.
        pixels: int32 [N, V] pixels of each object in each view.
        partial: float32 [P, 6] partial point cloud, xyz in metres and rgb in 0..1.
        occupancy: bool [X, Y, Z] cells of `VOXEL_M` in the room frame, true where solid.
        frame_from_room: float32 [4, 4].
        room: float32 [3] size of the room in metres.
        exposure: factor from linear light to display.
    """

    rgb: np.ndarray
    depth: np.ndarray
    sensor: np.ndarray
    normal: np.ndarray
    instance: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray
    boxes: np.ndarray
    yaw: np.ndarray
    pixels: np.ndarray
    partial: np.ndarray
    occupancy: np.ndarray
    frame_from_room: np.ndarray
    room: np.ndarray
    exposure: float


@dataclass(frozen=True)
class SceneInputs:
    """What a method may see of a scene: 4 posed views and the questions about it.

    Args:
        scene: id of the scene.
        rgb: uint8 [4, H, W, 3].
        depth: float32 [4, H, W] simulated sensor's z-depth in metres, 0 = no measurement.
        intrinsics: float32 [4, 3, 3] in pixels.
        pose: float32 [4, 4, 4] camera to frame.
        partial: float32 [P, 6] partial point cloud, xyz in metres and rgb in 0..1.
        gt_masks: uint8 [4, H, W] masks of the ground-truth objects that the tasks on known objects
            hand in: 1 + k for the k-th of them, 0 elsewhere.
        gt_indices: the index of each of those objects in the scene.
        references: (id, text) of each referring expression.
        questions: (id, text, type, answer kind, choices) of each.
        captions: (id, text) of each.
        phrases: (id, text) of each.
    """

    scene: str
    rgb: np.ndarray
    depth: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray
    partial: np.ndarray
    gt_masks: np.ndarray
    gt_indices: list[int]
    references: list[tuple[str, str]]
    questions: list[tuple[str, str, str, str, list[str]]]
    captions: list[tuple[str, str]]
    phrases: list[tuple[str, str]]


class SceneStore:
    """The rendered scenes of one split, read lazily from memory-mapped shards.

    Args:
        folder: holds the shards, one .jsonl and one .safetensors file each.
        shard: name of the one shard to read, by default all.
        most: keep the first scenes, at most this many; by default all.

    Raises:
        InputError: a shard is missing, cut short or malformed; the message names the file.
    """

    def __init__(self, folder: str | Path, shard: str = "*", most: int | None = None) -> None:
        self.folder = Path(folder)
        # Where a scene's annotation begins: its file and the place in bytes.
        self._places: dict[str, tuple[Path, int]] = {}
        self._annotations: dict[str, dict] = {}
        self._open: dict[Path, Any] = {}
        shards = sorted(self.folder.glob(f"{shard}.jsonl"))
        if not shards:
            raise InputError(f"{self.folder}: no shards; run `snakemake`")
        for path in shards:
            for offset, line in iterate_lines(path):
                if len(self._places) == most:
                    break
                self._places[line["scene"]] = (path, offset)
                if len(self._annotations) < KEPT_ANNOTATIONS:
                    self._annotations[line["scene"]] = line
        self.ids = list(self._places)  # in shard order

    def shard(self, scene: str) -> str:
        """Return the name of the shard that holds a scene."""
        if scene not in self._places:
            raise InputError(f"{self.folder}: no scene {scene}; run `snakemake`")
        return self._places[scene][0].stem

    def annotation(self, scene: str) -> dict:
        """Return the truth of a scene that is not a tensor."""
        if scene in self._annotations:
            return self._annotations[scene]
        if scene not in self._places:
            raise InputError(f"{self.folder}: no scene {scene}; run `snakemake`")
        return read_line(*self._places[scene])

    def views(self, scene: str) -> SceneViews:
        """Return all tensors of a scene, the truth included."""
        get = self._reader(scene)
        shape = get("solids_shape")
        bits = np.unpackbits(get("solids"), count=int(np.prod(shape)))
        names = "rgb depth instance intrinsics pose boxes yaw pixels partial frame_from_room room"
        return SceneViews(
            **{name: get(name) for name in names.split()},
            sensor=_metres(get("sensor")),
            normal=get("normal").astype(np.float32) / 127.0,
            occupancy=bits.astype(bool).reshape(shape),
            exposure=float(get("exposure")[0]),
        )

    def inputs(self, scene: str) -> SceneInputs:
        """Return what a method may see of a scene."""
        get, line = self._reader(scene), self.annotation(scene)
        indices = eligible_objects(line)
        return SceneInputs(
            scene=scene,
            rgb=get("rgb")[:INPUT_VIEWS],
            depth=_metres(get("sensor")[:INPUT_VIEWS]),
            intrinsics=get("intrinsics")[:INPUT_VIEWS],
            pose=get("pose")[:INPUT_VIEWS],
            partial=get("partial"),
            gt_masks=gt_masks(get("instance")[:INPUT_VIEWS], indices),
            gt_indices=indices,
            references=[(r["id"], r["text"]) for r in line["references"]],
            questions=[
                (q["id"], q["text"], q["type"], q["answer_kind"], list(q["choices"]))
                for q in line["questions"]
            ],
            captions=[(c["id"], c["text"]) for c in line["captions"]],
            phrases=[(p["id"], p["text"]) for p in line["phrases"]],
        )

    def _reader(self, scene: str) -> Any:
        """Return a function that reads a tensor of `scene` by its field's name."""
        path = self.folder / f"{self.shard(scene)}.safetensors"
        if path not in self._open and not path.is_file():
            raise InputError(f"{path}: missing, but its .jsonl exists; run `snakemake` again")

        def get(name: str) -> np.ndarray:
            try:
                if path not in self._open:
                    self._open[path] = safe_open(path, framework="numpy")
                return self._open[path].get_tensor(f"{scene}/{name}")
            except (SafetensorError, OSError, ValueError) as error:
                raise InputError(
                    f"{path}: cut short or malformed; delete it and run `snakemake` again"
                ) from error

        return get


def eligible_objects(annotation: dict[str, Any]) -> list[int]:
    """Return the indices of a scene's objects that questions may be about."""
    return [item["index"] for item in annotation["objects"] if item["state"] == "eligible"]


def gt_masks(instance: np.ndarray, indices: list[int]) -> np.ndarray:
    """Return masks uint8 [V, H, W] of objects: 1 + k where a view shows the k-th, 0 elsewhere.

    Args:
        instance: uint8 [V, H, W] instance values.
        indices: the objects' indices in the scene.
    """
    number = np.zeros(256, np.uint8)
    number[[FIRST_OBJECT + index for index in indices]] = np.arange(1, len(indices) + 1)
    return number[instance]


def _metres(millimetres: np.ndarray) -> np.ndarray:
    return millimetres.astype(np.float32) / 1000.0
