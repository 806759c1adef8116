"""Time all metrics of two clouds with normals in one process, here or by another tool.

``python -m benchmarks.clouds FOLDER`` reads ``first.npy``, ``second.npy`` [N, 3] metres and
``first_normals.npy``, ``second_normals.npy``, and prints wall and core seconds, peak memory and
the values. The same file runs with the interpreter of eval3r or Open3D, where this project is not
installed: ``python clouds.py FOLDER eval3r``.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

THRESHOLDS = (0.025, 0.05, 0.1)


def ours(folder: Path) -> dict[str, float]:
    """Return the metrics by this project; each direction is searched once."""
    from metrics.reconstruction import distances
    from metrics.reconstruction import pointcloud as geo

    first, second = (np.load(folder / f"{name}.npy") for name in ("first", "second"))
    normals = [np.load(folder / f"{name}_normals.npy") for name in ("first", "second")]
    orders = [geo.spatial_order(points) for points in (first, second)]
    first, second = first.take(orders[0], axis=0), second.take(orders[1], axis=0)
    normals = [side.take(order, axis=0) for side, order in zip(normals, orders, strict=True)]
    forward = geo.Cloud(second).nearest(first)
    backward = geo.Cloud(first).nearest(second)
    near, far = forward.distance, backward.distance
    values = {
        "accuracy": distances.mean_distance(near),
        "completeness": distances.mean_distance(far),
        "chamfer": distances.chamfer_l1(near, far),
        "normal_consistency": distances.normal_consistency(
            distances.normal_agreement(normals[0], normals[1].take(forward.index, axis=0)),
            distances.normal_agreement(normals[1], normals[0].take(backward.index, axis=0)),
        ),
    }
    for threshold in THRESHOLDS:
        shares = (distances.share_within(side, threshold) for side in (near, far))
        values[f"fscore@{threshold}"] = distances.fscore(*shares)
    return values


def by_eval3r(folder: Path) -> dict[str, float]:
    """Return the metrics by eval3r, which has no normal consistency."""
    from eval3r.metrics.metric3d import evaluate_geometry

    first, second = (np.load(folder / f"{name}.npy") for name in ("first", "second"))
    result = evaluate_geometry(
        first, second, samples=len(first), sample_method="uniform", thresholds=THRESHOLDS
    )
    values = {name: getattr(result, name) for name in ("accuracy", "completeness", "chamfer")}
    return values | {f"fscore@{key}": value["f"] for key, value in result.fscore.items()}


def by_open3d(folder: Path) -> dict[str, float]:
    """Return the mean distances in both directions by Open3D, which has no other metric."""
    import open3d

    first, second = (
        open3d.geometry.PointCloud(open3d.utility.Vector3dVector(np.load(folder / f"{name}.npy")))
        for name in ("first", "second")
    )
    return {
        "accuracy": float(np.mean(first.compute_point_cloud_distance(second))),
        "completeness": float(np.mean(second.compute_point_cloud_distance(first))),
    }


TOOLS = {"": ours, "eval3r": by_eval3r, "open3d": by_open3d}


def peak_mb() -> float:
    """Return the peak memory of this process; `getrusage` may report that of its parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    """Time one of `TOOLS` on the clouds of a folder."""
    folder, work = Path(sys.argv[1]), TOOLS["".join(sys.argv[2:])]
    start, cpu = time.perf_counter(), time.process_time()
    values = work(folder)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps({"seconds": seconds, "core": cpu, "peak_mb": peak_mb(), "values": values}))


if __name__ == "__main__":
    main()
