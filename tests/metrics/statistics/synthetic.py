"""A study with known effects in the shape of real scores, for tests of statistics and report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from tests.paths import REPOSITORY

# base value, seed SD, scene SD, noise, lower-is-better
METRICS = {
    "chamfer_l1_m": (0.09, 0.004, 0.02, 0.01),
    "fscore@5cm": (0.62, 0.015, 0.08, 0.04),
    "mesh_iou": (0.48, 0.015, 0.07, 0.04),
    "occupancy_iou": (0.52, 0.015, 0.07, 0.04),
    "ref_acc@0.25": (0.45, 0.015, 0.06, 0.2),
    "ref_acc@0.5": (0.28, 0.015, 0.06, 0.2),
    "probed_text_to_scene_mrr": (0.33, 0.015, 0.10, 0.15),
    "grounding_retrieval_map": (0.41, 0.015, 0.08, 0.1),
    "answer_score": (0.50, 0.01, 0.05, 0.2),
    "answer_mra": (0.38, 0.01, 0.05, 0.2),
    "fscore@5cm_sim3": (0.66, 0.015, 0.08, 0.04),
    "chamfer_l1_sim3_m": (0.08, 0.004, 0.02, 0.01),
    "ref_pick": (0.70, 0.015, 0.06, 0.2),
}
POOLED = {"spq@0.5": (0.21, 0.012, 0.2), "sg_accuracy": (0.58, 0.012, 0.3)}
GEOMETRY = ["chamfer_l1_m", "fscore@5cm", "mesh_iou", "occupancy_iou"]
GEOMETRY += ["fscore@5cm_sim3", "chamfer_l1_sim3_m"]
DISTANCES = ("chamfer_l1_m", "chamfer_l1_sim3_m")
# distance of each method from full: (geometry, reasoning, language), in units of .1 of the scale
METHODS = {
    "full": (0.0, 0.0, 0.0),
    "no_geometry": (-2.0, -1.0, -0.6),
    "no_alignment": (0.0, -0.1, -1.2),
    "geometry_free_vlm": (-1.8, -1.0, -0.5),
    "reconstruction_only": (0.1, None, None),
    "minimal_3d_vlm": (-1.2, -0.6, -0.5),
    "tsdf_fusion": (0.3, None, None),
    "oracle": (4.0, 4.0, 4.0),
}
DETERMINISTIC = {"tsdf_fusion", "oracle"}
# The project's own families, controls and contrasts.
CONFIG = yaml.safe_load((REPOSITORY / "config" / "cpu.yaml").read_text("utf-8"))["statistics"]
CONFIG["deterministic"] = sorted(DETERMINISTIC)


def scores(
    seeds: int = 3, scenes: int = 24, queries: int = 3, splits: tuple[str, ...] = ("dev_scene",)
) -> pd.DataFrame:
    """Return a long table of scores of every method above."""
    generator = np.random.default_rng(7)
    parts = []
    for split in splits:
        shared = {m: generator.normal(0, 1, scenes) for m in [*METRICS, *POOLED]}
        for method, gaps in METHODS.items():
            for seed in range(1 if method in DETERMINISTIC else seeds):
                parts += _method(method, gaps, seed, split, shared, scenes, queries, generator)
    return pd.concat(parts, ignore_index=True)


def write(table: pd.DataFrame, method: str, folder: Path) -> list[Path]:
    """Write one method's rows of dev_scene as the score stage does, a file a seed."""
    rows = table[(table["method"] == method) & (table["split"] == "dev_scene")]
    files = []
    for seed, part in rows.groupby("seed"):
        files.append(folder / f"{seed}.parquet")
        part.to_parquet(files[-1])
    return files


def _method(method, gaps, seed, split, shared, scenes, queries, generator):
    out = []
    for metric, (base, seed_sd, scene_sd, noise) in METRICS.items():
        gap = gaps[0] if metric in GEOMETRY else gaps[2]
        if gap is None:
            continue
        sign = -base if metric in DISTANCES else 1.0
        centre = base + 0.1 * gap * sign + generator.normal(0, seed_sd)
        count = 1 if metric in GEOMETRY else queries
        values = centre + scene_sd * shared[metric][:, None]
        values = values + generator.normal(0, noise, (scenes, count))
        high = 3.0 if metric in DISTANCES else 1.0
        values = np.clip(values, 0.001 if high == 3.0 else 0.0, high)
        if method == "oracle":
            values[:] = 0.0 if metric in DISTANCES else 1.0
        out.append(_rows(method, seed, split, metric, values))
        if metric.startswith("ref_acc"):
            part = _rows(method, seed, split, metric, np.clip(values - 0.08, 0, 1))
            out.append(part.assign(subset="needs_geometry"))
    for metric, (base, seed_sd, noise) in POOLED.items():
        if gaps[1] is None:
            continue
        theta = min(base + 0.1 * gaps[1] + generator.normal(0, seed_sd), 1.0)
        theta = 1.0 if method == "oracle" else max(theta, 0.02)
        spread = 0.0 if method == "oracle" else noise
        pseudo = theta + generator.normal(0, spread, scenes) + 0.5 * spread * shared[metric]
        pseudo += theta - pseudo.mean()
        rows = _rows(method, seed, split, metric, pseudo[:, None]).assign(kind="pseudo")
        out += [rows, rows.iloc[:1].assign(scene="", kind="pooled", value=theta)]
    return out


def _rows(method, seed, split, metric, values):
    scenes, queries = values.shape
    return pd.DataFrame(
        {
            "method": method,
            "seed": seed,
            "split": split,
            "scene": np.repeat([f"{split}-{k:04d}" for k in range(scenes)], queries),
            "query": np.tile([f"q{k:02d}" if queries > 1 else "" for k in range(queries)], scenes),
            "subset": "all",
            "metric": metric,
            "value": values.ravel(),
            "kind": "item",
            "succeeded": values.ravel() > 0.002,
        }
    )


def sidecars(methods: dict | None = None) -> dict:
    """Return what the sidecar files of the scores would hold for the methods above."""
    facts = dict(methods or {})
    for place, name in enumerate(METHODS):
        entry = {"stochastic": name not in DETERMINISTIC, "produces": [], "floors": {}}
        entry["reasons"] = {}
        if METHODS[name][1] is None:
            entry["reasons"] = dict.fromkeys(
                ("graph", "grounding", "answers"), "it has no language part"
            )
        entry["costs"] = [
            {
                "seed": "0",
                "split": "dev_scene",
                "parameters": None if name in DETERMINISTIC else 1_043_000,
                "train_seconds": 150.0 + 7 * place,
                "seconds_per_scene": 0.08 * (1 + place),
                "peak_memory_mb": 900 + 30 * place,
            }
        ]
        facts[name] = entry
    return facts
