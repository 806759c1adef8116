"""Camera intrinsics: from four numbers, or of a known sensor by its name."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from g2vlm.captures.files import has, list_files, read_json
from g2vlm.captures.poses import read_rows
from metrics.files import InputError
from metrics.schemas import short_repr

# Name: (fx, fy, cx, cy), counted from the centre of the first pixel, and image width and height.
# kinect: the values that ROS and the TUM benchmark use without a calibration; freiburg1 to 3: TUM
# RGB-D benchmark; 7scenes: its depth camera; realsense-d435: nominal, from its fields of view.
CAMERAS: dict[str, tuple[tuple[float, float, float, float], tuple[int, int]]] = {
    "kinect": ((525.0, 525.0, 319.5, 239.5), (640, 480)),
    "freiburg1": ((517.3, 516.5, 318.6, 255.3), (640, 480)),
    "freiburg2": ((520.9, 521.0, 325.1, 249.7), (640, 480)),
    "freiburg3": ((535.4, 539.2, 320.1, 247.6), (640, 480)),
    "7scenes": ((585.0, 585.0, 320.0, 240.0), (640, 480)),
    "realsense-d435": ((615.0, 615.0, 319.5, 239.5), (640, 480)),
}
# Shapes of the arrays that hold an intrinsic matrix: nested, flat, and one row of a file.
_MATRIX_SHAPES = {shape: (3, 3) for shape in ((3, 3), (9,), (1, 9))}
_MATRIX_SHAPES |= {shape: (3, 4) for shape in ((3, 4), (12,), (1, 12))}
_MATRIX_SHAPES |= {shape: (4, 4) for shape in ((4, 4), (16,), (1, 16))}
# Names under which JSON files keep intrinsics, and levels of them: {"camera": {"K": [...]}}.
_MOST_LEVELS = 2
_MATRIX_NAMES = ("intrinsics", "intrinsic_matrix", "camera_matrix", "depth", "camera", "k")
# Methods have no skew; a calibration may hold this share of fx, which rounding leaves.
_LARGEST_SKEW = 1e-4
# Stems of calibration files, and the words of those of the colour camera.
_CALIBRATION = re.compile(r"intrinsic|calib|^(camera|cam|k)([-_]?(params?|info|matrix))?$", re.I)
_COLOUR_WORDS = ("color", "colour", "rgb")
_OTHER_CALIBRATIONS = {".yaml", ".yml", ".xml", ".ini", ".cfg", ".npy", ".npz", ".csv", ".pkl"}
# Focal lengths of rooms' cameras, in widths or heights of the image, whichever is larger.
_FOCAL_LENGTHS = (0.1, 20.0)
# Largest distance of the principal point from the middle, in widths and heights of the image.
_MIDDLE = 0.2


def intrinsic_matrix(fx: float, fy: float, cx: float, cy: float) -> np.ndarray:
    """Return f64[3, 3] with pixel centres at +0.5 from OpenCV's numbers (centres at +0)."""
    return np.array([[fx, 0.0, cx + 0.5], [0.0, fy, cy + 0.5], [0.0, 0.0, 1.0]])


def parse_intrinsics(values: Any, source: str) -> np.ndarray:
    """Return f64[3, 3] of intrinsics that count from the centre of the first pixel.

    Args:
        values: fx, fy, cx, cy as four numbers or by these names, or a 3 x 3, 3 x 4 or 4 x 4 matrix,
            nested or flat, by rows or by columns.
        source: what holds them, for messages.

    Raises:
        InputError: the values are anything else, or the matrix is no pinhole camera without skew.

    Example:
        >>> parse_intrinsics([525, 525, 319.5, 239.5], "intrinsics.txt")[0].tolist()
        [525.0, 0.0, 320.0]
    """
    for _ in range(_MOST_LEVELS):
        if isinstance(values, Mapping):
            named = {str(name).lower(): value for name, value in values.items()}
            if {"fx", "fy", "cx", "cy"} <= named.keys():
                values = [named[name] for name in ("fx", "fy", "cx", "cy")]
            else:
                values = next((named[name] for name in _MATRIX_NAMES if name in named), None)
    try:
        numbers = to_numbers(values)
    except ValueError:
        numbers = np.zeros(0)
    if numbers.shape in ((4,), (1, 4)):
        fx, fy, cx, cy = numbers.ravel()
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    else:
        shape = _MATRIX_SHAPES.get(numbers.shape)
        matrix = numbers.reshape(shape)[:3, :3] if shape else np.zeros((3, 3))
        if not matrix[:2, 2].any() and matrix[2, :2].any():
            matrix = matrix.T
    (fx, skew, cx), (zero, fy, cy), last = matrix
    expected = np.isfinite(matrix).all() and min(fx, fy) > 0 and last.tolist() == [0, 0, 1]
    if not expected or max(abs(skew), abs(zero)) > _LARGEST_SKEW * fx:
        raise InputError(
            f"{source}: intrinsics {short_repr(values)} are not fx, fy, cx, cy; give four numbers "
            "in pixels, or their 3 x 3 matrix"
        )
    return intrinsic_matrix(*(float(value) for value in (fx, fy, cx, cy)))


def to_numbers(values: Any) -> np.ndarray:
    """Return nested lists of numbers as a float64 array; None is NaN.

    Raises:
        ValueError: the lists are ragged or hold anything but numbers.
    """
    array = np.array(values, object)
    for leaf in array.ravel().tolist():
        if leaf is not None and (isinstance(leaf, bool) or not isinstance(leaf, int | float)):
            raise ValueError(f"{short_repr(leaf)} is not a number")
    try:
        return array.astype(float)
    except OverflowError as error:
        raise ValueError("an integer beyond any float") from error


