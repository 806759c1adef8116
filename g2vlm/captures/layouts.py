"""The folder layouts of real captures, recognised by the files they hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from g2vlm.captures.cameras import CAMERAS, matrix
from g2vlm.captures.declared import inside, read_declared
from g2vlm.captures.listing import FrameFiles, Listing
from g2vlm.captures.poses import from_quaternion, read_matrix, read_rows
from metrics.files import InputError

IMAGES = {".png", ".jpg", ".jpeg", ".ppm", ".pgm", ".tif", ".tiff", ".npy"}
VIDEOS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".bag", ".sens"}
LAYOUTS_HELP = (
    "known layouts: capture.json; TUM RGB-D (rgb.txt, depth.txt, groundtruth.txt); 7-Scenes "
    "(frame-000000.color.png ...); ScanNet export (color/ depth/ pose/ intrinsic/); color/ depth/ "
    "pose.txt"
)
# Stamps further apart than this do not belong together (the TUM benchmark's own tools).
_STAMP_SECONDS = 0.02


def list_frames(path: Path) -> Listing:
    """Recognise the layout of a capture and list its frames; no image is read.

    Raises `InputError` that says what is missing, or what to export from a video.
    """
    if not path.exists():
        raise InputError(f"{path}: no such folder; give the folder of a capture ({LAYOUTS_HELP})")
    if not path.is_dir():
        if path.suffix.lower() in VIDEOS:
            raise _video(path)
        if path.name != "capture.json":
            raise InputError(f"{path}: a file; give the folder of a capture ({LAYOUTS_HELP})")
        path = path.parent
    for fits, read in _READERS:
        if fits(path):
            listing = read(path)
            if not listing.frames:
                raise InputError(
                    f"{path}: the {listing.layout} layout holds no whole frame "
                    "(colour, depth and pose); export it again"
                )
            return listing
    raise _unknown(path)


def _video(path: Path) -> InputError:
    return InputError(
        f"{path}: a recording, not frames; a video has no depth or poses this can read: export "
        "posed RGB-D frames from the scanning app or the recorder's own tool "
        f"({LAYOUTS_HELP})"
    )


def _unknown(path: Path) -> InputError:
    files = [item for item in sorted(path.rglob("*"))[:5000] if item.is_file()]
    kinds = {item.suffix.lower() for item in files}
    videos = [item for item in files if item.suffix.lower() in VIDEOS]
    if videos:
        return _video(videos[0])
    parts = sorted(item.name for item in path.iterdir() if item.is_dir() and _is_seven(item))
    if parts:
        return InputError(f"{path}: holds several sequences; give one of them, {path / parts[0]}")
    if not kinds & IMAGES:
        return InputError(f"{path}: no frames; give the folder of a capture ({LAYOUTS_HELP})")
    if not _has(path, "depth", "depth.txt"):
        return InputError(f"{path}: images but no depth/; the model needs RGB-D ({LAYOUTS_HELP})")
    return InputError(f"{path}: images in no layout that is known; write a capture.json (docs/use)")


def _has(path: Path, *names: str) -> bool:
    return any((path / name).exists() for name in names)


def _images(folder: Path) -> dict[str, Path]:
    """Return a folder's images by stem, in natural order."""
    found = [item for item in folder.iterdir() if item.suffix.lower() in IMAGES]

    def key(item: Path) -> list:
        parts = re.split(r"(\d+)", item.stem)
        return [int(part) if part.isdigit() else part for part in parts]

    return {item.stem: item for item in sorted(found, key=key)}


def _pairs(path: Path) -> tuple[list[tuple[str, Path, Path]], tuple[str, ...]]:
    """Pair color/ (or rgb/) with depth/ by stem; returns name, colour and depth, and notes."""
    folder = path / ("color" if (path / "color").is_dir() else "rgb")
    colour, depth = _images(folder), _images(path / "depth")
    both = [(name, colour[name], depth[name]) for name in colour if name in depth]
    odd = len(colour) + len(depth) - 2 * len(both)
    notes = (f"{odd} images without their partner in color/ or depth/ were left out.",)
    return both, notes if odd else ()


def _is_tum(path: Path) -> bool:
    return _has(path, "rgb.txt") and _has(path, "depth.txt")


def _stamped(path: Path) -> tuple[np.ndarray, list[Path]]:
    """Read `stamp file` rows of rgb.txt or depth.txt, sorted by stamp."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            rows.append((float(words[0]), inside(path.parent, words[1], str(path))))
        except (ValueError, IndexError) as error:
            raise InputError(f"{path}: row {number} is not `stamp file`; mend it") from error
    rows.sort()
    return np.array([row[0] for row in rows]), [row[1] for row in rows]


def _nearest(stamps: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each of `wanted` the index of the nearest of sorted `stamps` and if it is near."""
    if not len(stamps):
        return np.zeros(len(wanted), int), np.zeros(len(wanted), bool)
    right = np.clip(np.searchsorted(stamps, wanted), 1, max(len(stamps) - 1, 1))
    index = np.clip(np.stack([right - 1, right]), 0, len(stamps) - 1)
    apart = np.abs(stamps[index] - wanted)
    best = index[apart.argmin(0), np.arange(len(wanted))]
    return best, apart.min(0) <= _STAMP_SECONDS


