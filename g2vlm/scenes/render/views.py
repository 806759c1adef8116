"""The eight views of a scene: colour, depth, normals and instances by ray casting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from g2vlm.scenes.render.meshes import dots
from g2vlm.scenes.render.raycast import Camera, Hits, RayScene, pixel_grid, pixel_rays
from g2vlm.scenes.render.sensor import depth_edges
from g2vlm.scenes.render.shading import expose, exposure_for, radiance, to_bytes, towards

_EDGE_NORMAL = 0.9
# Extra samples of a pixel that holds an edge, as offsets from its centre in pixels.
_OFFSETS = ((-0.375, -0.125), (0.125, -0.375), (0.375, 0.125), (-0.125, 0.375))


@dataclass(frozen=True)
class Layers:
    """Geometry of V views: depth float32[V, H, W] m; normal float32[V, H, W, 3] in the room
    frame, facing the camera; instance uint8[V, H, W]; opacity float32[V, H, W]."""

    depth: np.ndarray
    normal: np.ndarray
    instance: np.ndarray
    opacity: np.ndarray


def render_views(
    rays: RayScene, cameras: list[Camera], light: dict
) -> tuple[Layers, np.ndarray, float]:
    """Render all views of one size; returns the layers, rgb uint8[V, H, W, 3] and the exposure.

    Pixels are point samples; those beside an edge in depth, normal or instance are averaged over
    four more samples, in linear light. One exposure serves the scene, so views agree.
    """
    shape = (len(cameras), cameras[0].height, cameras[0].width)
    origins, directions, angles = _primary_rays(cameras)
    hits = rays.cast(origins, directions)
    layers = _layers(rays, hits, directions, shape)
    colour = radiance(rays, hits, directions, hits.distance * angles, light)
    exposure = exposure_for(colour)
    linear = expose(colour, exposure).reshape(*shape, 3)
    edges = _edge_pixels(layers)
    linear[edges] = _refine(rays, cameras, edges, linear[edges], light, exposure)
    return layers, to_bytes(linear), exposure


def _primary_rays(cameras: list[Camera]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pixels = pixel_grid(cameras[0].width, cameras[0].height)
    directions = np.concatenate([pixel_rays(camera, pixels) for camera in cameras])
    origins = np.repeat([camera.centre for camera in cameras], len(pixels), axis=0)
    angles = np.repeat([1.0 / camera.intrinsics[0, 0] for camera in cameras], len(pixels))
    return origins.astype(np.float32), directions, angles


def _layers(rays: RayScene, hits: Hits, directions: np.ndarray, shape: tuple) -> Layers:
    """Directions have unit depth along the optical axis, so a ray's distance is its z-depth."""
    mesh, index = rays.mesh, np.flatnonzero(hits.found)
    faces = hits.face[index]
    normal = np.zeros((len(directions), 3), np.float32)
    normal[index] = towards(mesh.normals.take(faces, axis=0), directions.take(index, axis=0))
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
    """Return bool[V, H, W]: depth jumps, or a neighbour differs in instance or normal."""
    edges = depth_edges(layers.depth)
    for axis in (1, 2):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        differs = layers.instance[low] != layers.instance[high]
        pairs = layers.normal[low].reshape(-1, 3), layers.normal[high].reshape(-1, 3)
        differs |= (dots(*pairs) < _EDGE_NORMAL).reshape(differs.shape)
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
    """Return linear colour [E, 3] of edge pixels, averaged with four more samples each."""
    offsets = np.array(_OFFSETS)
    origins, directions, angles = [], [], []
    for camera, mask in zip(cameras, edges, strict=True):
        rows, columns = np.nonzero(mask)
        pixels = np.stack([columns + 0.5, rows + 0.5], axis=1)
        samples = (pixels[:, None] + offsets).reshape(-1, 2)
        directions.append(pixel_rays(camera, samples))
        origins.append(np.broadcast_to(camera.centre.astype(np.float32), directions[-1].shape))
        angles.append(np.full(len(samples), 1.0 / camera.intrinsics[0, 0]))
    step = np.concatenate(directions)
    hits = rays.cast(np.concatenate(origins), step)
    colour = expose(
        radiance(rays, hits, step, hits.distance * np.concatenate(angles), light), exposure
    )
    samples = colour.reshape(-1, len(offsets), 3)
    return (sum(samples[:, k] for k in range(len(offsets))) + centre) / (len(offsets) + 1)
