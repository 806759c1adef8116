"""Frames exported from ScanNet (Dai et al. 2017): depth in millimetres, world z up."""

from pathlib import Path

import numpy as np

from g2vlm.captures.files import pair_images
from g2vlm.captures.layout import FrameFiles, Layout, Listing
from g2vlm.captures.poses import read_matrix


class ScanNet(Layout):
    """color/, depth/ and pose/ with one file a frame, and intrinsic/."""

    name = "ScanNet export"
    files = "color/ depth/ pose/ intrinsic/"
    priority = 40

    def recognise(self, folder: Path) -> bool:
        return all((folder / name).is_dir() for name in ("color", "depth", "pose"))

    def read(self, folder: Path) -> Listing:
        pairs, notes = pair_images(folder)
        poses = {item.stem: item for item in (folder / "pose").glob("*.txt")}
        frames = tuple(
            FrameFiles(name, colour, depth, read_matrix(poses[name]))
            for name, colour, depth in pairs
            if name in poses
        )
        return Listing(
            frames,
            _intrinsics(folder / "intrinsic" / "intrinsic_depth.txt"),
            1000.0,
            colour_intrinsics=_intrinsics(folder / "intrinsic" / "intrinsic_color.txt"),
            colour_from_depth=_colour_from_depth(folder / "intrinsic"),
            notes=notes,
        )


def _intrinsics(path: Path) -> np.ndarray | None:
    """Read f64[3, 3]; the file counts from the centre of the first pixel, here it is at 0.5."""
    if not path.is_file():
        return None
    matrix = read_matrix(path)[:3, :3].copy()
    matrix[:2, 2] += 0.5
    return matrix


def _colour_from_depth(folder: Path) -> np.ndarray:
    """Return f64[4, 4] from the depth camera to the colour camera; identity without the files."""
    of_colour, of_depth = folder / "extrinsic_color.txt", folder / "extrinsic_depth.txt"
    if not (of_colour.is_file() and of_depth.is_file()):
        return np.eye(4)
    return np.linalg.inv(read_matrix(of_colour)) @ read_matrix(of_depth)