def _read_tum(path: Path) -> Listing:
    """TUM RGB-D benchmark: lists of stamps, associated within 20 ms; depth 5000 a metre."""
    truth = read_rows(path / "groundtruth.txt", 8)
    truth = truth[np.argsort(truth[:, 0], kind="stable")]
    stamps, depths = _stamped(path / "depth.txt")
    colour_stamps, colours = _stamped(path / "rgb.txt")
    colour, near = _nearest(colour_stamps, stamps)
    place, known = _nearest(truth[:, 0], stamps)
    kept = np.flatnonzero(near & known)
    frames = tuple(
        FrameFiles(
            f"{stamps[k]:.6f}",
            colours[colour[k]],
            depths[k],
            from_quaternion(truth[place[k], 1:], str(path / "groundtruth.txt")),
        )
        for k in kept
    )
    left = len(stamps) - len(kept)
    notes = (f"{left} depth images without colour and pose within 20 ms were left out.",)
    name = re.search(r"freiburg[123]", str(path.resolve()))
    known_camera = matrix(*CAMERAS[name.group()][0]) if name else None
    return Listing("TUM RGB-D", frames, known_camera, 5000.0, notes=notes if left else ())


def _is_seven(path: Path) -> bool:
    return any(path.glob("frame-*.color.*"))


def _read_seven(path: Path) -> Listing:
    """7-Scenes: frame-XXXXXX.{color,depth}.png and .pose.txt; millimetres, 65535 = none."""
    frames, left = [], 0
    for colour in sorted(path.glob("frame-*.color.*")):
        name = colour.name.split(".")[0]
        depth, pose = path / f"{name}.depth.png", path / f"{name}.pose.txt"
        if depth.is_file() and pose.is_file():
            frames.append(FrameFiles(name, colour, depth, read_matrix(pose)))
        else:
            left += 1
    notes = ("7-Scenes colour is not registered to depth: edges are off by some pixels.",)
    if left:
        notes += (f"{left} frames without depth or pose were left out.",)
    intrinsics = matrix(*CAMERAS["7scenes"][0])
    return Listing("7-Scenes", tuple(frames), intrinsics, 1000.0, (65535,), notes=notes)


def _is_scannet(path: Path) -> bool:
    return all((path / name).is_dir() for name in ("color", "depth", "pose"))


def _read_scannet(path: Path) -> Listing:
    """ScanNet's exported frames: color/ depth/ pose/ intrinsic/, millimetres, z up."""
    pairs, notes = _pairs(path)
    poses = {item.stem: item for item in (path / "pose").glob("*.txt")}
    frames = tuple(
        FrameFiles(name, colour, depth, read_matrix(poses[name]))
        for name, colour, depth in pairs
        if name in poses
    )
    folder = path / "intrinsic"
    of_depth, of_colour = folder / "intrinsic_depth.txt", folder / "intrinsic_color.txt"
    offset = np.eye(4)
    if (folder / "extrinsic_color.txt").is_file() and (folder / "extrinsic_depth.txt").is_file():
        depth_pose = read_matrix(folder / "extrinsic_depth.txt")
        offset = np.linalg.inv(read_matrix(folder / "extrinsic_color.txt")) @ depth_pose
    half = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    return Listing(
        "ScanNet",
        frames,
        read_matrix(of_depth)[:3, :3] + half if of_depth.is_file() else None,
        1000.0,
        colour_intrinsics=read_matrix(of_colour)[:3, :3] + half if of_colour.is_file() else None,
        colour_from_depth=offset,
        notes=notes,
    )


def _is_plain(path: Path) -> bool:
    return (path / "depth").is_dir() and _has(path, "color", "rgb")


def _read_plain(path: Path) -> Listing:
    """color/ depth/ pose.txt (a row tx ty tz qx qy qz qw a frame), maybe intrinsics.txt."""
    pairs, notes = _pairs(path)
    rows = path / "pose.txt"
    if rows.is_file():
        poses = [from_quaternion(row, str(rows)) for row in read_rows(rows, 7)]
    elif len(pairs) <= 1:
        poses = [np.eye(4)] * len(pairs)
        notes += ("One frame without a pose: its camera is the world.",)
    else:
        raise InputError(f"{rows}: no such file; give a row tx ty tz qx qy qz qw for each frame")
    if len(poses) != len(pairs):
        raise InputError(f"{rows}: {len(poses)} poses for {len(pairs)} frames; mend one of them")
    numbers = path / "intrinsics.txt"
    intrinsics = matrix(*read_rows(numbers, 4)[0]) if numbers.is_file() else None
    frames = tuple(FrameFiles(*pair, pose) for pair, pose in zip(pairs, poses, strict=True))
    return Listing("color, depth, pose.txt", frames, intrinsics, notes=notes)


_READERS: tuple[tuple[Callable[[Path], bool], Callable[[Path], Listing]], ...] = (
    (lambda path: (path / "capture.json").is_file(), read_declared),
    (_is_tum, _read_tum),
    (_is_seven, _read_seven),
    (_is_scannet, _read_scannet),
    (_is_plain, _read_plain),
)
