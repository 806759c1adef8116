"""A small point renderer: a room seen from above at a slant, ceiling and near walls cut away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CUT = 0.12


@dataclass(frozen=True)
class Look:
    """An orthographic camera: rows of `axes` are right, down and forward; `centre` in metres.

    `scale` pixels per metre; `near` holds (outward normal [2], offset) of the walls cut away, and
    `ceiling` the height in metres above which nothing is drawn.
    """

    axes: np.ndarray
    centre: np.ndarray
    scale: float
    size: tuple[int, int]
    near: tuple[tuple[np.ndarray, float], ...]
    ceiling: float

    def kept(self, points: np.ndarray) -> np.ndarray:
        """Return bool [M]: what is neither ceiling nor one of the walls before the camera."""
        keep = points[:, 2] < self.ceiling
        for normal, offset in self.near:
            keep &= points[:, :2] @ normal < offset - CUT
        return keep


def look_at_room(corners: np.ndarray, width: int = 420, height: int = 320) -> Look:
    """Return the camera that shows a room from its corners f32 [8, 3]."""
    floor = corners[np.argsort(corners[:, 2])[:4]]
    centre = corners.mean(0)
    around = np.arctan2(floor[:, 1] - centre[1], floor[:, 0] - centre[0])
    ring = floor[np.argsort(around), :2]
    diagonal = ring[0] - centre[:2]
    azimuth = np.arctan2(diagonal[1], diagonal[0]) + 0.35
    elevation = np.deg2rad(50)
    forward = -np.array(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ]
    )
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(forward, right), forward])
    flat = (corners - centre) @ axes[:2].T
    spread = np.ptp(flat, axis=0)
    scale = 0.94 * float(min(width / spread[0], height / spread[1]))
    middle = centre + axes[:2].T @ ((flat.max(0) + flat.min(0)) / 2)
    walls = []
    for start, end in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        along = end - start
        normal = np.array([along[1], -along[0]]) / np.linalg.norm(along)
        if normal @ forward[:2] < 0:
            walls.append((normal, float(normal @ start)))
    return Look(
        axes, middle, scale, (width, height), tuple(walls), float(corners[:, 2].max()) - CUT
    )


def render(look: Look, points: np.ndarray, colours: np.ndarray, radius: int = 1) -> np.ndarray:
    """Draw points f32 [M, 3] with colours u8 [M, 3] as squares; returns u8 [height, width, 3]."""
    width, height = look.size
    image = np.full((height, width, 3), 255, np.uint8)
    keep = look.kept(points)
    placed = (points[keep] - look.centre) @ look.axes.T
    order = np.argsort(-placed[:, 2], kind="stable")  # far first: nearer points overwrite
    columns = np.round(placed[order, 0] * look.scale + width / 2).astype(np.int64)
    rows = np.round(placed[order, 1] * look.scale + height / 2).astype(np.int64)
    shown = colours[keep][order]
    depth = np.full((height, width), np.inf)
    for down in range(-radius, radius + 1):
        for across in range(-radius, radius + 1):
            r, c = rows + down, columns + across
            inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
            _nearest(image, depth, r[inside], c[inside], placed[order][inside, 2], shown[inside])
    return image


def _nearest(
    image: np.ndarray,
    depth: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    distance: np.ndarray,
    colours: np.ndarray,
) -> None:
    """Write into image where these points, far first, are nearer than what stands there."""
    layer = np.full(depth.shape, -1, np.int64)
    layer[rows, columns] = np.arange(len(rows))  # the last, nearest one stays
    hit = layer >= 0
    new = np.where(hit, distance[np.maximum(layer, 0)] if len(rows) else np.inf, np.inf)
    closer = new < depth
    depth[closer] = new[closer]
    image[closer] = colours[layer[closer]]
