"""A capture: the posed RGB-D frames of a folder in any known layout, levelled."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress, islice
from pathlib import Path

import numpy as np

from g2vlm.captures import cameras
from g2vlm.captures.files import IMAGES, VIDEOS
from g2vlm.captures.image_files import read_colour, read_depth
from g2vlm.captures.images import (
    LONGEST_M,
    check_unit,
    depth_unit,
    no_measurement,
    register_colour,
    to_metres,
    without_margins,
)
from g2vlm.captures.layout import FrameFiles, Listing
from g2vlm.captures.layouts import find_layouts
from g2vlm.captures.level import find_level, levelled_frame, quarter_turns, turn_frame
from g2vlm.captures.poses import nearest_rigid, spread_frames
from metrics.files import InputError, one_line
from metrics.geometry import transform

MAX_FRAMES = 8
# A frame with a smaller share of measured depth is left out.
_LEAST_DEPTH = 0.02
# Entries and levels of folders looked at to say why a folder has no known layout.
_MAX_ENTRIES, _MAX_LEVELS = 5000, 4
# Pixels of depth in all frames: memory of some 4 GB.
_MOST_PIXELS = 1 << 26
# A room's cameras are nearer to each other.
_LARGEST_TRAVEL_M = 200.0


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
    listing = list_frames(folder)
    folder = folder if folder.is_dir() else folder.parent
    listing = _override(listing, folder, intrinsics, camera, depth_scale, up)
    listing = _choose_frames(listing, folder, frames)
    capture = _cut_margins(_read(listing, folder, camera))
    return _level(capture, listing.up)


def list_frames(path: Path) -> Listing:
    """List the frames of a capture; no image is read.

    Args:
        path: the folder of a capture, or its capture.json.

    Raises:
        InputError: no layout fits or a file is missing or wrong; the message names the fix.
    """
    try:
        return _list_frames(path)
    except OSError as error:  # no permission, too long a name
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _list_frames(path: Path) -> Listing:
    if not path.exists():
        raise InputError(f"{path}: no such folder; give the folder of a capture ({_known()})")
    if not path.is_dir():
        if path.suffix.lower() in VIDEOS:
            raise _video(path)
        if path.name != "capture.json":
            raise InputError(f"{path}: is a file; give the folder of a capture ({_known()})")
        path = path.parent
    for layout in find_layouts():
        if layout.recognise(path):
            listing = layout.read(path)
            if not listing.frames:
                raise InputError(
                    f"{path}: no whole frame (colour, depth and pose) in the {layout.name} layout; "
                    "export it again"
                )
            # Names become part of files and messages.
            frames = tuple(replace(frame, name=one_line(frame.name)) for frame in listing.frames)
            return replace(listing, frames=frames)
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
    folders, files = _walk(folder)
    captures = [inner for inner in folders if inner != folder and _is_capture(inner)]
    if len(captures) == 1:
        return InputError(f"{folder}: holds a capture in {captures[0]}; give that folder")
    if captures:
        return InputError(f"{folder}: holds several sequences; give one of them, {captures[0]}")
    videos = [path for path in files if path.suffix.lower() in VIDEOS]
    if videos:
        return _video(videos[0])
    if not {path.suffix.lower() for path in files} & IMAGES:
        return InputError(f"{folder}: no frames; give the folder of a capture ({_known()})")
    if not ((folder / "depth").exists() or (folder / "depth.txt").exists()):
        return InputError(f"{folder}: images but no depth/; the model needs RGB-D ({_known()})")
    return InputError(
        f"{folder}: images in no known layout; write a capture.json (docs/use.md describes it)"
    )


def _is_capture(folder: Path) -> bool:
    try:
        return any(layout.recognise(folder) for layout in find_layouts())
    except (InputError, OSError):
        return False  # it cannot be listed


def _walk(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders and the files of a tree, level after level.

    Hidden entries and links are left out. The walk ends after 4 levels or 5000 entries, so that a
    whole disk takes no longer than a capture.
    """
    folders, files = [folder], []
    level, budget = [folder], _MAX_ENTRIES
    for _ in range(_MAX_LEVELS):
        below: list[Path] = []
        for parent in level:
            if budget <= 0:
                return folders, files
            try:
                with os.scandir(parent) as entries:
                    listed = list(islice(entries, budget))
            except OSError:
                continue  # a folder without permission holds no capture of the caller
            budget -= len(listed)
            for entry in sorted(listed, key=lambda entry: entry.name):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    below.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    files.append(Path(entry.path))
        folders += below
        level = below
    return folders, files


