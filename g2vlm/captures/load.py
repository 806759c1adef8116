"""A capture: the posed RGB-D frames of a folder in any known layout, levelled."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np

from g2vlm.captures import cameras
from g2vlm.captures.files import IMAGES, VIDEOS
from g2vlm.captures.images import (
    depth_unit,
    open_image,
    read_depth,
    register_colour,
    without_margins,
)
from g2vlm.captures.layout import FrameFiles, Listing
from g2vlm.captures.layouts import find_layouts
from g2vlm.captures.level import find_level, levelled_frame, quarter_turns, turn_frame
from g2vlm.captures.poses import nearest_rigid, spread_frames
from metrics.files import InputError
from metrics.geometry import transform

MAX_FRAMES = 8
# A frame with a smaller share of measured depth is left out.
_LEAST_DEPTH = 0.02
# Files looked at to say why a folder has no known layout.
_MAX_FILES = 5000


@dataclass(frozen=True)
class Capture:
    """N posed RGB-D frames of a room, upright and levelled, colour registered to depth.

    The levelled frame has its origin on the floor below the first camera, x along that camera's
    horizontal heading and z up, in metres.

    Args:
        source: the folder.
        rgb: u8[N, H, W, 3].
        depth: f32[N, H, W] z-depth in metres, 0 = no measurement.
        intrinsics: f64[N, 3, 3] in pixels, pixel centres at +0.5.
        pose: f64[N, 4, 4] camera (OpenCV axes) to the levelled frame.
        names: names of the frames.
        frame_from_capture: f64[4, 4] from the capture's own world to the levelled frame.
        notes: assumptions, repairs and omissions, one sentence each.
    """

    source: str
    rgb: np.ndarray
    depth: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray
    names: tuple[str, ...]
    frame_from_capture: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.depth.shape[2], self.depth.shape[1]

    def __len__(self) -> int:
        return len(self.names)

    def to_capture(self, xyz: np.ndarray) -> np.ndarray:
        """Move positions [..., 3] from the levelled frame to the capture's own world."""
        return transform(xyz, np.linalg.inv(self.frame_from_capture))


def load_capture(
    path: str | os.PathLike[str],
    *,
    intrinsics: Sequence[float] | None = None,
    camera: str | None = None,
    depth_scale: float | None = None,
    up: Sequence[float] | None = None,
    frames: int = MAX_FRAMES,
) -> Capture:
    """Read the folder of a capture in any of the layouts of `g2vlm.captures.layouts`.

    Args:
        path: the folder.
        intrinsics: fx, fy, cx, cy of the depth images in pixels, counted from the centre of the
            first pixel; replaces the layout's intrinsics.
        camera: name of a known sensor (`g2vlm.captures.cameras.CAMERAS`) instead of numbers.
        depth_scale: stored depth units a metre, where the layout does not fix them.
        up: rough upward direction in the capture's world, where the floor is not visible.
        frames: at most this many frames are kept, far apart; the first always is.

    Raises:
        InputError: the capture cannot be read; one line names the file and the fix.
    """
    folder = Path(path)
    if frames < 1:
        raise InputError(f"--frames {frames}: give at least 1")
    listing = _override(list_frames(folder), intrinsics, up, str(folder))
    listing = _choose_frames(listing, folder, frames)
    capture = _cut_margins(_read(listing, folder, camera, depth_scale))
    return _level(capture, listing.up)


def list_frames(path: Path) -> Listing:
    """List the frames of a capture; no image is read.

    Args:
        path: the folder of a capture, or its capture.json.

    Raises:
        InputError: no layout fits or a file is missing or wrong; the message names the fix.
    """
    if not path.exists():
        raise InputError(f"{path}: no such folder; give the folder of a capture ({_known()})")
    if not path.is_dir():
        if path.suffix.lower() in VIDEOS:
            raise _video(path)
        if path.name != "capture.json":
            raise InputError(f"{path}: a file; give the folder of a capture ({_known()})")
        path = path.parent
    for layout in find_layouts():
        if layout.recognise(path):
            listing = layout.read(path)
            if not listing.frames:
                raise InputError(
                    f"{path}: no whole frame (colour, depth and pose) in the {layout.name} layout; "
                    "export it again"
                )
            return listing
    raise _unknown_layout(path)


