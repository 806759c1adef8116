"""Light and colour: an ambient term, lamps with shadow rays, daylight from one side, sRGB.

Surfaces are Lambertian and two-sided: a point's colour depends on the side that is seen, and not on
the direction it is seen from. Light is computed in linear units; `expose` and `to_srgb_bytes` turn
it into an image.

Shapes: N points or rays of float32; a recipe's `light` is in the room frame, in degrees and mm.
"""

import numpy as np

from g2vlm.scenes.render.meshes import SceneMesh, interpolate
from g2vlm.scenes.render.raycast import Hits, RayScene, points_behind
from metrics.geometry import dots, lengths

# Strengths of the light sources, relative to each other: the exposure scales their sum.
_AMBIENT = 0.42
_DAYLIGHT = 0.45
_LAMP = 1.1
# Distance at which the light of a lamp has fallen to a half.
_LAMP_REACH_M = 2.5
# Lamps hang inside their own shades: the last stretch of a shadow ray is not tested.
_LAMP_RADIUS_M = 0.45
# Shadow rays start this far off the surface, so that it does not shade itself.
_SHADOW_OFFSET_M = 0.004
# The exposure brings the median to the first of these and the highlights at most to the second.
_MIDDLE_GREY = 0.3
_HIGHLIGHT = 1.1
# A surface of this opacity or more is not looked through.
_OPAQUE = 0.97
# Relative luminance of linear red, green and blue (ITU-R BT.709).
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


def srgb_to_linear(value: np.ndarray) -> np.ndarray:
    """Decode sRGB in 0..1 (IEC 61966-2-1)."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(value: np.ndarray) -> np.ndarray:
    """Encode linear light in 0..1 as sRGB in 0..1 (IEC 61966-2-1)."""
    value = np.clip(value, 0.0, 1.0)
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)


# Linear value of each of the 256 bytes of a texture.
_DECODE = srgb_to_linear(np.arange(256) / 255.0).astype(np.float32)


def face_viewer(normals: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Flip the normals [N, 3] that point along the view directions [N, 3]."""
    return normals * np.where(dots(normals, directions) > 0, -1, 1).astype(normals.dtype)[:, None]