def _override(
    listing: Listing,
    folder: Path,
    intrinsics: Sequence[float] | None,
    camera: str | None,
    depth_scale: float | None,
    up: Sequence[float] | None,
) -> Listing:
    """Replace what the layout fixes with what the caller gave, or with a calibration file."""
    if intrinsics is not None:
        matrix = cameras.parse_intrinsics(list(intrinsics), "--intrinsics")
        frames = tuple(replace(frame, intrinsics=None) for frame in listing.frames)
        listing = replace(listing, intrinsics=matrix, frames=frames)
    elif camera is None and listing.intrinsics is None:
        listing = _calibrated(listing, folder)
    if depth_scale is not None:
        if not 0 < depth_scale < np.inf:
            raise InputError(f"--depth-scale {depth_scale}: give stored units a metre, e.g. 1000")
        listing = replace(listing, depth_scale=depth_scale)
    if up is not None:
        if len(up) != 3:
            raise InputError(f"--up {list(up)}: give x,y,z")
        listing = replace(listing, up=np.asarray(up, float))
    if listing.up is not None and not 1e-6 < np.linalg.norm(listing.up) < 1e6:
        raise InputError(f"{folder}: up {listing.up.tolist()} is not a direction; give x,y,z")
    return listing


def _calibrated(listing: Listing, folder: Path) -> Listing:
    """Return the listing with the intrinsics of a calibration file, or of the layout's sensor."""
    if all(frame.intrinsics is not None for frame in listing.frames):
        return listing
    path = cameras.find_calibration(folder)
    if path is None:
        if listing.usual_intrinsics is None:
            return listing
        note = (
            "Without a calibration file the intrinsics are the usual ones of the layout's sensor."
        )
        notes = (*listing.notes, note)
        return replace(listing, intrinsics=listing.usual_intrinsics, notes=notes)
    matrix = cameras.read_calibration(path, path.parent)
    notes = (*listing.notes, f"The intrinsics are those of {one_line(path.name)}.")
    return replace(listing, intrinsics=matrix, notes=notes)


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
    poses = np.stack([frame.pose for frame in rigid])  # (N, 4, 4)
    travel = float(np.ptp(poses[:, :3, 3], axis=0).max())
    if travel > _LARGEST_TRAVEL_M:
        raise InputError(
            f"{folder}: its cameras are {travel:.3g} m apart, too far for a room; write poses "
            "in metres"
        )
    kept = spread_frames(poses, most)
    if len(kept) < len(rigid):
        notes += (f"{len(rigid)} frames were thinned to {len(kept)}, spread over the poses.",)
    return replace(listing, frames=tuple(rigid[index] for index in kept), notes=notes)


def _read(listing: Listing, folder: Path, camera: str | None) -> Capture:
    """Read the frames: depth in metres, registered colour, poses still in the capture's world."""
    stored = _read_depths(listing, folder)
    scale = listing.depth_scale
    notes = list(listing.notes)
    if scale is None:
        scale = depth_unit(stored, str(folder))
        notes.append(f"Depth is taken as {scale:g} units a metre, the one unit that fits a room.")
    check_unit(stored, scale, str(folder))
    rows = []
    measured = beyond = 0
    for frame, values in zip(listing.frames, stored, strict=True):
        depth = to_metres(values, scale)
        count = values.size - np.count_nonzero(no_measurement(values))
        measured, beyond = measured + count, beyond + count - np.count_nonzero(depth)
        if np.mean(depth > 0) < _LEAST_DEPTH:
            notes.append(f"Frame {frame.name} has next to no depth and was left out.")
            continue
        colour = read_colour(frame.colour, folder)
        matrix = _intrinsics(frame, listing, camera, depth, colour, folder)
        if listing.colour_intrinsics is not None:
            size = (colour.shape[1], colour.shape[0])
            cameras.check_colour(listing.colour_intrinsics, size, str(frame.colour))
        registered, note = register_colour(colour, depth, matrix, listing, str(frame.colour))
        if note and note not in notes:
            notes.append(note)
        rows.append((registered, depth, matrix, frame.pose, frame.name))
    if not rows:
        raise InputError(f"{folder}: no frame has depth; export the capture again")
    if len({depth.shape for _, depth, *_ in rows}) > 1:
        raise InputError(f"{folder}: its frames have several sizes; export them at one size")
    if beyond:
        share = f"{beyond / measured:.2%} of the measurements"
        notes.append(f"Depth beyond {LONGEST_M:g} m ({share}) was taken as no measurement.")
    *arrays, names = zip(*rows, strict=True)
    source = one_line(str(folder))
    return Capture(source, *map(np.stack, arrays), names, np.eye(4), tuple(notes))


def _read_depths(listing: Listing, folder: Path) -> list[np.ndarray]:
    """Return the depth images as stored."""
    stored = []
    pixels = 0
    for frame in listing.frames:
        stored.append(read_depth(frame.depth, folder))
        pixels += stored[-1].size
        if pixels > _MOST_PIXELS:
            raise InputError(
                f"{folder}: more than {_MOST_PIXELS >> 20} million pixels of depth in "
                f"{len(listing.frames)} frames; give a smaller --frames, or export smaller images"
            )
    return stored


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
