"""Rays, views and light against cases computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm.scenes.render.meshes import ModelLibrary
from g2vlm.scenes.render.raycast import RayScene, frame_from_room, recipe_camera
from g2vlm.scenes.render.scene import scene_mesh
from g2vlm.scenes.render.shading import irradiance, linear_to_srgb, srgb_to_linear
from g2vlm.scenes.render.views import render_views
from metrics.constants import FIRST_OBJECT, OPENING, WALL
from metrics.geometry import lift_depth, to_frame
from tests.g2vlm.scenes.render.conftest import camera, make_recipe, thing


def _render(catalog, recipe, width=64, height=48):
    rays = RayScene(scene_mesh(recipe, ModelLibrary(catalog)))
    cameras = [recipe_camera(c, width, height) for c in recipe["cameras"]]
    return cameras, *render_views(rays, cameras, recipe["light"])


def test_depth_is_along_the_optical_axis(catalog):
    recipe = make_recipe()
    recipe["objects"] = []
    recipe["cameras"] = [camera(1000, 1500, 0, "input", pitch=0, z=1250)] * 4
    _, layers, _, _ = _render(catalog, recipe)
    wall = np.isin(layers.instance[0], (WALL, OPENING)) & (layers.normal[0][..., 0] < -0.9)
    assert wall.sum() > 200
    assert layers.depth[0][wall] == pytest.approx(3.0, abs=1e-4)


def test_lifted_pixels_lie_on_the_surface_they_show(catalog):
    recipe = make_recipe()
    cameras, layers, _, _ = _render(catalog, recipe)
    pose = np.stack([c.pose for c in cameras])
    intrinsics = np.stack([c.intrinsics for c in cameras])
    points = to_frame(lift_depth(layers.depth, intrinsics, np.float64), pose)
    cube = points[0][layers.instance[0] == FIRST_OBJECT]
    assert len(cube) > 50
    inside = (cube > [2.249, 1.299, -0.001]) & (cube < [2.751, 1.701, 0.601])
    assert inside.all()
    floor = points[layers.instance == 1]
    assert np.abs(floor[:, 2]).max() < 1e-3


def test_normals_face_the_camera_whatever_the_corner_order(catalog):
    _, layers, _, _ = _render(catalog, make_recipe())
    up = layers.normal[layers.instance == 1]
    assert up[:, 2] == pytest.approx(1.0, abs=1e-5)
    near_side = layers.normal[0][(layers.instance[0] == FIRST_OBJECT)]
    assert set(np.rint(near_side[:, 0]).astype(int)) <= {-1, 0}


def test_first_camera_is_the_origin_of_its_frame():
    item = camera(1200, 700, 130, "input")
    matrix = frame_from_room(item)
    pose = matrix @ recipe_camera(item, 64, 48).pose
    assert pose[:3, 3] == pytest.approx([0, 0, 1.4], abs=1e-9)
    forward = pose[:3, 2]
    assert forward[1] == pytest.approx(0, abs=1e-9) and forward[0] > 0 and forward[2] < 0
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)


def test_rays_pass_clear_texels_and_stop_at_opaque_ones(catalog):
    recipe = make_recipe()
    recipe["objects"] = [
        thing(0, "Tiny#sheet", "plant", [2000, 1500], size_mm=[2000, 100, 2400], yaw_deg=90)
    ]
    rays = RayScene(scene_mesh(recipe, ModelLibrary(catalog)))
    origins = np.array([[0.5, 1.0, 1.2], [0.5, 2.0, 1.2]], np.float32)
    hits = rays.cast(origins, np.array([[1.0, 0, 0]] * 2, np.float32))
    distance = sorted(hits.distance)
    assert distance[0] == pytest.approx(1.5, abs=0.06)
    assert distance[1] == pytest.approx(3.5, abs=1e-3)
    visible = rays.visible(origins[0], np.array([[4.0, 1.0, 1.2]]), 0.01)
    assert visible[0] == (hits.distance[0] > 3)


def test_a_cube_casts_a_shadow_of_the_lamp(catalog):
    recipe = make_recipe()
    recipe["light"]["lamps_mm"] = [[2500, 2900, 1200]]
    rays = RayScene(scene_mesh(recipe, ModelLibrary(catalog)))
    points = np.array([[2.5, 1.1, 0.0], [1.0, 1.1, 0.0]])
    up = np.array([[0.0, 0.0, 1.0]] * 2)
    shadowed, lit = irradiance(rays, points, up, recipe["light"])
    recipe["light"]["lamps_mm"] = []
    dark = irradiance(rays, points, up, recipe["light"])
    assert shadowed == pytest.approx(dark[0]) and lit > dark[1] + 0.02


def test_srgb_is_its_own_inverse_and_has_the_standard_middle():
    values = np.linspace(0, 1, 101)
    assert linear_to_srgb(srgb_to_linear(values)) == pytest.approx(values, abs=1e-6)
    assert srgb_to_linear(np.array([0.5]))[0] == pytest.approx(0.21404, abs=1e-5)


def test_views_are_exposed_and_coloured(catalog):
    _, layers, rgb, exposure = _render(catalog, make_recipe())
    assert exposure > 0 and 60 < rgb.mean() < 200
    cube = rgb[0][layers.instance[0] == FIRST_OBJECT].astype(int)
    assert (cube[:, 0] > cube[:, 2]).mean() > 0.9
