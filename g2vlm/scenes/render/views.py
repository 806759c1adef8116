"""Render the views of a scene: colour, depth, normals and instances by ray casting.

Shapes: V views of H x W pixels, all of one size.
"""

from dataclasses import dataclass

import numpy as np

from g2vlm.scenes.render.raycast import Camera, Hits, RayScene, pixel_grid, pixel_rays
from g2vlm.scenes.render.sensor import depth_edges
from g2vlm.scenes.render.shading import (
    choose_exposure,
    expose,
    face_viewer,
    radiance,
    to_srgb_bytes,
)
from metrics.geometry import dots

# Neighbouring normals with a smaller inner product lie on two sides of an edge.
_EDGE_NORMAL = 0.9
# Extra samples of a pixel that holds an edge, as offsets from its centre in pixels: a rotated grid.
_OFFSETS = np.array(((-0.375, -0.125), (0.125, -0.375), (0.375, 0.125), (-0.125, 0.375)))


@dataclass(frozen=True)
class Layers:
    """Geometry of V views.

    Args:
        depth: float32 [V, H, W] z-depth in metres, 0 = no surface.
        normal: float32 [V, H, W, 3] in the room frame, towards the camera.
        instance: uint8 [V, H, W], values of `metrics.constants`.
        opacity: float32 [V, H, W], 1 where there is no surface.
    """

    depth: np.ndarray
    normal: np.ndarray
    instance: np.ndarray
    opacity: np.ndarray


def render_views(
    rays: RayScene, cameras: list[Camera], light: dict
) -> tuple[Layers, np.ndarray, float]:
    """Render all views of a scene.

    A pixel is one sample at its centre. Pixels next to an edge in depth, normal or instance are
    averaged over four more samples, in linear light. One exposure serves the scene, so that
    colours agree between views.

    Args:
        rays: of the scene.
        cameras: of one image size.
        light: a recipe's `light`.

    Returns:
        the layers, rgb uint8 [V, H, W, 3] and the exposure.
    """
    shape = (len(cameras), cameras[0].height, cameras[0].width)
    centres = pixel_grid(cameras[0].width, cameras[0].height)
    hits, directions, footprint = _cast(rays, cameras, [centres] * len(cameras))
    layers = _layers(rays, hits, directions, shape)
    colour = radiance(rays, hits, directions, footprint, light)
    exposure = choose_exposure(colour)
    linear = expose(colour, exposure).reshape(*shape, 3)
    edges = _edge_pixels(layers)
    linear[edges] = _refine(rays, cameras, edges, linear[edges], light, exposure)
    return layers, to_srgb_bytes(linear), exposure


def _cast(
    rays: RayScene, cameras: list[Camera], pixels: list[np.ndarray]
) -> tuple[Hits, np.ndarray, np.ndarray]:
    """Cast rays through image positions [n, 2] of each camera, N in all, in the cameras' order.

    Returns the hits, the directions float32 [N, 3], and the footprint [N], the width in metres that
    a pixel covers at each hit.
    """
    directions = np.concatenate(
        [pixel_rays(camera, places) for camera, places in zip(cameras, pixels, strict=True)]
    )
    counts = [len(places) for places in pixels]
    origins = np.repeat([camera.centre for camera in cameras], counts, axis=0)
    hits = rays.cast(origins.astype(np.float32), directions)
    # At a distance of 1 a pixel is 1 / focal length wide.
    widths = np.repeat([1.0 / camera.intrinsics[0, 0] for camera in cameras], counts)
    return hits, directions, hits.distance * widths


def _layers(rays: RayScene, hits: Hits, directions: np.ndarray, shape: tuple) -> Layers:
    """Return the layers of the hits of all pixels.

    Directions advance 1 m along the optical axis, so a ray's distance is its z-depth.
    """
    mesh, index = rays.mesh, np.flatnonzero(hits.mask)
    faces = hits.face[index]
    normal = np.zeros((len(directions), 3), np.float32)
    normal[index] = face_viewer(mesh.normals.take(faces, axis=0), directions.take(index, axis=0))
    instance = np.zeros(len(directions), np.uint8)
    instance[index] = mesh.instance[faces]
    opacity = np.ones(len(directions), np.float32)
    opacity[index] = mesh.opacity[mesh.material[faces]]
    return Layers(
        hits.distance.reshape(shape),
        normal.reshape(*shape, 3),
        instance.reshape(shape),
        opacity.reshape(shape),
    )


def _edge_pixels(layers: Layers) -> np.ndarray:
    """Return bool [V, H, W], where depth jumps or a neighbour differs in instance or normal."""
    edges = depth_edges(layers.depth)
    for axis in (1, 2):
        # Each pixel (low) and its next neighbour along the axis (high).
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        differs = layers.instance[low] != layers.instance[high]
        cosine = dots(layers.normal[low].reshape(-1, 3), layers.normal[high].reshape(-1, 3))
        differs |= (cosine < _EDGE_NORMAL).reshape(differs.shape)
        edges[low] |= differs
        edges[high] |= differs
    return edges


def _refine(
    rays: RayScene,
    cameras: list[Camera],
    edges: np.ndarray,
    centre: np.ndarray,
    light: dict,
    exposure: float,
) -> np.ndarray:
    """Return the linear colour [E, 3] of edge pixels, averaged with four more samples each.

    Args:
        edges: bool [V, H, W], the pixels to refine, E in all.
        centre: float [E, 3] their linear colour at the centre.
    """
    samples = []
    for mask in edges:
        rows, columns = np.nonzero(mask)
        pixels = np.stack([columns + 0.5, rows + 0.5], axis=1)  # (n, 2)
        samples.append((pixels[:, None] + _OFFSETS).reshape(-1, 2))  # (4 n, 2)
    hits, directions, footprint = _cast(rays, cameras, samples)
    colour = expose(radiance(rays, hits, directions, footprint, light), exposure)
    colour = colour.reshape(-1, len(_OFFSETS), 3)  # (E, 4, 3)
    return (sum(colour[:, k] for k in range(len(_OFFSETS))) + centre) / (len(_OFFSETS) + 1)
