"""Light and colour: an ambient term, lamps with shadow rays, daylight from one side, sRGB.

Surfaces are Lambertian and two-sided, so a point's colour depends on the side it is seen from
and not on the view.
"""

from __future__ import annotations

import numpy as np

from g2vlm.scenes.render.meshes import SceneMesh, blend, dots, lengths
from g2vlm.scenes.render.raycast import Hits, RayScene

_AMBIENT = 0.42
_DAYLIGHT = 0.45
_LAMP = 1.1
_LAMP_REACH_M = 2.5
# Lamps hang inside their own shades: the last stretch of a shadow ray is not tested.
_LAMP_RADIUS_M = 0.45
_SHADOW_OFFSET_M = 0.004
_MIDDLE_GREY = 0.3
_HIGHLIGHT = 1.1
_OPAQUE = 0.97


def srgb_to_linear(value: np.ndarray) -> np.ndarray:
    """Decode sRGB in 0..1 (IEC 61966-2-1)."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(value: np.ndarray) -> np.ndarray:
    """Encode linear light in 0..1 as sRGB in 0..1 (IEC 61966-2-1)."""
    value = np.clip(value, 0.0, 1.0)
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)


_DECODE = srgb_to_linear(np.arange(256) / 255.0).astype(np.float32)


def towards(normals: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Flip normals that point along the view directions, so that every one faces the viewer."""
    return normals * np.where(dots(normals, directions) > 0, -1, 1).astype(normals.dtype)[:, None]


def albedo(mesh: SceneMesh, faces: np.ndarray, weights: np.ndarray, footprint: np.ndarray):
    """Return linear colour float32[N, 3] and opacity float32[N] of surface points.

    footprint: float[N], the width in metres that a pixel covers there (chooses the mip level).
    """
    material = mesh.material[faces]
    colour = srgb_to_linear(mesh.colour).astype(np.float32).take(material, axis=0)
    opacity = mesh.opacity[material]
    index = np.flatnonzero(mesh.texture[material] >= 0)
    if not len(index):
        return colour, opacity
    texture = mesh.texture[material[index]]
    point = blend(weights[index], mesh.uv.take(faces[index], axis=0))
    sampled = mesh.atlas.sample(texture, point, mesh.texel_density[faces[index]] * footprint[index])
    colour[index] = _DECODE[sampled[:, :3].round().astype(np.uint8)]
    return colour, opacity


def irradiance(rays: RayScene, points: np.ndarray, normals: np.ndarray, light: dict):
    """Return float32[N], the light that arrives at points on the side their normals show.

    light: a recipe's `light` (degrees and mm, room frame).
    """
    points, normals = np.asarray(points, np.float32), np.asarray(normals, np.float32)
    total = _AMBIENT * (0.92 + 0.08 * normals[:, 2])
    total += _DAYLIGHT * np.maximum(0.3 + 0.7 * (normals @ _sun_direction(light)), 0.0)
    origins = points + normals * _SHADOW_OFFSET_M
    lamps = np.array(light["lamps_mm"], np.float32).reshape(-1, 3) / 1000
    for lamp in lamps:
        step = lamp - points
        distance = lengths(step)
        facing = dots(normals, step) / np.maximum(distance, 1e-6)
        lit = np.flatnonzero(facing > 0.0)
        targets = np.broadcast_to(lamp, (len(lit), 3))
        lit = lit[~rays.blocked(origins.take(lit, axis=0), targets, _LAMP_RADIUS_M)]
        gain = (
            np.float32(_LAMP / len(lamps) ** 0.5)
            * facing[lit]
            / (1 + (distance[lit] / _LAMP_REACH_M) ** 2)
        )
        total[lit] += gain
    return total


def _sun_direction(light: dict) -> np.ndarray:
    azimuth = np.deg2rad(light["sun_azimuth_deg"])
    elevation = np.deg2rad(light["sun_elevation_deg"])
    across = np.cos(elevation)
    sun = [across * np.cos(azimuth), across * np.sin(azimuth), np.sin(elevation)]
    return np.array(sun, np.float32)


def radiance(
    rays: RayScene, hits: Hits, directions: np.ndarray, footprint: np.ndarray, light: dict
) -> np.ndarray:
    """Return linear colour float32[N, 3] seen along rays; panes that glow are coded as -colour.

    footprint: float[N], metres a pixel covers at the hit. Glass mixes in what stands behind it.
    """
    index = np.flatnonzero(hits.found)
    base, gain, opacity = _surface(rays, hits, index, directions, footprint, light)
    gain[rays.mesh.emissive[rays.mesh.material[hits.face[index]]]] = -1.0
    colour = np.zeros((len(hits.face), 3), np.float32)
    colour[index] = base * gain[:, None]
    glass = opacity < _OPAQUE
    if glass.any():
        behind = index[glass]
        onward = rays.beyond(hits, behind, directions)
        back = _opaque(rays, onward, directions[behind], footprint[behind], light)
        share = opacity[glass][:, None]
        colour[behind] = share * colour[behind] + (1.0 - share) * back
    return colour


def _surface(rays, hits: Hits, index: np.ndarray, directions, footprint, light: dict):
    """Return albedo [K, 3], irradiance [K] and opacity [K] where the rays at `index` end."""
    faces = hits.face[index]
    # Rows are gathered by `take`, which is several times faster here than an index in brackets.
    weights, points = hits.weights.take(index, axis=0), hits.points.take(index, axis=0)
    base, opacity = albedo(rays.mesh, faces, weights, footprint[index])
    normals = towards(rays.mesh.normals.take(faces, axis=0), directions.take(index, axis=0))
    return base, irradiance(rays, points, normals, light), opacity


def _opaque(rays, hits: Hits, directions: np.ndarray, footprint: np.ndarray, light: dict):
    """Return linear colour of hits behind glass, further glass taken as opaque."""
    index = np.flatnonzero(hits.found)
    base, gain, _ = _surface(rays, hits, index, directions, footprint, light)
    colour = np.zeros((len(hits.face), 3), np.float32)
    colour[index] = base * gain[:, None]
    return colour


def exposure_for(colour: np.ndarray) -> float:
    """Choose one exposure a scene: the median at middle grey, but few highlights past white."""
    red, green, blue = colour.T
    seen = colour.compress((red > 0) | (green > 0) | (blue > 0), axis=0)
    if not len(seen):
        return 1.0
    luminance = seen @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    middle, high = np.percentile(luminance, [50, 97])
    return float(min(_MIDDLE_GREY / max(middle, 1e-4), _HIGHLIGHT / max(high, 1e-4)))


def expose(colour: np.ndarray, exposure: float) -> np.ndarray:
    """Apply an exposure to the output of `radiance`; glowing panes keep their display colour."""
    return np.clip(np.where(colour < 0, -colour, colour * exposure), 0.0, 1.0)


def to_bytes(linear: np.ndarray) -> np.ndarray:
    """Turn exposed linear colour in 0..1 into uint8 sRGB."""
    return np.rint(linear_to_srgb(linear) * 255.0).astype(np.uint8)
