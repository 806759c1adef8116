"""The files in the folder of a capture: which are listed, and how they are read.

Every layout reads through `read_text`, `read_json` and the images of `g2vlm.captures.images`, which
open regular files inside the capture alone, and lists folders by `list_files`.
"""

import os
import re
from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import Any

from metrics import files
from metrics.files import InputError
from metrics.schemas import short_repr

DEPTH_KINDS = (".png", ".pgm", ".tif", ".tiff", ".npy")
COLOUR_KINDS = (".png", ".jpg", ".jpeg", ".ppm", ".pgm", ".tif", ".tiff", ".bmp", ".webp")
IMAGES = {*DEPTH_KINDS, *COLOUR_KINDS}
VIDEOS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".bag", ".sens"}
FIX = "export the capture again"
# Parsed JSON and rows of numbers take some twenty times the memory of their text.
LARGEST_TEXT = 32 << 20
# A folder with more entries is no part of a capture: listing a whole disk would take minutes.
_MOST_ENTRIES = 200_000
_LONGEST_NAME = 500


def read_text(path: Path, root: Path) -> str:
    """Return the UTF-8 text of a file of the capture in `root`.

    Raises:
        InputError: the file is missing, not a regular file, outside `root`, larger than 32 MiB or
            in another encoding.
    """
    return files.read_text(path, FIX, root, LARGEST_TEXT)


def read_json(path: Path, root: Path) -> Any:
    """Return the value of a JSON file of the capture in `root`; raises as `read_text`."""
    return files.read_json(path, "write the file again", root, LARGEST_TEXT)


def has(path: Path) -> bool:
    """Return whether a folder holds this name, be it a broken link: reading it then says so."""
    return os.path.lexists(path)


def path_inside(folder: Path, name: str, source: str) -> Path:
    """Return the path of a file that `source` names.

    Raises:
        InputError: the path leads out of the capture's folder.
    """
    path = folder / name
    try:
        if len(name) > _LONGEST_NAME:
            raise ValueError(f"{len(name)} characters")
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL in the name
        raise InputError(
            f"{source}: {short_repr(name)} is not the name of a file ({error}); {FIX}"
        ) from error
    if not inside:
        raise InputError(
            f"{source}: {short_repr(name)} leads out of the capture's folder; copy it in"
        )
    return path


def list_files(folder: Path, kinds: Collection[str] | None = None) -> list[Path]:
    """Return the entries of a folder in natural order, without hidden ones.

    Hidden are names that begin with a dot, such as the `._` files that macOS adds.

    Args:
        folder: the folder.
        kinds: suffixes in lower case; None lists every entry.

    Raises:
        InputError: the folder is missing, cannot be listed or holds more than 200 000 entries.
    """
    try:
        entries = list(islice(folder.iterdir(), _MOST_ENTRIES + 1))
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror}); {FIX}") from error
    if len(entries) > _MOST_ENTRIES:
        raise InputError(f"{folder}: more than {_MOST_ENTRIES} entries; give one capture")
    visible = [
        path
        for path in entries
        if not path.name.startswith(".") and (kinds is None or path.suffix.lower() in kinds)
    ]
    return sorted(visible, key=_natural)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Return a key that sorts 2 before 10. Only ASCII digits count: int() refuses others."""
    parts = re.split(r"([0-9]+)", path.stem)
    return [(1, int(part), part) if k % 2 else (0, 0, part) for k, part in enumerate(parts)]


def pair_images(folder: Path) -> tuple[list[tuple[str, Path, Path]], tuple[str, ...]]:
    """Pair the images of color/ (or, without it, rgb/) with those of depth/ by their stems.

    Returns:
        Name, colour file and depth file of each pair in natural order, and notes.

    Raises:
        InputError: two images of a folder have one stem, a folder holds none that is read, or no
            stem is in both.
    """
    folders = [path for path in (folder / "color", folder / "rgb") if path.is_dir()]
    colour = _images(folders[0], COLOUR_KINDS, "PNG or JPEG")
    depth = _images(folder / "depth", DEPTH_KINDS, "16-bit PNG")
    pairs = [(name, colour[name], depth[name]) for name in colour if name in depth]
    if not pairs:
        first, second = next(iter(colour.values())), next(iter(depth.values()))
        raise InputError(
            f"{first}: no image of depth/ has its name (the first is {second.name}); give colour "
            "and depth of a frame the same name"
        )
    notes: tuple[str, ...] = ()
    if len(folders) > 1:
        notes += ("Both color/ and rgb/ are there: color/ is read.",)
    single = len(colour) + len(depth) - 2 * len(pairs)
    if single:
        notes += (f"{single} images without their partner in color/ or depth/ were left out.",)
    return pairs, notes


def _images(folder: Path, kinds: Collection[str], export: str) -> dict[str, Path]:
    """Return a folder's images by stem, in natural order."""
    images: dict[str, Path] = {}
    for path in list_files(folder, kinds):
        if path.stem in images:
            raise InputError(f"{path}: {images[path.stem].name} has the same name; remove one")
        images[path.stem] = path
    if not images:
        others = [path for path in list_files(folder) if path.is_file()]
        if others:
            kind = others[0].suffix or "a file without a suffix"
            raise InputError(f"{others[0]}: {kind} is not read here; export {export}")
        raise InputError(f"{folder}: holds no images; {FIX}")
    return images
