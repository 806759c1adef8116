"""Cameras, boxes, rotations, triangles and grid cells in numpy: one place for each formula.

Frames are right-handed, z up, in metres. A camera has OpenCV axes (x right, y down, z forward), a
pose (4 x 4, camera to frame) and pixel centres at +0.5; depth is measured along its z axis.

Functions keep the dtype and the written order of operations, so a result is the same to the bit
wherever it is computed.
"""

import numpy as np

# Corners of the unit box, float64 [8, 3]: z changes fastest, then y, then x.
UNIT_CORNERS = np.array(list(np.ndindex(2, 2, 2)), np.float64)

# Keys of cells fit in this many bits, which leaves room for bits of a caller's own in an int64.
KEY_BITS = 42


def lengths(vectors: np.ndarray) -> np.ndarray:
    """Return the lengths [N] of vectors [N, 3].

    >>> lengths(np.array([[3.0, 4.0, 0.0]]))
    array([5.])
    """
    # The sum is written out: `np.linalg.norm` takes four times as long on rows of three.
    x, y, z = vectors.T
    return np.sqrt(x * x + y * y + z * z)


def dots(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the inner products [N] of the rows of two arrays [N, 3]."""
    (a, b, c), (x, y, z) = first.T, second.T
    return a * x + b * y + c * z


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors [..., D] scaled to length 1; zero vectors stay zero.

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def bounds(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest coordinates [3] of points [N, 3]."""
    # Column by column, several times as fast as a reduction of axis 0 here.
    return np.array([axis.min() for axis in points.T]), np.array([axis.max() for axis in points.T])


def transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return points [..., 3] moved by a rigid transform [4, 4], such as a camera's pose."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def to_camera(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Return points [..., 3] of the frame in the axes of a camera with `pose` [4, 4].

    >>> pose = np.eye(4)
    >>> pose[:3, 3] = 0.0, 0.0, -2.0
    >>> to_camera(np.array([[1.0, 0.0, 0.0]]), pose)
    array([[1., 0., 2.]])
    """
    return (points - pose[:3, 3]) @ pose[:3, :3]


def rotation_of_quaternion(x: float, y: float, z: float, w: float) -> np.ndarray:
    """Return the rotation float64 [3, 3] of a unit quaternion.

    >>> rotation_of_quaternion(0.0, 0.0, 1.0, 0.0)  # half a turn about z
    array([[-1.,  0.,  0.],
           [ 0., -1.,  0.],
           [ 0.,  0.,  1.]])
    """
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def box_corners(box: np.ndarray) -> np.ndarray:
    """Return the corners float64 [8, 3] of an axis-aligned box [cx, cy, cz, sx, sy, sz].

    >>> box_corners(np.array([0.0, 0.0, 1.0, 2.0, 2.0, 2.0]))[[0, -1]]
    array([[-1., -1.,  0.],
           [ 1.,  1.,  2.]])
    """
    return box[:3] + (UNIT_CORNERS - 0.5) * box[3:]


def camera_rays(intrinsics: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the camera-frame directions [..., 3] through image positions, all with z = 1.

    A point at z-depth d on a ray is d times its direction.

    Args:
        intrinsics: [3, 3] in pixels.
        columns: [...] image positions in pixels; a pixel's centre lies at its index + 0.5.
        rows: [...] likewise, broadcast against `columns`.
    """
    x = (columns - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (rows - intrinsics[1, 2]) / intrinsics[1, 1]
    x, y = np.broadcast_arrays(x, y)
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def lift_pixels(
    depth: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    intrinsics: np.ndarray,
    pose: np.ndarray,
) -> np.ndarray:
    """Lift chosen pixels of one view to points float64 [..., 3] in the frame.

    Args:
        depth: [...] z-depth of the pixels in metres.
        rows: integers [...] of the pixels.
        columns: integers [...] of the pixels, broadcast against `rows`.
        intrinsics: [3, 3] in pixels.
        pose: [4, 4] camera to frame.
    """
    rays = camera_rays(intrinsics, columns + 0.5, rows + 0.5)
    return transform(rays * depth[..., None], pose)


def lift_depth(
    depth: np.ndarray, intrinsics: np.ndarray, dtype: type[np.floating] = np.float32
) -> np.ndarray:
    """Lift depth images to camera-frame points [V, H, W, 3] of `dtype`.

    A pixel without depth (0) gives the origin of its camera. `to_frame` moves the points on.

    Args:
        depth: [V, H, W] z-depth in metres.
        intrinsics: [V, 3, 3] in pixels.
        dtype: in which image positions are computed and the points returned.

    >>> intrinsics = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    >>> lift_depth(np.full((1, 2, 2), 3.0), intrinsics[None])[0, 0, 0]
    array([-1.5, -1.5,  3. ], dtype=float32)
    """
    height, width = depth.shape[1:]
    focal, centre = intrinsics[:, [0, 1], [0, 1]], intrinsics[:, :2, 2]
    u = np.arange(width, dtype=dtype) + 0.5
    v = np.arange(height, dtype=dtype)[:, None] + 0.5
    points = np.empty((*depth.shape, 3), dtype)
    points[..., 0] = (u - centre[:, 0, None, None]) / focal[:, 0, None, None] * depth
    points[..., 1] = (v - centre[:, 1, None, None]) / focal[:, 1, None, None] * depth
    points[..., 2] = depth
    return points


def to_frame(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Move the camera-frame points [V, ..., 3] of V views to the frame, in the points' dtype.

    Args:
        points: [V, ..., 3] metres.
        pose: [V, 4, 4] camera to frame.
    """
    flat = points.reshape(len(points), -1, 3)  # (V, P, 3)
    moved = flat @ pose[:, :3, :3].transpose(0, 2, 1) + pose[:, None, :3, 3]
    return moved.astype(points.dtype).reshape(points.shape)


def face_crosses(corners: np.ndarray) -> np.ndarray:
    """Return the cross product [F, 3] of two sides of each triangle.

    Its direction is the triangle's normal, counter-clockwise corners seen from its side, and its
    length twice the triangle's area.

    Args:
        corners: [F, 3, 3], the corners of each triangle.

    >>> face_crosses(np.array([[[0.0, 0, 0], [2, 0, 0], [0, 1, 0]]]))
    array([[0., 0., 2.]])
    """
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def random_barycentric(generator: np.random.Generator, count: int) -> np.ndarray:
    """Draw barycentric weights float64 [count, 3] of points uniform in a triangle.

    The square root makes rows towards the first corner as rare as they are short.

    Source: Turk, "Generating random points in triangles", Graphics Gems, 1990.
    """
    root, along = np.sqrt(generator.random(count)), generator.random(count)
    return np.stack([1 - root, root * (1 - along), root * along], axis=1)


def sorting_order(keys: np.ndarray) -> np.ndarray:
    """Return the stable order int64 [N] that sorts keys int64 [N], none of them negative.

    >>> sorting_order(np.array([7, 3, 7, 0]))
    array([3, 1, 0, 2])
    """
    places = np.arange(len(keys))
    bits = len(keys).bit_length()
    if len(keys) == 0 or int(keys.max()) >> (63 - bits):
        return np.argsort(keys, kind="stable")
    # A key with its place in the low bits is one integer. NumPy sorts integers several times as
    # fast as it finds the order of equally many.
    packed = (keys << bits) | places
    packed.sort()
    return packed & ((1 << bits) - 1)


def keys_of_cells(cells: np.ndarray) -> np.ndarray:
    """Return a key int64 [N] that is equal for equal cells, and only for those; none is negative.

    Keys of different calls cannot be compared.

    Args:
        cells: whole numbers as floats [3, N], one row an axis: reductions along rows are many
            times faster than down columns of three.
    """
    if cells.shape[1] == 0:
        return np.zeros(0, np.int64)
    low, high = cells.min(axis=1), cells.max(axis=1)
    span = high - low + 1
    if np.prod(span) < 2.0**KEY_BITS:
        x, y, z = (cells - low[:, None]).astype(np.int64)
        return (x * int(span[1]) + y) * int(span[2]) + z
    # Too far apart for one integer: number the distinct cells in sorted order.
    return np.unique(cells, axis=1, return_inverse=True)[1].reshape(-1).astype(np.int64)


def cell_keys(points: np.ndarray, size: float) -> np.ndarray:
    """Return the `keys_of_cells` int64 [N] of the cubic cells that hold points.

    Cells start at the origin.

    Args:
        points: [N, 3] in metres; cells are computed in its dtype.
        size: side of a cell in metres.

    >>> cell_keys(np.array([[0.1, 0, 0], [0.9, 0, 0], [1.1, 0, 0]]), 1.0)
    array([0, 0, 1])
    """
    return keys_of_cells(np.floor(points.T.copy() / size))


def first_in_cells(points: np.ndarray, size: float) -> np.ndarray:
    """Return the indices int64 [K], ascending, of the first point in every occupied cell.

    Args:
        points: [N, 3] in metres.
        size: side of a cell in metres; see `cell_keys`.

    >>> first_in_cells(np.array([[0.1, 0, 0], [1.1, 0, 0], [0.9, 0, 0]]), 1.0)
    array([0, 1])
    """
    keys = cell_keys(points, size)
    order = sorting_order(keys)
    return np.sort(order[run_starts(keys[order])])


def run_starts(values: np.ndarray) -> np.ndarray:
    """Return the indices int64 [K] at which runs of equal values [N] begin.

    >>> run_starts(np.array([4, 4, 2, 9, 9]))
    array([0, 2, 3])
    """
    if len(values) == 0:
        return np.zeros(0, np.int64)
    return np.append(0, np.flatnonzero(values[1:] != values[:-1]) + 1)
