"""Recognise the layout of a capture and list its frames."""

from __future__ import annotations

from pathlib import Path

from g2vlm.captures.files import IMAGES, VIDEOS
from g2vlm.captures.layout import Listing
from g2vlm.captures.layouts import find_layouts
from metrics.files import InputError

# Files looked at to say why a folder has no known layout.
_MAX_FILES = 5000


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
    return "known layouts: " + "; ".join(layout.help for layout in find_layouts())


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
