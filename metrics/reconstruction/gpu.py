"""Nearest neighbours on a CUDA device, through PyTorch3D's exhaustive search.

Used where a device, torch and PyTorch3D are all available; ``CUDA_VISIBLE_DEVICES=`` (empty) keeps
scoring on the CPU. torch is not imported on machines without the driver of a device.
"""

import ctypes
from functools import cache

import numpy as np

# With more pairs than this a search tree on the CPU is faster than an exhaustive search.
MOST_PAIRS = 2e11


@cache
def device() -> str | None:
    """Return the torch name of a device that can search, or None."""
    try:
        ctypes.CDLL("libcuda.so.1")
        import torch

        if not torch.cuda.is_available():
            return None
        one = np.zeros((1, 3), np.float32)
        nearest(one, one, "cuda")
    except (OSError, ImportError, RuntimeError):
        # No driver, no torch, no PyTorch3D, or one built without CUDA.
        return None
    return "cuda"


def nearest(queries: np.ndarray, points: np.ndarray, place: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the points nearest to queries, through `pytorch3d.ops.knn_points`.

    Distances equal those of a search tree to float32 rounding (1e-5 m in a room); of two points
    at the same distance either may be returned.

    Args:
        queries: f32 [M, 3] metres, not empty.
        points: f32 [N, 3] metres, not empty.
        place: torch device, such as "cuda".

    Returns:
        Distances f32 [M] in metres and indices i64 [M].

    Source: Ravi et al. 2020 (PyTorch3D).
    """
    import torch
    from pytorch3d.ops import knn_points

    first, second = (
        torch.from_numpy(np.ascontiguousarray(cloud, np.float32)).to(place)[None]
        for cloud in (queries, points)
    )
    neighbours = knn_points(first, second, K=1)
    return neighbours.dists[0, :, 0].sqrt().cpu().numpy(), neighbours.idx[0, :, 0].cpu().numpy()
