"""Image files in the folder of a capture."""

import re
from pathlib import Path

from metrics.files import InputError

IMAGES = {".png", ".jpg", ".jpeg", ".ppm", ".pgm", ".tif", ".tiff", ".npy"}
VIDEOS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".bag", ".sens"}


def path_inside(folder: Path, name: str, source: str) -> Path:
    """Return the path of a file that `source` names.

    Raises:
        InputError: the path leads out of the capture's folder.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{source}: {name!r} leads out of the capture's folder; copy it in")
    return path


def pair_images(folder: Path) -> tuple[list[tuple[str, Path, Path]], tuple[str, ...]]:
    """Pair the images of color/ (or rgb/) with those of depth/ by their stems.

    Returns:
        Name, colour file and depth file of each pair in natural order, and notes.
    """
    colour = _images(folder / ("color" if (folder / "color").is_dir() else "rgb"))
    depth = _images(folder / "depth")
    pairs = [(name, colour[name], depth[name]) for name in colour if name in depth]
    single = len(colour) + len(depth) - 2 * len(pairs)
    if not single:
        return pairs, ()
    return pairs, (f"{single} images without their partner in color/ or depth/ were left out.",)


def _images(folder: Path) -> dict[str, Path]:
    """Return a folder's images by stem, in natural order."""

    def natural(path: Path) -> list[int | str]:
        return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.stem)]

    images = [path for path in folder.iterdir() if path.suffix.lower() in IMAGES]
    return {path.stem: path for path in sorted(images, key=natural)}
