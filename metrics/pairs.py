"""Compare two bare files of geometry, without a scene: what the CLI's `geometry` prints."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metrics import geometry as geo
from metrics.alignment import icp
from metrics.files import InputError, rng
from metrics.score_geometry import MESH_SAMPLES

ALIGNMENTS = ("none", "icp_se3", "icp_sim3")


def load_surface(path: str | Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return points f32 [N, 3] and normals of a file: a cloud as it is, a mesh sampled to 200k.

    Reads ``.npy`` ([N, 3]) and what trimesh reads (PLY, OBJ, GLB, STL, OFF, XYZ, ...).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a point cloud or a mesh")
    points, faces = _load_array(path) if path.suffix == ".npy" else _load_trimesh(path)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise InputError(f"{path}: holds no points [N, 3]; export a cloud or a mesh")
    if not np.isfinite(points).all():
        raise InputError(f"{path}: holds numbers that are not finite; leave such points out")
    if faces is None or len(faces) == 0:
        return points, None
    generator = rng(0, "mesh_samples")
    sampled, normals, _, _ = geo.sample_mesh(points, faces, MESH_SAMPLES, generator)
    return sampled, normals


def _load_array(path: Path) -> tuple[np.ndarray, None]:
    try:
        return np.asarray(np.load(path, allow_pickle=False), np.float32), None
    except ValueError as error:
        raise InputError(f"{path}: not an array of numbers ({error}); save [N, 3]") from error


def _load_trimesh(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    import trimesh

    try:
        loaded = trimesh.load(path, process=False)
    except Exception as error:  # trimesh raises whatever the format's parser meets
        raise InputError(f"{path}: cannot be read ({error}); give PLY, OBJ, GLB or npy") from error
    if isinstance(loaded, trimesh.Scene):
        loaded = loaded.to_geometry()
    points = np.asarray(getattr(loaded, "vertices", np.zeros((0, 3))), np.float32)
    faces = getattr(loaded, "faces", None)
    return points, None if faces is None else np.asarray(faces)


def compare_files(
    predicted: str | Path, truth: str | Path, align: str = "none"
) -> dict[str, float]:
    """Return metrics of a predicted against a true surface, unclipped.

    Names ending in ``_exact`` take every point (the definition of the source); the others take
    one point a cell, as in the tables. An alignment other than "none" is part of each name.
    """
    mine, my_normals = load_surface(predicted)
    true, true_normals = load_surface(truth)
    if align != "none":
        mine = icp(mine, true, with_scale=align == "icp_sim3").apply(mine)
    found = _exact(mine, true) | _celled(mine, my_normals, true, true_normals)
    suffix = "" if align == "none" else f"_{align}"
    return {name + suffix: value for name, value in found.items()}


def _exact(mine: np.ndarray, true: np.ndarray) -> dict[str, float]:
    near = geo.Cloud(true).nearest(mine).distance
    far = geo.Cloud(mine).nearest(true).distance
    return {
        "chamfer_l1_m_exact": geo.chamfer_l1(near, far),
        "chamfer_l2sq_m2_exact": geo.chamfer_l2sq(near, far),
    }


def _celled(
    mine: np.ndarray,
    my_normals: np.ndarray | None,
    true: np.ndarray,
    true_normals: np.ndarray | None,
) -> dict[str, float]:
    first, second = (geo.cell_representatives(points, geo.CELL) for points in (mine, true))
    left, right = geo.Cloud(mine[first]), geo.Cloud(true[second])
    forward, backward = right.nearest(left.points), left.nearest(right.points)
    normals = [
        geo.estimate_normals(cloud)
        if given is None
        else geo.cell_normals(points, given, geo.CELL, chosen)
        for points, given, chosen, cloud in (
            (mine, my_normals, first, left),
            (true, true_normals, second, right),
        )
    ]
    found = {
        "accuracy_m": geo.mean_distance(forward.distance),
        "completeness_m": geo.mean_distance(backward.distance),
        "chamfer_l1_m": geo.chamfer_l1(forward.distance, backward.distance),
        "chamfer_l2sq_m2": geo.chamfer_l2sq(forward.distance, backward.distance),
        "normal_consistency": geo.normal_consistency(
            geo.normal_agreement(normals[0], normals[1][forward.index]),
            geo.normal_agreement(normals[1], normals[0][backward.index]),
        ),
    }
    for threshold in geo.THRESHOLDS:
        tau = f"{threshold * 100:g}cm"
        a, b = (p[geo.cell_representatives(p, threshold / 2)] for p in (mine, true))
        precision = geo.share_within(geo.Cloud(b).nearest(a).distance, threshold)
        recall = geo.share_within(geo.Cloud(a).nearest(b).distance, threshold)
        found |= {f"precision@{tau}": precision, f"recall@{tau}": recall}
        found[f"fscore@{tau}"] = geo.fscore(precision, recall)
    return found
