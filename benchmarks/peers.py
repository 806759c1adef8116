"""Compare containment tests and ray casting with other libraries, on the same inputs and one core.

The two results are compared before they are timed. Rays view one room of the data through the same
cameras. trimesh's caster without Embree needs `rtree`, which is no dependency here.
"""

from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.timing import Requirement, versus
from g2vlm.scenes.assets.catalog import Catalog
from g2vlm.scenes.layout.recipes import load_recipes
from g2vlm.scenes.render.meshes import ModelLibrary, SceneMesh
from g2vlm.scenes.render.raycast import Camera, RayScene, pixel_grid, pixel_rays, recipe_camera
from g2vlm.scenes.render.scene import scene_mesh
from metrics.files import rng

SPLIT = "dev_scene"
SIZE = 128, 96
# Share of pixels whose depth may differ: silhouettes, and leaves with transparent texels, through
# which only this project's rays pass.
_DEPTH_M = 1e-3
_MOST_APART = 0.02


def inside_mesh(count: int = 50_000) -> list[Requirement]:
    """Time which points are inside a closed mesh: crossings here and by trimesh with Embree."""
    import trimesh

    from metrics.reconstruction.winding import winds_around

    ball = trimesh.creation.icosphere(subdivisions=5)
    vertices, faces = np.asarray(ball.vertices), np.asarray(ball.faces, np.int64)
    points = rng(0, "benchmark", "inside").uniform(-1.2, 1.2, (count, 3))
    ours, theirs = partial(winds_around, points, vertices, faces), partial(ball.contains, points)
    if (ours() != theirs()).mean() > 1e-3:
        raise AssertionError("trimesh and this project disagree on what is inside")
    task = f"inside a closed mesh, {count:,} points, {len(faces):,} faces"
    return [versus(task, ours, "trimesh with Embree", theirs)]


def views(data: Path = Path("data")) -> list[Requirement]:
    """Time the rays of all views of the first room of a split."""
    if not (data / "scenes.jsonl").is_file():
        why = f"{data}: no such folder; run `make data`"
        return [Requirement("first hits of rays", why, "", None)]
    recipe = load_recipes(data, SPLIT, 1)[0]
    mesh = scene_mesh(recipe, ModelLibrary(Catalog(data)))
    cameras = [recipe_camera(item, *SIZE) for item in recipe["cameras"]]
    return trimesh_embree(mesh, cameras) + pytorch3d_rasterizer(mesh, cameras[0])


def _rays(cameras: list[Camera]) -> tuple[np.ndarray, np.ndarray]:
    """Return origins and directions, float32[N, 3] each, of every pixel of every camera."""
    pixels = pixel_grid(*SIZE)
    directions = np.concatenate([pixel_rays(camera, pixels) for camera in cameras])
    origins = np.repeat([camera.centre for camera in cameras], len(pixels), axis=0)
    return origins.astype(np.float32), directions


def _agree(ours: np.ndarray, theirs: np.ndarray, peer: str) -> None:
    apart = float((np.abs(ours - theirs) > _DEPTH_M).mean())
    if apart > _MOST_APART:
        raise AssertionError(f"{peer} and this project disagree on {apart:.1%} of the rays")


def trimesh_embree(mesh: SceneMesh, cameras: list[Camera]) -> list[Requirement]:
    """Time first hits and their positions; both use Embree, with trees built beforehand."""
    import trimesh
    from trimesh.ray.ray_pyembree import RayMeshIntersector

    origins, directions = _rays(cameras)
    ours = partial(RayScene(mesh).cast, origins, directions)
    peer = RayMeshIntersector(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False))

    def theirs() -> np.ndarray:
        _, index, place = peer.intersects_id(
            origins, directions, multiple_hits=False, return_locations=True
        )
        distance = np.zeros(len(origins))
        along = np.linalg.norm(directions[index], axis=1)
        distance[index] = np.linalg.norm(place - origins[index], axis=1) / along
        return distance

    _agree(ours().distance, theirs(), "trimesh")
    task = f"first hits of {len(origins):,} rays, {len(mesh.faces):,} triangles"
    return [versus(task, ours, "trimesh with Embree", theirs)]


def pytorch3d_rasterizer(mesh: SceneMesh, camera: Camera) -> list[Requirement]:
    """Time the depth of one view by PyTorch3D's rasterizer; no row if it is not installed."""
    try:
        import torch
        from pytorch3d.renderer import MeshRasterizer, PerspectiveCameras, RasterizationSettings
        from pytorch3d.structures import Meshes
    except ImportError:
        return []
    torch.set_num_threads(1)
    ours = partial(RayScene(mesh).cast, *_rays([camera]))
    # PyTorch3D looks along +z with x to the left and y up, and multiplies from the left.
    turn = camera.pose[:3, :3] * (-1.0, -1.0, 1.0)
    intrinsics = torch.tensor(camera.intrinsics, dtype=torch.float32)
    peer = MeshRasterizer(
        PerspectiveCameras(
            focal_length=intrinsics[[0, 1], [0, 1]][None],
            principal_point=intrinsics[:2, 2][None],
            R=torch.tensor(turn, dtype=torch.float32)[None],
            T=torch.tensor(-camera.centre @ turn, dtype=torch.float32)[None],
            in_ndc=False,
            image_size=[SIZE[::-1]],
        ),
        RasterizationSettings(image_size=SIZE[::-1], z_clip_value=0.1),
    )
    surface = Meshes([torch.tensor(mesh.vertices)], [torch.tensor(mesh.faces).long()])
    # A view takes PyTorch3D many seconds, so the timed run is also the one that is compared.
    depths = []
    task = f"depth of {SIZE[0] * SIZE[1]:,} pixels, {len(mesh.faces):,} triangles"
    row = versus(task, ours, "PyTorch3D", lambda: depths.append(peer(surface).zbuf), repeats=1)
    _agree(ours().distance, depths[0].numpy().ravel(), "PyTorch3D")
    return [row]