def _known() -> str:
    """Return the known layouts with their files, for messages."""
    names = (f"{item.name} ({item.files})" if item.files else item.name for item in find_layouts())
    return "known layouts: " + "; ".join(names)


def _video(path: Path) -> InputError:
    return InputError(
        f"{path}: a video, which has no depth or poses that can be read; export posed RGB-D frames "
        f"from the scanning app or the recorder's own tool ({_known()})"
    )


def _unknown_layout(folder: Path) -> InputError:
    """Return the error that says why no layout fits."""
    files = [path for path in sorted(folder.rglob("*"))[:_MAX_FILES] if path.is_file()]
    videos = [path for path in files if path.suffix.lower() in VIDEOS]
    if videos:
        return _video(videos[0])
    sequences = [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir() and any(layout.recognise(path) for layout in find_layouts())
    ]
    if sequences:
        return InputError(f"{folder}: holds several sequences; give one of them, {sequences[0]}")
    if not {path.suffix.lower() for path in files} & IMAGES:
        return InputError(f"{folder}: no frames; give the folder of a capture ({_known()})")
    if not ((folder / "depth").exists() or (folder / "depth.txt").exists()):
        return InputError(f"{folder}: images but no depth/; the model needs RGB-D ({_known()})")
    return InputError(
        f"{folder}: images in no known layout; write a capture.json (docs/use.md describes it)"
    )


def _override(
    listing: Listing, intrinsics: Sequence[float] | None, up: Sequence[float] | None, source: str
) -> Listing:
    """Replace what the layout fixes with what the caller gave."""
    if intrinsics is not None:
        matrix = cameras.parse_intrinsics(intrinsics, "--intrinsics")
        frames = tuple(replace(frame, intrinsics=None) for frame in listing.frames)
        listing = replace(listing, intrinsics=matrix, frames=frames)
    if up is not None:
        listing = replace(listing, up=np.asarray(up, float))
    if listing.up is not None and not 1e-6 < np.linalg.norm(listing.up) < np.inf:
        raise InputError(f"{source}: up {listing.up.tolist()} is no direction; give x,y,z")
    return listing


def _choose_frames(listing: Listing, folder: Path, most: int) -> Listing:
    """Drop frames whose pose was lost and thin out the others."""
    # The pose of a frame that the tracker lost is not finite, as in ScanNet.
    tracked = [frame for frame in listing.frames if np.isfinite(frame.pose).all()]
    if not tracked:
        raise InputError(f"{folder}: no frame has a finite pose; export the capture again")
    notes = listing.notes
    if len(tracked) < len(listing.frames):
        notes += (f"{len(listing.frames) - len(tracked)} frames without tracking were left out.",)
    rigid = [
        replace(frame, pose=nearest_rigid(frame.pose, f"{folder}: frame {frame.name}"))
        for frame in tracked
    ]
    kept = spread_frames(np.stack([frame.pose for frame in rigid]), most)
    if len(kept) < len(rigid):
        notes += (f"{len(rigid)} frames were thinned to {len(kept)}, spread over the poses.",)
    return replace(listing, frames=tuple(rigid[index] for index in kept), notes=notes)


