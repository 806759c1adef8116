"""Where results may be written; light, so that a refusal comes before anything is loaded."""

from __future__ import annotations

from pathlib import Path

from metrics.files import InputError, read_json

FORMAT = "g2vlm-result"
FRAMES = ("levelled", "capture")


def check_free(folder: Path) -> None:
    """Raise `InputError` unless a result may be written here: a new folder or an earlier result."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a new folder by --out")
    if not any(folder.iterdir()):
        return
    earlier = folder / "result.json"
    known = read_json(earlier) if earlier.is_file() else None
    if not isinstance(known, dict) or known.get("format") != FORMAT:
        raise InputError(f"{folder}: holds other files; give a new folder by --out")


def check_frame(frame: str) -> None:
    """Raise `InputError` for a frame of reference that geometry is not written in."""
    if frame not in FRAMES:
        raise InputError(f"--frame {frame}: unknown; use {' or '.join(FRAMES)}")
