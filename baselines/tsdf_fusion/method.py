"""Classical fusion of the sensor depth, the reference for learned reconstructions."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from baselines.contract import Context
from baselines.tsdf_fusion.fusion import Settings, fit_surfels, fuse
from baselines.tsdf_fusion.surface import (
    carve,
    drop_unsupported,
    extract_mesh,
    sample_mesh,
    solid_mesh,
    view_support,
)
from metrics.files import InputError, rng

DESCRIPTION = "Truncated signed distance fusion of the sensor depth, marching cubes"
PRODUCES = ("points", "mesh", "occupancy")
DEFAULT_REASON = "reads no language and finds no objects"
GEOMETRY_INPUTS = ("depth", "poses", "intrinsics")
PIXELS = True
MESH_KIND = "solids"


def load_settings() -> Settings:
    """Return the settings that `tune.py` chose on val; settings.json also holds every trial."""
    path = Path(__file__).with_name("settings.json")
    return Settings(**json.loads(path.read_text(encoding="utf-8"))["chosen"])


@dataclass(frozen=True)
class Fused:
    """The predictions for one scene, in the common frame.

    Attributes:
        points: f32[M, 3], metres.
        colours: u8[M, 3].
        pixels: i16[M, 3], the (view, row, column) of each point, -1s for none.
        mesh: vertices f32[N, 3] in metres, faces i32[F, 3] and colours u8[N, 3] of the closed mesh
            around the solid cells.
        grid: the solid cells bool[X, Y, Z], corner f32[3] of the first one and side of a cell, in
            metres.
    """

    points: np.ndarray
    colours: np.ndarray
    pixels: np.ndarray
    mesh: tuple[np.ndarray, np.ndarray, np.ndarray]
    grid: tuple[np.ndarray, np.ndarray, float]


def predict(context: Context) -> None:
    """Fuse the four views of each scene and write points, a closed mesh and occupancy."""
    settings = load_settings()
    for split, scenes in context.splits.items():
        with context.writer(split) as writer:
            for scene in scenes.ids:
                fused = fuse_scene(scenes.inputs(scene), settings)
                writer.points(scene, fused.points, fused.colours, pixels=fused.pixels)
                writer.mesh(scene, *fused.mesh)
                writer.occupancy(scene, *fused.grid)


def fuse_scene(inputs: Any, settings: Settings) -> Fused:
    """Fuse the views of a `SceneInputs`.

    Raises:
        InputError: no view has usable depth.
    """
    cameras = inputs.intrinsics, inputs.pose
    surfels = fit_surfels(inputs.depth, *cameras, settings)
    kept = surfels.depth > 0
    if not kept.any():
        raise InputError(
            f"scene {inputs.scene}: no view has a pixel with depth left after filtering; "
            "render the split again"
        )
    vertices, faces = extract_mesh(fuse(surfels, *cameras, settings))
    colours, supported = view_support(vertices, inputs.rgb, surfels, *cameras, settings.support)
    vertices, faces, colours = drop_unsupported(vertices, faces, colours, supported)
    generator = rng(0, "tsdf_fusion", inputs.scene)
    points, tint = sample_mesh(vertices, faces, colours, settings.samples, generator)
    solid, corner = carve(surfels, *cameras, settings)
    closed, closed_faces = solid_mesh(solid, corner, settings.solid_voxel, settings.smoothing)
    closed_colours, _ = view_support(closed, inputs.rgb, surfels, *cameras, settings.support)
    # Sampled points belong to no pixel.
    pixels = np.concatenate([np.argwhere(kept), np.full((len(points), 3), -1, np.int16)])
    return Fused(
        points=np.concatenate([surfels.points[kept], points]),
        colours=np.concatenate([inputs.rgb[kept], tint]),
        pixels=pixels,
        mesh=(closed, closed_faces, closed_colours),
        grid=(solid, corner, settings.solid_voxel),
    )
