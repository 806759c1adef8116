"""7-Scenes (Shotton et al. 2013): three files a frame, depth in millimetres."""

import re
from pathlib import Path

from g2vlm.captures.cameras import CAMERAS, intrinsic_matrix
from g2vlm.captures.files import COLOUR_KINDS, DEPTH_KINDS, list_files
from g2vlm.captures.layout import FrameFiles, Layout, Listing
from g2vlm.captures.poses import read_matrix
from metrics.files import InputError

_NAME = re.compile(r"(frame-[^.]*)\.(color|depth|pose)(\.[^.]+)", re.IGNORECASE)
_KINDS = {"color": COLOUR_KINDS, "depth": DEPTH_KINDS, "pose": (".txt",)}


class SevenScenes(Layout):
    """frame-XXXXXX.color.png, frame-XXXXXX.depth.png and frame-XXXXXX.pose.txt."""

    name = "7-Scenes"
    files = "frame-000000.color.png ..."
    priority = 30

    def recognise(self, folder: Path) -> bool:
        return any(part == "color" for _, part, _ in _frame_files(folder))

    def read(self, folder: Path) -> Listing:
        files: dict[str, dict[str, Path]] = {}
        for name, part, path in _frame_files(folder):
            earlier = files.setdefault(name, {}).setdefault(part, path)
            if earlier != path:
                raise InputError(f"{path}: {earlier.name} has the same name; remove one")
        frames = tuple(
            FrameFiles(name, parts["color"], parts["depth"], read_matrix(parts["pose"], folder))
            for name, parts in files.items()
            if len(parts) == len(_KINDS)
        )
        notes = ("7-Scenes colour is not registered to depth: edges are off by some pixels.",)
        left_out = len(files) - len(frames)
        if left_out:
            notes += (f"{left_out} frames without colour, depth or pose were left out.",)
        usual = intrinsic_matrix(*CAMERAS["7scenes"][0])
        return Listing(frames, depth_scale=1000.0, usual_intrinsics=usual, notes=notes)


def _frame_files(folder: Path) -> list[tuple[str, str, Path]]:
    """Return frame, part ("color", "depth" or "pose") and path of each file of a frame."""
    found = [(_NAME.fullmatch(path.name), path) for path in list_files(folder)]
    parts = [(match[1], match[2].lower(), match[3].lower(), path) for match, path in found if match]
    return [(name, part, path) for name, part, kind, path in parts if kind in _KINDS[part]]
