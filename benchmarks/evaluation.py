"""Requirements of the evaluation: geometry, solids, growth with size, and scoring a split."""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import clouds
from benchmarks.timing import Requirement, at_most, best, measure
from metrics.files import rng

# What is compared with other tools, and the largest share of their time.
PEERS = {"eval3r": (("seconds", "core", "peak_mb"), 0.3), "open3d": (("seconds", "core"), 0.5)}
MEASURES = {
    "seconds": ("wall seconds", "s"),
    "core": ("core seconds", "core-s"),
    "peak_mb": ("memory", "MB"),
}
MOST_MEMORY = 1.2
SECONDS_A_SCENE = 0.25


def against_peers(count: int = 1_000_000) -> list[Requirement]:
    """Compare all metrics of two clouds with other tools, one process each: medians of three runs.

    Open3D computes the two mean distances alone, which are part of the work here.
    """
    task = f"metrics of two clouds of {count:,} points"
    found, installed = [], {}
    for tool, (_, most) in PEERS.items():
        variable = f"{tool.upper()}_PYTHON"
        if os.environ.get(variable):
            installed[tool] = os.environ[variable]
        else:
            why = f"set {variable} to the python of an environment that holds {tool}"
            found.append(Requirement(f"{task}, core seconds / {tool}'s", why, f"<= {most}", None))
    if not installed:
        return found
    with tempfile.TemporaryDirectory() as name:
        _write_clouds(Path(name), count)
        ours = [measure([sys.executable, "-m", "benchmarks.clouds", name]) for _ in range(3)]
        theirs = {
            tool: [measure([python, clouds.__file__, name, tool]) for _ in range(3)]
            for tool, python in installed.items()
        }
    for tool, runs in theirs.items():
        for key, value in runs[0]["values"].items():
            np.testing.assert_allclose(ours[0]["values"][key], value, rtol=1e-5)
        measures, most = PEERS[tool]
        for key in measures:
            mine, other = (median(run[key] for run in of_tool) for of_tool in (ours, runs))
            words, unit = MEASURES[key]
            limit = MOST_MEMORY if key == "peak_mb" else most
            detail = f"{mine:.2f} vs {other:.2f} {unit}"
            found.append(at_most(f"{task}, {words} / {tool}'s", mine / other, limit, "", detail))
    return found


def _write_clouds(folder: Path, count: int) -> None:
    """Write two samples of the surfaces of one room, the first with 1 cm of noise."""
    vertices, faces = room_mesh(20, 2)
    for name, noise in (("first", 0.01), ("second", 0.0)):
        points, normals = sampled(vertices, faces, count, name)
        points += rng(0, "benchmark", f"{name} noise").normal(0, noise, points.shape)
        np.save(folder / f"{name}.npy", points.astype(np.float32))
        np.save(folder / f"{name}_normals.npy", normals)


def sampled(
    vertices: np.ndarray, faces: np.ndarray, count: int, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return points f32 [count, 3] of a mesh and their normals, by a generator of that name."""
    from metrics.reconstruction.pointcloud import sample_mesh

    points, normals, _, _ = sample_mesh(vertices, faces, count, rng(0, "benchmark", name))
    return points, normals


def room_mesh(solids: int, subdivisions: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices and faces of closed balls, 20 * 4**subdivisions triangles each."""
    import trimesh

    random = rng(0, "benchmark", "room")
    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    vertices = [
        ball.vertices * random.uniform(0.1, 0.5) + random.uniform([0, 0, 0.5], [5, 4, 2])
        for _ in range(solids)
    ]
    faces = [np.asarray(ball.faces) + number * len(ball.vertices) for number in range(solids)]
    return np.concatenate(vertices), np.concatenate(faces)


def solids(count: int = 50_000) -> list[Requirement]:
    """Time mesh_iou and occupancy_iou of one room whose truth is already prepared."""
    from metrics.reconstruction.occupancy import Room, grid_occupancy, mesh_contains, occupancy_iou

    vertices, faces = room_mesh(30, 4)
    room = Room(np.array([2.5, 2, 1.25]), np.array([2.5, 2, 1.25]), np.eye(3))
    random = rng(0, "benchmark", "inside")
    points = random.uniform([0, 0, 0], [5, 4, 2.5], (count, 3)).astype(np.float32)
    truth = random.integers(0, 3, count).astype(np.uint8)
    grid = random.random((125, 100, 63)) < 0.1

    def both() -> None:
        occupancy_iou(mesh_contains(points, vertices, faces, "solids", room), truth)
        occupancy_iou(grid_occupancy(points, grid, np.zeros(3), 0.04), truth)

    task = f"mesh_iou and occupancy_iou, {count:,} points, {len(faces):,} triangles"
    return [at_most(task, best(both, 3), 1, " core-s")]


def growth() -> list[Requirement]:
    """Measure how core seconds of distances grow with the number of points: the log-log slope."""
    from metrics.reconstruction.compare_files import Surface, exact_values
    from metrics.reconstruction.pointcloud import spatial_order

    def distances(*clouds: np.ndarray) -> None:
        first, second = (Surface(points[spatial_order(points)]) for points in clouds)
        exact_values(first, second, ())

    vertices, faces = room_mesh(20, 2)
    counts = [10_000, 40_000, 160_000, 640_000, 2_000_000]
    seconds = []
    for count in counts:
        first, second = (sampled(vertices, faces, count, name)[0] for name in ("first", "second"))
        repeats = 5 if count < 500_000 else 2
        seconds.append(best(lambda a=first, b=second: distances(a, b), repeats))
    slope = float(np.polyfit(np.log(counts), np.log(seconds), 1)[0])
    task = f"growth of distances from {counts[0]:,} to {counts[-1]:,} points, log-log slope"
    return [at_most(task, slope, 1.05)]


def scoring(experiment: Path, method: str = "full", split: str = "dev_scene") -> list[Requirement]:
    """Time scoring one method, seed and split of a finished experiment."""
    from metrics.prepare import open_truth
    from metrics.score import score_submission

    submission = experiment / "predictions" / method / "0" / split
    task = f"scoring {method}, seed 0, {split}"
    if not (submission / "manifest.json").is_file():
        return [Requirement(task, f"{submission}: no such folder; run it first", "", None)]
    with tempfile.TemporaryDirectory() as name:
        truth_dir = shutil.copytree(experiment / "truth" / split, Path(name) / "truth")
        # Opening the truth prepares what all submissions share.
        count = len(open_truth(truth_dir).scenes)
        start = time.process_time()
        score_submission(submission, truth_dir, Path(name) / "scores.parquet")
        seconds = time.process_time() - start
    detail = f"{seconds:.1f} core-s for {count}"
    return [at_most(f"{task}, a scene", seconds / count, SECONDS_A_SCENE, " core-s", detail)]
