"""Small captures of the traced room, written in every layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from metrics.files import write_json
from tests.g2vlm.inference.synthetic import camera, trace

WIDTH, HEIGHT = 160, 120
NUMBERS = (130.0, 130.0, 79.5, 59.5)
# The world of most trackers: the first camera's own axes, y down, here tilted besides.
TILT = np.array(
    [[1, 0, 0, 0.4], [0, 0.1736, -0.9848, 0.2], [0, 0.9848, 0.1736, -0.7], [0, 0, 0, 1]]
)


class Scan(NamedTuple):
    """rgb u8[N, H, W, 3], depth f32[N, H, W] metres, pose f64[N, 4, 4] camera to room frame."""

    rgb: np.ndarray
    depth: np.ndarray
    pose: np.ndarray


def scan(count: int = 5, height_m: float = 1.4) -> Scan:
    """Trace `count` views of the room; the first stands above the frame's origin."""
    rgb, depth, poses = [], [], []
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    fx, fy, cx, cy = NUMBERS
    local = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones(x.shape)], -1)
    for k in range(count):
        place = (0.25 * (k % 7), 0.3 * np.sin(k), height_m)
        pose = camera(place, 0.0 if k == 0 else 0.25 * np.cos(2.0 * k), -0.45).astype(float)
        z, instance = trace(pose[:3, 3], local @ pose[:3, :3].T)
        shade = np.stack([40 * (instance % 7), 90 + 20 * (instance % 5), (60 * z) % 256], -1)
        rgb.append(np.clip(shade, 0, 255).astype(np.uint8))
        depth.append(z)
        poses.append(pose)
    return Scan(np.stack(rgb), np.stack(depth), np.stack(poses))


def in_world(made: Scan, world: np.ndarray = TILT) -> Scan:
    """The same scan in another world: `world` maps the room's frame to it."""
    return made._replace(pose=world @ made.pose)


def on_its_side(made: Scan) -> Scan:
    """The same scan with the camera held so that the image's left side is up."""
    pose = made.pose.copy()
    pose[:, :3, :2] = np.stack([-made.pose[:, :3, 1], made.pose[:, :3, 0]], -1)
    return Scan(np.rot90(made.rgb, -1, (1, 2)), np.rot90(made.depth, -1, (1, 2)), pose)


def side_numbers() -> tuple[float, float, float, float]:
    """The intrinsics of `on_its_side`."""
    fx, fy, cx, cy = NUMBERS
    return fy, fx, HEIGHT - 1 - cy, cx


def quaternion(pose: np.ndarray) -> str:
    """tx ty tz qx qy qz qw of a pose, by scipy."""
    from scipy.spatial.transform import Rotation

    values = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
    return " ".join(f"{value:.9f}" for value in values)


def save(image: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(image)).save(path)


def units(depth: np.ndarray, scale: float) -> np.ndarray:
    return np.round(depth * scale).astype(np.uint16)


def matrix_text(values: np.ndarray) -> str:
    return "\n".join(" ".join(f"{v:.9f}" for v in row) for row in values) + "\n"


def write_plain(folder: Path, made: Scan, scale: float = 1000) -> Path:
    """color/ depth/ pose.txt."""
    for k, (rgb, depth) in enumerate(zip(made.rgb, made.depth, strict=True), 1):
        save(rgb, folder / f"color/{k}.png")
        save(units(depth, scale), folder / f"depth/{k}.png")
    (folder / "pose.txt").write_text("\n".join(map(quaternion, made.pose)) + "\n")
    return folder


def write_tum(folder: Path, made: Scan) -> Path:
    """rgb/ depth/ with lists of stamps; colour 8 ms after depth, poses at 100 Hz between."""
    lists: dict[str, list[str]] = {"rgb": ["# color"], "depth": ["# depth"], "groundtruth": ["# t"]}
    for k, pose in enumerate(made.pose):
        stamp = 1305031102.0 + k / 10
        save(made.rgb[k], folder / f"rgb/{k}.png")
        save(units(made.depth[k], 5000), folder / f"depth/{k}.png")
        lists["rgb"].append(f"{stamp + 0.008:.6f} rgb/{k}.png")
        lists["depth"].append(f"{stamp:.6f} depth/{k}.png")
        lists["groundtruth"].append(f"{stamp + 0.001:.4f} {quaternion(pose)}")
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_seven(folder: Path, made: Scan) -> Path:
    """frame-XXXXXX.{color,depth,pose}, with 65535 where nothing was measured."""
    for k, pose in enumerate(made.pose):
        depth = units(made.depth[k], 1000)
        depth[:4] = 65535
        save(made.rgb[k], folder / f"frame-{k:06d}.color.png")
        save(depth, folder / f"frame-{k:06d}.depth.png")
        (folder / f"frame-{k:06d}.pose.txt").write_text(matrix_text(pose))
    return folder


def write_scannet(folder: Path, made: Scan) -> Path:
    """color/ depth/ pose/ intrinsic/; colour twice as large, in a camera of its own."""
    fx, fy, cx, cy = NUMBERS
    for k, pose in enumerate(made.pose):
        save(made.rgb[k].repeat(2, 0).repeat(2, 1), folder / f"color/{k}.jpg")
        save(units(made.depth[k], 1000), folder / f"depth/{k}.png")
        text = matrix_text(pose if k != 1 else np.full((4, 4), -np.inf))
        (folder / "pose").mkdir(exist_ok=True)
        (folder / f"pose/{k}.txt").write_text(text)
    (folder / "intrinsic").mkdir()
    depth = np.array([[fx, 0, cx, 0], [0, fy, cy, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    colour = np.diag([2, 2, 1, 1]) @ depth
    colour[:2, 2] += 0.5
    (folder / "intrinsic/intrinsic_depth.txt").write_text(matrix_text(depth))
    (folder / "intrinsic/intrinsic_color.txt").write_text(matrix_text(colour))
    return folder


def write_declared(folder: Path, made: Scan, **changes: object) -> Path:
    """A plain folder with a capture.json."""
    frames = []
    for k, pose in enumerate(made.pose):
        save(made.rgb[k], folder / f"images/{k}.png")
        (folder / "metres").mkdir(exist_ok=True)
        np.save(folder / f"metres/{k}.npy", made.depth[k])
        frames.append(
            {"color": f"images/{k}.png", "depth": f"metres/{k}.npy", "pose": pose.tolist()}
        )
    values = {"frames": frames, "intrinsics": list(NUMBERS), "depth_scale": 1} | changes
    write_json(folder / "capture.json", values)
    return folder


# A writer for every layout.
WRITERS: dict[str, Callable[[Path, Scan], Path]] = {
    "capture.json": write_declared,
    "TUM RGB-D": write_tum,
    "7-Scenes": write_seven,
    "ScanNet export": write_scannet,
    "color/ depth/ pose.txt": write_plain,
}
