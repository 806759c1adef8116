"""What the yardstick must reach, measured: each bar with its figure on this machine."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import clouds
from benchmarks.timing import Bar, best, measure
from metrics.files import rng

EVAL3R = "EVAL3R_PYTHON"
SPLIT_SCENES = 80
SECONDS_A_SPLIT = 60.0


def against_eval3r(count: int = 1_000_000) -> list[Bar]:
    """Wall time and memory of all metrics of two clouds over eval3r's, one process each."""
    task = f"geometry of two clouds of {count:,} points"
    peer = os.environ.get(EVAL3R)
    if not peer:
        why = f"eval3r is not named: set {EVAL3R} to the python of an environment that holds it"
        return [Bar(f"{task}, time over eval3r's", why, "<= 0.6", None)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_clouds(folder, count)
        script = clouds.__file__
        mine = [measure([sys.executable, "-m", "benchmarks.clouds", name]) for _ in range(3)]
        theirs = [measure([peer, script, name, "eval3r"]) for _ in range(3)]
    for key, value in theirs[0]["values"].items():
        np.testing.assert_allclose(mine[0]["values"][key], value, rtol=1e-5)
    (fast, other), (core, their_core), (mem, their_mem) = (
        [min(run[key] for run in runs) for runs in (mine, theirs)]
        for key in ("seconds", "core", "peak_mb")
    )
    return [
        Bar(
            f"{task}, time over eval3r's",
            f"{fast / other:.2f} ({fast:.2f} of {other:.2f} s, "
            f"{core:.2f} of {their_core:.2f} core-s)",
            "<= 0.6",
            fast <= 0.6 * other,
        ),
        Bar(
            f"{task}, memory over eval3r's",
            f"{mem / their_mem:.2f} ({mem:.0f} of {their_mem:.0f} MB)",
            "<= 1.2",
            mem <= 1.2 * their_mem,
        ),
    ]


def _write_clouds(folder: Path, count: int) -> None:
    """Write two samplings of one room of boxes, the first with 1 cm of noise."""
    vertices, faces = room_mesh(20, 2)
    for name, noise in (("first", 0.01), ("second", 0.0)):
        points, normals = sampled(vertices, faces, count, name)
        points += rng(0, "benchmark", f"{name} noise").normal(0, noise, points.shape)
        np.save(folder / f"{name}.npy", points.astype(np.float32))
        np.save(folder / f"{name}_normals.npy", normals)


def sampled(
    vertices: np.ndarray, faces: np.ndarray, count: int, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return points f32 [count, 3] and normals of a mesh, drawn by a generator of that name."""
    from metrics.reconstruction.pointcloud import sample_mesh

    points, normals, _, _ = sample_mesh(vertices, faces, count, rng(0, "benchmark", name))
    return points, normals


def room_mesh(solids: int, subdivisions: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a room's furniture as closed balls of 20 * 4**subdivisions triangles each."""
    import trimesh

    random = rng(0, "benchmark", "room")
    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    vertices = [
        ball.vertices * random.uniform(0.1, 0.5) + random.uniform([0, 0, 0.5], [5, 4, 2])
        for _ in range(solids)
    ]
    faces = [np.asarray(ball.faces) + number * len(ball.vertices) for number in range(solids)]
    return np.concatenate(vertices), np.concatenate(faces)


def solids(count: int = 50_000) -> list[Bar]:
    """mesh_iou and occupancy_iou of one room, the truth's side at hand."""
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

    seconds = best(both, 3)
    task = f"mesh_iou and occupancy_iou, {count:,} points, {len(faces):,} triangles"
    return [Bar(task, f"{seconds:.2f} s", "<= 1 s", seconds <= 1)]


def growth() -> list[Bar]:
    """Slope of log time over log points of both directions' distances, put in order first."""
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
    return [Bar(task, f"{slope:.2f}", "<= 1.1", slope <= 1.1)]


def scoring(experiment: Path, method: str = "full", split: str = "test_scene") -> list[Bar]:
    """Score one method, seed and split of a finished experiment on one core, by its scenes."""
    from metrics.prepare import open_truth
    from metrics.score import score_submission

    submission = experiment / "predictions" / method / "0" / split
    task = f"scoring {method}, seed 0, {split}"
    if not (submission / "manifest.json").is_file():
        return [Bar(task, f"{submission} is not there; name a finished experiment", "", None)]
    with tempfile.TemporaryDirectory() as name:
        truth_dir = _linked(experiment / "truth" / split, Path(name) / "truth")
        # Opening the truth prepares what all submissions share.
        count = len(open_truth(truth_dir).scenes)
        start, cpu = time.perf_counter(), time.process_time()
        score_submission(submission, truth_dir, Path(name) / "scores.parquet")
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    bar = SECONDS_A_SPLIT * count / SPLIT_SCENES
    measured = f"{wall:.1f} s, {cpu:.1f} core-s for {count} scenes"
    return [Bar(task, measured, f"<= {bar:.1f} s", wall <= bar)]


def _linked(truth: Path, folder: Path) -> Path:
    """Link a split's truth into an empty folder, so that what is prepared is this code's own."""
    folder.mkdir()
    for name in ("geometry.safetensors", "annotations.jsonl"):
        (folder / name).symlink_to((truth / name).resolve())
    if (truth / "prepared.safetensors").is_file():
        shutil.copy2(truth / "prepared.safetensors", folder)
    return folder
