"""Camera intrinsics: from four numbers, or of a known sensor by its name."""

from collections.abc import Sequence

import numpy as np

from metrics.files import InputError

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


def intrinsic_matrix(fx: float, fy: float, cx: float, cy: float) -> np.ndarray:
    """Return f64[3, 3] with pixel centres at +0.5 from OpenCV's numbers (centres at +0)."""
    return np.array([[fx, 0.0, cx + 0.5], [0.0, fy, cy + 0.5], [0.0, 0.0, 1.0]])


def parse_intrinsics(values: Sequence[float], source: str) -> np.ndarray:
    """Return f64[3, 3] of fx, fy, cx, cy.

    Raises:
        InputError: the values are not four such numbers; the message names `source`.
    """
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 4 or not np.isfinite(numbers).all() or min(numbers[:2]) <= 0:
        raise InputError(
            f"{source}: intrinsics {values} are not fx, fy, cx, cy; give four numbers in pixels"
        )
    return intrinsic_matrix(*numbers)


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

    The images that they belong to are the first, depth before colour, with the principal point near
    the middle. Sizes are (width, height).

    Raises:
        InputError: the principal point is far from the middle of both.
    """
    for width, height in (depth_size, colour_size):
        x, y = intrinsics[0, 2] / width, intrinsics[1, 2] / height
        if 0.3 < x < 0.7 and 0.3 < y < 0.7:
            return scale_intrinsics(intrinsics, depth_size[0] / width, depth_size[1] / height)
    raise InputError(
        f"{source}: principal point ({intrinsics[0, 2]:.1f}, {intrinsics[1, 2]:.1f}) is not near "
        f"the middle of images of {depth_size[0]}x{depth_size[1]}; give --intrinsics fx,fy,cx,cy "
        "for that size"
    )
