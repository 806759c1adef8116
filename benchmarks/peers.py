"""Compare inner loops of the evaluation with other libraries, on the same inputs and one core.

The two results are compared before they are timed.
"""

from functools import partial

import numpy as np

from benchmarks.timing import Row, best
from metrics.files import rng


def nearest_neighbours(count: int = 100_000) -> list[Row]:
    """Time nearest neighbours by pykdtree, by scipy, and by PyTorch3D if it is installed."""
    from scipy.spatial import cKDTree

    random = rng(0, "benchmark", "clouds")
    here = random.uniform(0, 5, (count, 3)).astype(np.float32)
    there = random.uniform(0, 5, (count, 3)).astype(np.float32)

    ours = partial(_nearest, here, there)

    def theirs() -> np.ndarray:
        return cKDTree(there).query(here)[0]

    np.testing.assert_allclose(ours(), theirs(), atol=1e-5)
    task = f"nearest neighbour, {count:,} to {count:,} points"
    rows = [Row(task, "scipy cKDTree", best(ours), best(theirs), count)]
    return rows + brute_force(here[:5000], there[:5000])


def _nearest(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Return the distance [N] from each of N points to the nearest of the others, as scores use."""
    from pykdtree.kdtree import KDTree

    return KDTree(there).query(here)[0]


def brute_force(here: np.ndarray, there: np.ndarray) -> list[Row]:
    """Time nearest neighbours of small clouds by PyTorch3D's exhaustive search."""
    try:
        import torch
        from pytorch3d.ops import knn_points
    except ImportError:
        return []

    torch.set_num_threads(1)
    first, second = (torch.from_numpy(cloud)[None] for cloud in (here, there))

    ours = partial(_nearest, here, there)

    def exhaustive() -> np.ndarray:
        return knn_points(first, second).dists.sqrt().flatten().numpy()

    np.testing.assert_allclose(ours(), exhaustive(), atol=1e-4)
    task = f"nearest neighbour, {len(here):,} to {len(there):,} points"
    return [Row(task, "pytorch3d knn_points", best(ours), best(exhaustive, 3), len(here))]


def inside_mesh(count: int = 50_000) -> list[Row]:
    """Time which points are inside a mesh: winding numbers (libigl) vs trimesh's ray parity."""
    import igl
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions=5)
    vertices, faces = np.asarray(ball.vertices), np.asarray(ball.faces, np.int64)
    points = rng(0, "benchmark", "inside").uniform(-1.2, 1.2, (count, 3))

    def ours() -> np.ndarray:
        return igl.fast_winding_number(vertices, faces, points) > 0.5

    def rays() -> np.ndarray:
        return ball.contains(points)

    if (ours() != rays()).mean() > 1e-3:
        raise AssertionError("libigl and trimesh disagree on what is inside")
    task = f"inside a mesh, {count:,} points, {len(faces):,} faces"
    return [Row(task, "trimesh contains", best(ours, 3), best(rays, 3), count)]
