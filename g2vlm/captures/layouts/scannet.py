"""Frames exported from ScanNet (Dai et al. 2017): depth in millimetres, world z up."""

from pathlib import Path

import numpy as np

from g2vlm.captures.cameras import read_calibration
from g2vlm.captures.files import has, list_files, pair_images
from g2vlm.captures.layout import FrameFiles, Layout, Listing
from g2vlm.captures.poses import nearest_rigid, read_matrix


class ScanNet(Layout):
    """color/, depth/ and pose/ with one file a frame, and intrinsic/."""

    name = "ScanNet export"
    files = "color/ depth/ pose/ intrinsic/"
    priority = 40

    def recognise(self, folder: Path) -> bool:
        return all((folder / name).is_dir() for name in ("color", "depth", "pose"))

    def read(self, folder: Path) -> Listing:
        pairs, notes = pair_images(folder)
        poses = {path.stem: path for path in list_files(folder / "pose", (".txt",))}
        frames = tuple(
            FrameFiles(name, colour, depth, read_matrix(poses[name], folder))
            for name, colour, depth in pairs
            if name in poses
        )
        return Listing(
            frames,
            _intrinsics(folder, "intrinsic_depth.txt"),
            1000.0,
            colour_intrinsics=_intrinsics(folder, "intrinsic_color.txt"),
            colour_from_depth=_colour_from_depth(folder),
            notes=notes,
        )


def _intrinsics(folder: Path, name: str) -> np.ndarray | None:
    """Read f64[3, 3] from a file of intrinsic/; None without it."""
    path = folder / "intrinsic" / name
    return read_calibration(path, folder) if has(path) else None


def _colour_from_depth(folder: Path) -> np.ndarray:
    """Return f64[4, 4] from the depth camera to the colour camera; identity without the files."""
    paths = [folder / "intrinsic" / f"extrinsic_{name}.txt" for name in ("color", "depth")]
    if not all(has(path) for path in paths):
        return np.eye(4)
    of_colour, of_depth = (read_matrix(path, folder) for path in paths)
    for matrix, path in zip((of_colour, of_depth), paths, strict=True):
        nearest_rigid(matrix, str(path))
    return np.linalg.inv(of_colour) @ of_depth