def read_calibration(path: Path, root: Path) -> np.ndarray:
    """Return the intrinsics f64[3, 3] of a calibration file: text or JSON (`parse_intrinsics`).

    Raises:
        InputError: the file cannot be read or holds anything else.
    """
    if path.suffix.lower() == ".json":
        return parse_intrinsics(read_json(path, root), str(path))
    return parse_intrinsics(read_rows(path, root, (3, 4, 9, 12, 16)).tolist(), str(path))


def find_calibration(folder: Path) -> Path | None:
    """Return the calibration file of a capture, None where there is none.

    The file is beside the frames, or is the camera-intrinsics.txt of 3DMatch in the folder above.
    The depth camera's comes before the colour camera's.

    Raises:
        InputError: the only such files are of a kind that is not read.
    """
    named = [
        path
        for path in list_files(folder)
        if _CALIBRATION.search(path.stem) and "extrinsic" not in path.stem.lower()
    ]
    above = folder.resolve().parent / "camera-intrinsics.txt"
    found = [path for path in named if path.suffix.lower() in (".txt", ".json")]
    if found:
        return min(found, key=_camera_order)
    unread = [path for path in named if path.suffix.lower() in _OTHER_CALIBRATIONS]
    if unread:
        raise InputError(
            f"{unread[0]}: {unread[0].suffix} is not read; give --intrinsics fx,fy,cx,cy, or write "
            "them to intrinsics.txt"
        )
    return above if has(above) else None


def _camera_order(path: Path) -> tuple[bool, bool]:
    """Return a key that sorts calibration files: of depth, of an unnamed camera, of colour."""
    stem = path.stem.lower()
    return "depth" not in stem, any(word in stem for word in _COLOUR_WORDS)


def named_intrinsics(name: str, width: int, height: int) -> np.ndarray:
    """Return the intrinsics f64[3, 3] of a known sensor, scaled to the size of the images.

    Raises:
        InputError: the sensor is unknown or takes images of another aspect ratio.
    """
    if name not in CAMERAS:
        raise InputError(f"--camera {name}: unknown; use one of {', '.join(CAMERAS)}")
    numbers, (known_width, known_height) = CAMERAS[name]
    if abs(width * known_height - height * known_width) > 0.02 * height * known_width:
        raise InputError(
            f"--camera {name}: takes {known_width}x{known_height} images, these are "
            f"{width}x{height}; give --intrinsics fx,fy,cx,cy"
        )
    return scale_intrinsics(intrinsic_matrix(*numbers), width / known_width, height / known_height)


def scale_intrinsics(intrinsics: np.ndarray, x_scale: float, y_scale: float) -> np.ndarray:
    """Return the intrinsics of a resized image."""
    return np.diag([x_scale, y_scale, 1.0]) @ intrinsics


def fit_intrinsics(
    intrinsics: np.ndarray,
    depth_size: tuple[int, int],
    colour_size: tuple[int, int],
    source: str,
) -> np.ndarray:
    """Return intrinsics of the depth images, scaled down where they are those of the colour images.

    They belong to the images whose middle is nearest to the principal point, of both alike to
    depth. Sizes are (width, height).

    Raises:
        InputError: the principal point is far from the middle of both, or the focal length does not
            fit the images.
    """
    sizes = (depth_size, colour_size)
    offsets = [_middle_offset(intrinsics, size) for size in sizes]
    best = int(offsets[1] < offsets[0])
    width, height = sizes[best]
    fx, fy, cx, cy = intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]]
    if not offsets[best] < _MIDDLE:
        raise InputError(
            f"{source}: principal point ({cx:.4g}, {cy:.4g}) is not near the middle of images of "
            f"{depth_size[0]}x{depth_size[1]}; give --intrinsics fx,fy,cx,cy for that size"
        )
    if not _has_usual_focal(intrinsics, sizes[best]):
        raise InputError(
            f"{source}: focal lengths ({fx:.4g}, {fy:.4g}) do not fit images of {width}x{height}; "
            "give --intrinsics fx,fy,cx,cy in pixels"
        )
    return scale_intrinsics(intrinsics, depth_size[0] / width, depth_size[1] / height)


def check_colour(intrinsics: np.ndarray, size: tuple[int, int], source: str) -> None:
    """Check the intrinsics f64[3, 3] of a colour camera against its images (width, height).

    Raises:
        InputError: principal point or focal length do not fit; the message names `source`.
    """
    if not (_middle_offset(intrinsics, size) < _MIDDLE and _has_usual_focal(intrinsics, size)):
        numbers = ", ".join(f"{v:.4g}" for v in intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]])
        raise InputError(
            f"{source}: the colour camera's intrinsics ({numbers}) do not fit images of "
            f"{size[0]}x{size[1]}; write those of that size"
        )


def _middle_offset(intrinsics: np.ndarray, size: tuple[int, int]) -> float:
    """Return the distance of the principal point from the middle, in widths and heights."""
    return float(np.abs(intrinsics[:2, 2] / np.array(size, float) - 0.5).max())


def _has_usual_focal(intrinsics: np.ndarray, size: tuple[int, int]) -> bool:
    """Return whether both focal lengths are those of a room's camera."""
    focal = intrinsics[[0, 1], [0, 1]] / max(size)
    return bool(((focal > _FOCAL_LENGTHS[0]) & (focal < _FOCAL_LENGTHS[1])).all())
