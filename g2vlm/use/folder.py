"""Checks of where and how results are written.

The module imports little, so that the command line reports errors before it loads a model.
"""

from pathlib import Path

from metrics.files import InputError, read_json

FORMAT = "g2vlm-result"
FRAMES = ("levelled", "capture")


def check_free(folder: Path) -> None:
    """Check that the folder is new or holds an earlier result.

    Raises:
        InputError: it is a file or holds anything else.
    """
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
    """Raise `InputError` unless geometry can be written in this frame of reference."""
    if frame not in FRAMES:
        raise InputError(f"--frame {frame}: unknown; use {' or '.join(FRAMES)}")