def _read(listing: Listing, folder: Path, camera: str | None, depth_scale: float | None) -> Capture:
    """Read the frames: depth in metres, registered colour, poses still in the capture's world."""
    stored = [read_depth(frame.depth) for frame in listing.frames]
    scale = depth_scale or listing.depth_scale
    notes = list(listing.notes)
    if scale is None:
        sample = np.concatenate([image[::4, ::4].ravel() for image in stored])
        scale = depth_unit(sample, str(folder))
        notes.append(f"Depth is taken as {scale:g} units a metre, the one unit that fits a room.")
    if not np.isfinite(scale) or scale <= 0:
        raise InputError(f"--depth-scale {scale}: give stored units a metre, e.g. 1000")
    rows = []
    for frame, values in zip(listing.frames, stored, strict=True):
        missing = ~np.isfinite(values) | (values <= 0) | np.isin(values, listing.invalid)
        metres = values.astype(np.float32) / np.float32(scale)
        depth = np.where(missing, 0, metres).astype(np.float32)
        if np.mean(depth > 0) < _LEAST_DEPTH:
            notes.append(f"Frame {frame.name} has next to no depth and was left out.")
            continue
        colour = np.asarray(open_image(frame.colour).convert("RGB"))
        matrix = _intrinsics(frame, listing, camera, depth, colour, folder)
        registered, note = register_colour(colour, depth, matrix, listing, str(frame.colour))
        if note and note not in notes:
            notes.append(note)
        rows.append((registered, depth, matrix, frame.pose, frame.name))
    if not rows:
        raise InputError(f"{folder}: no frame has depth; export the capture again")
    if len({depth.shape for _, depth, *_ in rows}) > 1:
        raise InputError(f"{folder}: its frames have several sizes; export them at one size")
    *arrays, names = zip(*rows, strict=True)
    return Capture(str(folder), *map(np.stack, arrays), names, np.eye(4), tuple(notes))


def _intrinsics(
    frame: FrameFiles,
    listing: Listing,
    camera: str | None,
    depth: np.ndarray,
    colour: np.ndarray,
    folder: Path,
) -> np.ndarray:
    """Return the intrinsics f64[3, 3] of a depth image: of the sensor, the frame or the layout."""
    depth_size = (depth.shape[1], depth.shape[0])
    if camera is not None:
        return cameras.named_intrinsics(camera, *depth_size)
    matrix = frame.intrinsics if frame.intrinsics is not None else listing.intrinsics
    if matrix is None:
        raise InputError(
            f"{folder}: no intrinsics; give --intrinsics fx,fy,cx,cy (in pixels of the depth "
            f"image), or the sensor's usual ones by --camera {'|'.join(cameras.CAMERAS)}"
        )
    colour_size = (colour.shape[1], colour.shape[0])
    return cameras.fit_intrinsics(matrix, depth_size, colour_size, str(folder))


def _cut_margins(capture: Capture) -> Capture:
    """Cut off the margins that registration left blank, of all frames alike."""
    rows, columns = without_margins(capture.rgb)
    # The principal point moves with the image's upper left corner.
    shift = np.array([[1, 0, -columns.start], [0, 1, -rows.start], [0, 0, 1.0]])
    cut = replace(
        capture,
        rgb=capture.rgb[:, rows, columns],
        depth=capture.depth[:, rows, columns],
        intrinsics=shift @ capture.intrinsics,
    )
    if cut.size == capture.size:
        return capture
    width, height = cut.size
    note = f"Blank margins were cut off: {width}x{height} pixels of colour are left."
    return replace(cut, notes=(*capture.notes, note))


def _level(capture: Capture, up: np.ndarray | None) -> Capture:
    """Level the poses, turn the images upright and keep the frames of one size."""
    level = find_level(capture.depth, capture.intrinsics, capture.pose, up)
    frame_from_capture = levelled_frame(level, capture.pose[0])
    upright = []
    for rgb, depth, intrinsics, pose in zip(
        capture.rgb, capture.depth, capture.intrinsics, capture.pose, strict=True
    ):
        levelled = frame_from_capture @ pose
        upright.append(turn_frame(rgb, depth, intrinsics, levelled, quarter_turns(levelled)))
    # A frame held unlike the first, on its side, has another image size.
    same = [depth.shape == upright[0][1].shape for _, depth, *_ in upright]
    notes = capture.notes
    if not all(same):
        names = [name for name, kept in zip(capture.names, same, strict=True) if not kept]
        notes += (f"Frames {', '.join(names)}, held unlike the first, were left out.",)
    arrays = zip(*compress(upright, same), strict=True)
    return Capture(
        capture.source,
        *map(np.stack, arrays),
        tuple(compress(capture.names, same)),
        frame_from_capture,
        (*notes, *level.notes),
    )