def albedo(
    mesh: SceneMesh, faces: np.ndarray, weights: np.ndarray, footprint: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the linear colour float32 [N, 3] and the opacity float32 [N] of surface points.

    Args:
        mesh: of the scene.
        faces: int64 [N], the face of each point.
        weights: float32 [N, 3], its barycentric weights there.
        footprint: float [N], width in metres that a pixel covers there; it chooses the mip level.
    """
    material = mesh.material[faces]  # (N,)
    colour = srgb_to_linear(mesh.colour).astype(np.float32).take(material, axis=0)  # (N, 3)
    opacity = mesh.opacity[material]
    index = np.flatnonzero(mesh.texture[material] >= 0)  # (T,): textured points
    if not len(index):
        return colour, opacity
    texture = mesh.texture[material[index]]
    uv = interpolate(weights[index], mesh.uv.take(faces[index], axis=0))  # (T, 2)
    texels = mesh.texel_density[faces[index]] * footprint[index]  # (T,)
    sampled = mesh.atlas.sample(texture, uv, texels)  # (T, 4)
    colour[index] = _DECODE[sampled[:, :3].round().astype(np.uint8)]
    return colour, opacity


def irradiance(rays: RayScene, points: np.ndarray, normals: np.ndarray, light: dict) -> np.ndarray:
    """Return float32 [N], the light that arrives at points on the side of their normals.

    Args:
        rays: of the scene, for shadows.
        points: [N, 3] in metres.
        normals: [N, 3], unit.
        light: a recipe's `light`.
    """
    points, normals = np.asarray(points, np.float32), np.asarray(normals, np.float32)
    # Ambient light comes a little more from above; daylight wraps around edges and casts no shadow.
    total = _AMBIENT * (0.92 + 0.08 * normals[:, 2])
    total += _DAYLIGHT * np.maximum(0.3 + 0.7 * (normals @ _sun_direction(light)), 0.0)
    origins = points + normals * _SHADOW_OFFSET_M
    lamps = np.array(light["lamps_mm"], np.float32).reshape(-1, 3) / 1000
    for lamp in lamps:
        step = lamp - points  # (N, 3)
        distance = lengths(step)
        facing = dots(normals, step) / np.maximum(distance, 1e-6)
        lit = np.flatnonzero(facing > 0.0)  # (K,): points whose seen side faces the lamp
        targets = np.broadcast_to(lamp, (len(lit), 3))
        lit = lit[~rays.occluded(origins.take(lit, axis=0), targets, _LAMP_RADIUS_M)]
        # More lamps give more light, but not in proportion.
        total[lit] += (
            np.float32(_LAMP / len(lamps) ** 0.5)
            * facing[lit]
            / (1 + (distance[lit] / _LAMP_REACH_M) ** 2)
        )
    return total


def _sun_direction(light: dict) -> np.ndarray:
    """Return float32 [3], the unit direction towards the sun."""
    azimuth = np.deg2rad(light["sun_azimuth_deg"])
    elevation = np.deg2rad(light["sun_elevation_deg"])
    across = np.cos(elevation)
    sun = [across * np.cos(azimuth), across * np.sin(azimuth), np.sin(elevation)]
    return np.array(sun, np.float32)


def radiance(
    rays: RayScene, hits: Hits, directions: np.ndarray, footprint: np.ndarray, light: dict
) -> np.ndarray:
    """Return the linear colour float32 [N, 3] seen along rays, 0 where a ray meets no surface.

    A glowing pane gives its colour negated: `expose` shows that as it is. Glass mixes in the next
    surface behind it.

    Args:
        rays: of the scene.
        hits: of the N rays.
        directions: float32 [N, 3] of the rays.
        footprint: float [N], width in metres of what a pixel covers at the hit.
        light: a recipe's `light`.
    """
    index = np.flatnonzero(hits.mask)  # (K,)
    base, gain, opacity = _shading(rays, hits, index, directions, footprint, light)
    gain[rays.mesh.emissive[rays.mesh.material[hits.face[index]]]] = -1.0
    colour = np.zeros((len(hits.face), 3), np.float32)
    colour[index] = base * gain[:, None]
    glass = opacity < _OPAQUE  # (K,)
    if glass.any():
        through = index[glass]  # (G,): rays that hit glass
        onward = rays.cast(points_behind(hits, through, directions), directions[through])
        # Behind glass every surface counts as opaque, and none glows.
        behind = np.flatnonzero(onward.mask)
        base, gain, _ = _shading(
            rays, onward, behind, directions[through], footprint[through], light
        )
        back = np.zeros((len(through), 3), np.float32)
        back[behind] = base * gain[:, None]
        share = opacity[glass][:, None]
        colour[through] = share * colour[through] + (1.0 - share) * back
    return colour


def _shading(
    rays: RayScene,
    hits: Hits,
    index: np.ndarray,
    directions: np.ndarray,
    footprint: np.ndarray,
    light: dict,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return albedo [K, 3], irradiance [K] and opacity [K] at the hits of the rays `index` [K]."""
    faces = hits.face[index]
    # Rows are gathered by `take`, which is several times faster here than an index in brackets.
    weights, points = hits.weights.take(index, axis=0), hits.points.take(index, axis=0)
    base, opacity = albedo(rays.mesh, faces, weights, footprint[index])
    normals = face_viewer(rays.mesh.normals.take(faces, axis=0), directions.take(index, axis=0))
    return base, irradiance(rays, points, normals, light), opacity


def choose_exposure(colour: np.ndarray) -> float:
    """Return the factor that brings the median of a scene to middle grey and keeps highlights.

    Args:
        colour: float32 [N, 3] of all views, from `radiance`.
    """
    red, green, blue = colour.T
    seen = colour.compress((red > 0) | (green > 0) | (blue > 0), axis=0)
    if not len(seen):
        return 1.0
    middle, high = np.percentile(seen @ _LUMINANCE, [50, 97])
    return float(min(_MIDDLE_GREY / max(middle, 1e-4), _HIGHLIGHT / max(high, 1e-4)))


def expose(colour: np.ndarray, exposure: float) -> np.ndarray:
    """Scale the output of `radiance` into 0..1; glowing panes keep their display colour."""
    return np.clip(np.where(colour < 0, -colour, colour * exposure), 0.0, 1.0)


def to_srgb_bytes(linear: np.ndarray) -> np.ndarray:
    """Encode exposed linear colour in 0..1 as uint8 sRGB."""
    return np.rint(linear_to_srgb(linear) * 255.0).astype(np.uint8)
