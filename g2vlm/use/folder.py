"""Checks of where and how results are written.

The module imports little, so that the command line reports errors before it loads a model.
"""

import errno
import os
import tempfile
from pathlib import Path

from metrics.files import InputError, read_json

FORMAT = "g2vlm-result"
FRAMES = ("levelled", "capture")
# More than the results of 8 frames of 640 x 480 take.
RESERVED_BYTES = 64 << 20
# Errors of a full disk, a quota and a limit of the size of files.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_free(folder: Path) -> None:
    """Check that the folder is new or holds an earlier result.

    Raises:
        InputError: it is a file, cannot be listed or holds anything else.
    """
    try:
        if not folder.exists():
            return
        if not folder.is_dir():
            raise InputError(f"{folder}: is a file; give a new folder by --out")
        if not any(folder.iterdir()):
            return
    except (OSError, ValueError) as error:
        raise not_writable(folder, error) from error
    earlier = folder / "result.json"
    known = read_json(earlier, "give a new folder by --out") if earlier.is_file() else None
    if not isinstance(known, dict) or known.get("format") != FORMAT:
        raise InputError(f"{folder}: holds other files; give a new folder by --out")


def check_writable(folder: Path) -> None:
    """Check that a result can be written, by reserving 64 MiB next to the folder for a moment.

    Raises:
        InputError: the place is read-only or full.
    """
    place = next(parent for parent in folder.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=place) as handle:
            # Unlike the free space that the system reports, this counts quotas too.
            os.posix_fallocate(handle.fileno(), 0, RESERVED_BYTES)
    except OSError as error:
        raise not_writable(folder, error) from error


def not_writable(folder: Path, error: Exception) -> InputError:
    """Return the error of a folder that the system refuses to write."""
    reason = getattr(error, "strerror", None) or str(error)
    fix = "give a folder that you may write by --out"
    if getattr(error, "errno", None) in _NO_ROOM:
        fix = f"free {RESERVED_BYTES >> 20} MiB there, or give another folder by --out"
    return InputError(f"{folder}: cannot be written ({reason}); {fix}")


def check_frame(frame: str) -> None:
    """Raise `InputError` unless geometry can be written in this frame of reference."""
    if frame not in FRAMES:
        raise InputError(f"--frame {frame}: unknown; use {' or '.join(FRAMES)}")
