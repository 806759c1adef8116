"""Read rendered shards, without torch: what a method may see, and what it is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from metrics.files import InputError, read_lines

FLOOR, WALL, CEILING, OPENING = 1, 2, 3, 4
FIRST_OBJECT = 10
INPUT_VIEWS = 4
ELIGIBLE_PIXELS = 40


@dataclass(frozen=True)
class SceneViews:
    """Everything rendered of a scene: V views, the 4 inputs first; N objects.

    rgb u8[V, H, W, 3]; depth f32[V, H, W] true z-depth m, 0 = none; sensor f32[V, H, W] measured
    m, 0 = lost; normal f32[V, H, W, 3] frame axes, facing the camera; instance u8[V, H, W] (0
    nothing, or a surface of a captured room that has no name, 1 floor, 2 wall, 3 ceiling, 4
    opening, 10 + object index); intrinsics f32[V, 3, 3]; pose f32[V, 4, 4] camera to frame; boxes
    f32[N, 6]; yaw f32[N]; pixels i32[N, V]; partial f32[P, 6]; solids bool[X, Y, Z] at 4 cm in the
    room frame; frame_from_room f32[4, 4]; room f32[3] m; exposure: linear light to display.
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
    solids: np.ndarray
    frame_from_room: np.ndarray
    room: np.ndarray
    exposure: float


@dataclass(frozen=True)
class SceneInputs:
    """What a method may see of a scene: 4 posed views and the questions asked of it.

    rgb u8[4, H, W, 3]; depth f32[4, H, W] measured m, 0 = lost; intrinsics f32[4, 3, 3]; pose
    f32[4, 4, 4] camera to frame; partial f32[P, 6]; given_masks u8[4, H, W] (0 none, 1 + k = the
    k-th given object); given_indices: the objects' indices; held_out_*: cameras to predict into;
    references, captions, phrases: (id, text); questions: (id, text, type, answer kind, choices).
    """

    scene: str
    rgb: np.ndarray
    depth: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray
    partial: np.ndarray
    given_masks: np.ndarray
    given_indices: list[int]
    held_out_intrinsics: np.ndarray
    held_out_pose: np.ndarray
    references: list[tuple[str, str]]
    questions: list[tuple[str, str, str, str, list[str]]]
    captions: list[tuple[str, str]]
    phrases: list[tuple[str, str]]


class SceneStore:
    """The rendered scenes of one split, read lazily from memory-mapped shards.

    Raises `InputError` naming the file when a shard is missing, cut short or malformed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._annotations: dict[str, dict] = {}
        self._shard_of: dict[str, Path] = {}
        self._open: dict[Path, Any] = {}
        shards = sorted(self.folder.glob("*.jsonl"))
        if not shards:
            raise InputError(f"{self.folder}: no shards; run `snakemake`")
        for path in shards:
            for line in read_lines(path):
                self._annotations[line["scene"]] = line
                self._shard_of[line["scene"]] = path.with_suffix(".safetensors")

    @cached_property
    def ids(self) -> list[str]:
        """Scene ids in shard order."""
        return list(self._annotations)

    def annotation(self, scene: str) -> dict:
        """Return the truth of a scene that is not a tensor."""
        if scene not in self._annotations:
            raise InputError(f"{self.folder}: no scene {scene}; run `snakemake`")
        return self._annotations[scene]

    def views(self, scene: str) -> SceneViews:
        """Return all tensors of a scene, the truth included."""
        get = self._reader(scene)
        shape = tuple(int(n) for n in get("solids_shape"))
        bits = np.unpackbits(get("solids"), count=int(np.prod(shape)))
        names = "rgb depth instance intrinsics pose boxes yaw pixels partial frame_from_room room"
        return SceneViews(
            **{name: get(name) for name in names.split()},
            sensor=_metres(get("sensor")),
            normal=get("normal").astype(np.float32) / 127.0,
            solids=bits.astype(bool).reshape(shape),
            exposure=float(get("exposure")[0]),
        )

    def inputs(self, scene: str) -> SceneInputs:
        """Return what a method may see of a scene."""
        get, line = self._reader(scene), self.annotation(scene)
        given = [item["index"] for item in line["objects"] if item["state"] == "eligible"]
        intrinsics, pose = get("intrinsics"), get("pose")
        return SceneInputs(
            scene=scene,
            rgb=get("rgb")[:INPUT_VIEWS],
            depth=_metres(get("sensor")[:INPUT_VIEWS]),
            intrinsics=intrinsics[:INPUT_VIEWS],
            pose=pose[:INPUT_VIEWS],
            partial=get("partial"),
            given_masks=given_masks(get("instance")[:INPUT_VIEWS], given),
            given_indices=given,
            held_out_intrinsics=intrinsics[INPUT_VIEWS:],
            held_out_pose=pose[INPUT_VIEWS:],
            references=[(r["id"], r["text"]) for r in line["references"]],
            questions=[
                (q["id"], q["text"], q["type"], q["answer_kind"], list(q["choices"]))
                for q in line["questions"]
            ],
            captions=[(c["id"], c["text"]) for c in line["captions"]],
            phrases=[(p["id"], p["text"]) for p in line["phrases"]],
        )

    def _reader(self, scene: str) -> Any:
        self.annotation(scene)
        path = self._shard_of[scene]
        if path not in self._open:
            self._open[path] = _open_shard(path)

        def get(name: str) -> np.ndarray:
            try:
                return self._open[path].get_tensor(f"{scene}/{name}")
            except SafetensorError as error:
                raise _broken(path) from error

        return get


def given_masks(instance: np.ndarray, given: list[int]) -> np.ndarray:
    """Turn instance maps u8[V, H, W] into masks u8[V, H, W]: 1 + k for the k-th given object."""
    table = np.zeros(256, np.uint8)
    table[[FIRST_OBJECT + index for index in given]] = np.arange(1, len(given) + 1)
    return table[instance]


def _metres(millimetres: np.ndarray) -> np.ndarray:
    return millimetres.astype(np.float32) / 1000.0


def _open_shard(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: missing beside its .jsonl; run `snakemake` again")
    try:
        return safe_open(path, framework="numpy")
    except (SafetensorError, OSError) as error:
        raise _broken(path) from error


def _broken(path: Path) -> InputError:
    return InputError(f"{path}: cut short or malformed; delete it and run `snakemake` again")
