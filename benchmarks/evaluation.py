"""Requirements of the evaluation: geometry, solids, growth with size, and scoring a split."""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import clouds
from benchmarks.timing import Requirement, at_most, best, measure
from metrics.files import rng

EVAL3R = "EVAL3R_PYTHON"
SPLIT_SCENES = 80
SECONDS_A_SPLIT = 60.0


def against_eval3r(count: int = 1_000_000) -> list[Requirement]:
    """Compare wall time and memory of all metrics of two clouds with eval3r, one process each."""
    task = f"geometry of two clouds of {count:,} points"
    peer = os.environ.get(EVAL3R)
    if not peer:
        why = f"set {EVAL3R} to the python of an environment that holds eval3r"
        return [Requirement(f"{task}, time / eval3r's", why, "<= 0.6", None)]
    with tempfile.TemporaryDirectory() as name:
        _write_clouds(Path(name), count)
        our_runs = [measure([sys.executable, "-m", "benchmarks.clouds", name]) for _ in range(3)]
        peer_runs = [measure([peer, clouds.__file__, name, "eval3r"]) for _ in range(3)]
    for key, value in peer_runs[0]["values"].items():
        np.testing.assert_allclose(our_runs[0]["values"][key], value, rtol=1e-5)
    ours, theirs = (
        {key: min(run[key] for run in runs) for key in ("seconds", "core", "peak_mb")}
        for runs in (our_runs, peer_runs)
    )
    times = (
        f"{ours['seconds']:.2f} vs {theirs['seconds']:.2f} s, "
        f"{ours['core']:.2f} vs {theirs['core']:.2f} core-s"
    )
    memory = f"{ours['peak_mb']:.0f} vs {theirs['peak_mb']:.0f} MB"
    return [
        at_most(f"{task}, time / eval3r's", ours["seconds"] / theirs["seconds"], 0.6, "", times),
        at_most(f"{task}, memory / eval3r's", ours["peak_mb"] / theirs["peak_mb"], 1.2, "", memory),
    ]


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
    return [at_most(task, best(both, 3), 1, " s")]


def growth() -> list[Requirement]:
    """Measure how the time of distances grows with the number of points: the log-log slope."""
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
    return [at_most(task, slope, 1.1)]


def scoring(experiment: Path, method: str = "full", split: str = "test_scene") -> list[Requirement]:
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
        start, cpu = time.perf_counter(), time.process_time()
        score_submission(submission, truth_dir, Path(name) / "scores.parquet")
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    limit = SECONDS_A_SPLIT * count / SPLIT_SCENES
    return [at_most(task, wall, limit, " s", f"{cpu:.1f} core-s for {count} scenes")]
