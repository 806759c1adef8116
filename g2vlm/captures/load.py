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
    coloured_part,
    depth_units,
    read_colour,
    read_depth,
    register_colour,
    to_metres,
)
from g2vlm.captures.layouts import list_frames
from g2vlm.captures.level import find_level, levelled_frame, quarter_turns, turned
from g2vlm.captures.listing import FrameFiles, Listing
from g2vlm.captures.poses import is_lost, rigid, spread_frames
from metrics.files import InputError

MOST_FRAMES = 8
# A frame with less of its depth measured says next to nothing.
_LEAST_DEPTH = 0.02


@dataclass(frozen=True)
class _Frame:
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
    frames: int = MOST_FRAMES,
) -> Capture:
    """Read a capture's folder: TUM RGB-D, 7-Scenes, ScanNet export, capture.json, color + depth.

    Args:
        path: the folder.
        intrinsics: fx, fy, cx, cy of the depth images in pixels (first pixel's centre at 0, 0),
            in place of what the layout says.
        camera: a known sensor's name (`g2vlm.captures.cameras.CAMERAS`) in place of numbers.
        depth_scale: stored depth units a metre, where the layout does not fix them.
        up: rough upward direction in the capture's world, where the floor cannot say it.
        frames: at most so many are kept, spread over the poses; the first always is.

    Raises `InputError` with one line that names the file and the mend.
    """
    folder = Path(path)
    if frames < 1:
        raise InputError(f"--frames {frames}: give at least 1")
    listing = list_frames(folder)
    listing = _override(listing, intrinsics, up, str(folder))
    chosen, notes = _chosen(listing, folder, frames)
    loaded, more = _load(listing, chosen, folder, camera, depth_scale)
    return _levelled(folder, loaded, listing.up, (*listing.notes, *notes, *more))


def _override(
    listing: Listing, intrinsics: Sequence[float] | None, up: Sequence[float] | None, source: str
) -> Listing:
    """Put what the caller gave in the place of what the layout says."""
    if intrinsics is not None:
        given = cameras.parse_intrinsics(intrinsics, "--intrinsics")
        bare = tuple(replace(frame, intrinsics=None) for frame in listing.frames)
        listing = replace(listing, intrinsics=given, frames=bare)
    if up is not None:
        listing = replace(listing, up=np.asarray(up, float))
    if listing.up is not None and not 1e-6 < np.linalg.norm(listing.up) < np.inf:
        raise InputError(f"{source}: up {listing.up.tolist()} is no direction; give x,y,z")
    return listing


def _chosen(listing: Listing, folder: Path, most: int) -> tuple[list[FrameFiles], tuple[str, ...]]:
    """Drop frames whose pose was lost and thin the others by pose."""
    tracked = [frame for frame in listing.frames if not is_lost(frame.pose)]
    if not tracked:
        raise InputError(f"{folder}: no frame has a finite pose; export the capture again")
    notes: tuple[str, ...] = ()
    if len(tracked) < len(listing.frames):
        notes += (f"{len(listing.frames) - len(tracked)} frames without tracking were left out.",)
    exact = [replace(f, pose=rigid(f.pose, f"{folder}: frame {f.name}")) for f in tracked]
    kept = spread_frames(np.stack([frame.pose for frame in exact]), most)
    if len(kept) < len(exact):
        notes += (f"{len(exact)} frames were thinned to {len(kept)}, spread over the poses.",)
    return [exact[index] for index in kept], notes


def _load(
    listing: Listing,
    chosen: list[FrameFiles],
    folder: Path,
    camera: str | None,
    depth_scale: float | None,
) -> tuple[list[_Frame], tuple[str, ...]]:
    """Read the chosen frames, metres and registered colour; returns them and notes."""
    raw = [read_depth(frame.depth) for frame in chosen]
    scale = depth_scale or listing.depth_scale
    notes: list[str] = []
    if scale is None:
        scale = depth_units(np.concatenate([image[::4, ::4].ravel() for image in raw]), str(folder))
        notes.append(f"Depth is taken as {scale:g} units a metre, the one unit that fits a room.")
    if not np.isfinite(scale) or scale <= 0:
        raise InputError(f"--depth-scale {scale}: give stored units a metre, e.g. 1000")
    loaded = []
    for frame, values in zip(chosen, raw, strict=True):
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
    size = (depth.shape[1], depth.shape[0])
    if camera is not None:
        return cameras.named_intrinsics(camera, *size)
    own = frame.intrinsics if frame.intrinsics is not None else listing.intrinsics
    if own is None:
        raise cameras.ask_for_intrinsics(str(folder))
    return cameras.fitted(own, size, (colour.shape[1], colour.shape[0]), str(folder))


def _levelled(
    folder: Path, frames: list[_Frame], up: np.ndarray | None, notes: tuple[str, ...]
) -> Capture:
    """Turn the frames upright, level them and keep those of one size."""
    if len({frame.depth.shape for frame in frames}) > 1:
        raise InputError(f"{folder}: its frames have several sizes; export them at one size")
    frames, cut = _without_margins(frames)
    notes += cut
    depth = np.stack([frame.depth for frame in frames])
    matrices = np.stack([frame.intrinsics for frame in frames])
    poses = np.stack([frame.pose for frame in frames])
    level = find_level(depth, matrices, poses, up)
    into = levelled_frame(level, poses[0])
    upright = [
        _Frame(f.name, *turned(f.rgb, f.depth, f.intrinsics, into @ f.pose, turns))
        for f in frames
        for turns in [quarter_turns(into @ f.pose)]
    ]
    shape = upright[0].depth.shape
    if Counter(frame.depth.shape for frame in upright)[shape] < len(upright):
        left = [frame.name for frame in upright if frame.depth.shape != shape]
        upright = [frame for frame in upright if frame.depth.shape == shape]
        notes += (f"Frames {', '.join(left)}, held otherwise than the first, were left out.",)
    return Capture(
        source=str(folder),
        rgb=np.stack([frame.rgb for frame in upright]),
        depth=np.stack([frame.depth for frame in upright]),
        intrinsics=np.stack([frame.intrinsics for frame in upright]),
        pose=np.stack([frame.pose for frame in upright]),
        names=tuple(frame.name for frame in upright),
        frame_from_capture=into,
        notes=(*notes, *level.notes),
    )


def _without_margins(frames: list[_Frame]) -> tuple[list[_Frame], tuple[str, ...]]:
    """Cut off the margins that registration left blank, of all frames alike."""
    size = frames[0].depth.shape
    rows, columns = coloured_part(np.stack([frame.rgb for frame in frames]))
    if (rows, columns) == (slice(0, size[0]), slice(0, size[1])):
        return frames, ()
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
