"""Choose the settings of the fusion on val: `python -m baselines.tsdf_fusion.tune EXPERIMENT`.

The F-score at 5 cm chooses voxel, truncation, window and share; then occupancy IoU chooses the skin
and thickness of solids. The choice and every trial go to settings.json, which `method.py` reads.
"""

import argparse
import itertools
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from baselines.tsdf_fusion.method import Fused, fuse_scene, load_settings
from metrics.files import run_main, write_json
from metrics.reconstruction.distances import fscore, share_within
from metrics.reconstruction.occupancy import grid_occupancy, occupancy_iou
from metrics.reconstruction.pointcloud import Cloud, cell_representatives
from metrics.truth import SceneTruth

# Finer voxels are tried, but not chosen: they take more than 0.3 core-seconds per scene.
SMALLEST_VOXEL = 0.04
SURFACE_GRID = {
    "voxel": (0.03, 0.04),
    "truncation": (0.08, 0.12),
    "window": (1, 2),
    "share": (0.3, 0.5),
}
SOLID_GRID = {"skin": (0.0, 0.02, 0.04), "thickness": (0.16, 0.24, 0.32, 0.48, 0.64)}
THRESHOLD = 0.05


def fscore_at_5cm(fused: Fused, truth: SceneTruth) -> float:
    """Return the F-score of the points: precision to all surfaces, recall of the observed ones."""
    cell = THRESHOLD / 2
    predicted = Cloud(fused.points[cell_representatives(fused.points, cell)])
    surface = Cloud(truth.surface[cell_representatives(truth.surface, cell)])
    observed = truth.surface[truth.subset("observed")]
    observed = observed[cell_representatives(observed, cell)]
    precision = share_within(surface.nearest(predicted.points).distance, THRESHOLD)
    return fscore(precision, share_within(predicted.nearest(observed).distance, THRESHOLD))


def solid_iou(fused: Fused, truth: SceneTruth) -> float:
    """Return the occupancy IoU of the solid cells at the points of the truth."""
    inside = grid_occupancy(truth.occupancy_points, *fused.grid)
    return occupancy_iou(inside, truth.occupancy)


def search(store: Any, truth: Any, scenes: list[str]) -> dict[str, Any]:
    """Search both grids and return the content of settings.json."""
    trials: list[dict[str, Any]] = []
    chosen = load_settings()
    for grid, score, name in (
        (SURFACE_GRID, fscore_at_5cm, "fscore@5cm"),
        (SOLID_GRID, solid_iou, "occupancy_iou"),
    ):
        results = []
        for values in itertools.product(*grid.values()):
            settings = replace(chosen, **dict(zip(grid, values, strict=True)))
            value = np.mean(
                [score(fuse_scene(store.inputs(scene), settings), truth.geometry(scene))
                 for scene in scenes]
            )  # fmt: skip
            if settings.voxel >= SMALLEST_VOXEL:
                results.append((float(value), settings))
            trials.append(dict(zip(grid, values, strict=True)) | {name: round(float(value), 4)})
            print(trials[-1], flush=True)
        chosen = max(results, key=lambda result: result[0])[1]
    return {"chosen": asdict(chosen), "trials": trials, "scenes": len(scenes), "split": "val"}


def main() -> None:
    """Search on the first scenes of val and write settings.json."""
    from g2vlm.scenes.dataset import SceneStore
    from metrics.truth import Truth

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", type=Path, help="results folder with scenes/ and truth/")
    parser.add_argument("--scenes", type=int, default=20)
    arguments = parser.parse_args()
    store = SceneStore(arguments.experiment / "scenes" / "val")
    scenes = list(store.ids)[: arguments.scenes]
    settings = search(store, Truth(arguments.experiment / "truth" / "val"), scenes)
    write_json(Path(__file__).with_name("settings.json"), settings)


if __name__ == "__main__":
    run_main(main)
