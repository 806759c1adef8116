"""Load a capture of any known layout as a levelled `Capture`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from g2vlm.captures import cameras
from g2vlm.captures.capture import Capture
from g2vlm.captures.images import (
    depth_unit,
    read_colour,
    read_depth,
    register_colour,
    to_metres,
    without_margins,
)
from g2vlm.captures.layout import FrameFiles, Listing
from g2vlm.captures.level import find_level, levelled_frame, quarter_turns, turn_frame
from g2vlm.captures.listing import list_frames
from g2vlm.captures.poses import is_lost, nearest_rigid, spread_frames
from metrics.files import InputError

MAX_FRAMES = 8
# A frame with a smaller share of measured depth is left out.
_LEAST_DEPTH = 0.02


@dataclass(frozen=True)
class _Frame:
    """One frame: rgb u8[H, W, 3], depth f32[H, W], intrinsics f64[3, 3], pose f64[4, 4]."""

    name: str
    rgb: np.ndarray
    depth: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray


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
    chosen, choice_notes = _choose_frames(listing, folder, frames)
    loaded, load_notes = _load(listing, chosen, folder, camera, depth_scale)
    return _level(folder, loaded, listing.up, (*listing.notes, *choice_notes, *load_notes))


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


def _choose_frames(
    listing: Listing, folder: Path, most: int
) -> tuple[list[FrameFiles], tuple[str, ...]]:
    """Drop frames whose pose was lost and thin out the others; returns them and notes."""
    tracked = [frame for frame in listing.frames if not is_lost(frame.pose)]
    if not tracked:
        raise InputError(f"{folder}: no frame has a finite pose; export the capture again")
    notes: tuple[str, ...] = ()
    if len(tracked) < len(listing.frames):
        notes += (f"{len(listing.frames) - len(tracked)} frames without tracking were left out.",)
    rigid = [
        replace(frame, pose=nearest_rigid(frame.pose, f"{folder}: frame {frame.name}"))
        for frame in tracked
    ]
    kept = spread_frames(np.stack([frame.pose for frame in rigid]), most)
    if len(kept) < len(rigid):
        notes += (f"{len(rigid)} frames were thinned to {len(kept)}, spread over the poses.",)
    return [rigid[index] for index in kept], notes


def _load(
    listing: Listing,
    chosen: list[FrameFiles],
    folder: Path,
    camera: str | None,
    depth_scale: float | None,
) -> tuple[list[_Frame], tuple[str, ...]]:
    """Read frames with depth in metres and registered colour; returns them and notes."""
    stored = [read_depth(frame.depth) for frame in chosen]
    scale = depth_scale or listing.depth_scale
    notes: list[str] = []
    if scale is None:
        sample = np.concatenate([image[::4, ::4].ravel() for image in stored])
        scale = depth_unit(sample, str(folder))
        notes.append(f"Depth is taken as {scale:g} units a metre, the one unit that fits a room.")
    if not np.isfinite(scale) or scale <= 0:
        raise InputError(f"--depth-scale {scale}: give stored units a metre, e.g. 1000")
    loaded = []
    for frame, values in zip(chosen, stored, strict=True):
        depth = to_metres(values, scale, listing.invalid)
        if np.mean(depth > 0) < _LEAST_DEPTH:
            notes.append(f"Frame {frame.name} has next to no depth and was left out.")
            continue
        colour = read_colour(frame.colour)
        matrix = _intrinsics(frame, listing, camera, depth, colour, folder)
        registered, note = register_colour(colour, depth, matrix, listing, str(frame.colour))
        if note and note not in notes:
            notes.append(note)
        loaded.append(_Frame(frame.name, registered, depth, matrix, frame.pose))
    if not loaded:
        raise InputError(f"{folder}: no frame has depth; export the capture again")
    return loaded, tuple(notes)


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
        raise cameras.missing_intrinsics(str(folder))
    colour_size = (colour.shape[1], colour.shape[0])
    return cameras.fit_intrinsics(matrix, depth_size, colour_size, str(folder))


def _level(
    folder: Path, frames: list[_Frame], up: np.ndarray | None, notes: tuple[str, ...]
) -> Capture:
    """Cut off margins, level the poses, turn the images upright and keep those of one size."""
    if len({frame.depth.shape for frame in frames}) > 1:
        raise InputError(f"{folder}: its frames have several sizes; export them at one size")
    frames, margin_notes = _cut_margins(frames)
    notes += margin_notes
    depth = np.stack([frame.depth for frame in frames])
    intrinsics = np.stack([frame.intrinsics for frame in frames])
    poses = np.stack([frame.pose for frame in frames])
    level = find_level(depth, intrinsics, poses, up)
    frame_from_capture = levelled_frame(level, poses[0])
    upright = []
    for frame in frames:
        pose = frame_from_capture @ frame.pose
        turned = turn_frame(frame.rgb, frame.depth, frame.intrinsics, pose, quarter_turns(pose))
        upright.append(_Frame(frame.name, *turned))
    shape = upright[0].depth.shape
    if Counter(frame.depth.shape for frame in upright)[shape] < len(upright):
        left_out = [frame.name for frame in upright if frame.depth.shape != shape]
        upright = [frame for frame in upright if frame.depth.shape == shape]
        notes += (f"Frames {', '.join(left_out)}, held unlike the first, were left out.",)
    return Capture(
        source=str(folder),
        rgb=np.stack([frame.rgb for frame in upright]),
        depth=np.stack([frame.depth for frame in upright]),
        intrinsics=np.stack([frame.intrinsics for frame in upright]),
        pose=np.stack([frame.pose for frame in upright]),
        names=tuple(frame.name for frame in upright),
        frame_from_capture=frame_from_capture,
        notes=(*notes, *level.notes),
    )


def _cut_margins(frames: list[_Frame]) -> tuple[list[_Frame], tuple[str, ...]]:
    """Cut off the margins that registration left blank, of all frames alike."""
    height, width = frames[0].depth.shape
    rows, columns = without_margins(np.stack([frame.rgb for frame in frames]))
    if (rows, columns) == (slice(0, height), slice(0, width)):
        return frames, ()
    # The principal point moves with the image's upper left corner.
    shift = np.array([[1, 0, -columns.start], [0, 1, -rows.start], [0, 0, 1.0]])
    cut = [
        replace(
            frame,
            rgb=frame.rgb[rows, columns],
            depth=frame.depth[rows, columns],
            intrinsics=shift @ frame.intrinsics,
        )
        for frame in frames
    ]
    height, width = cut[0].depth.shape
    return cut, (f"Blank margins were cut off: {width}x{height} pixels of colour are left.",)
