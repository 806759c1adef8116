"""7-Scenes (Shotton et al. 2013): three files a frame, depth in millimetres."""

from pathlib import Path

from g2vlm.captures.cameras import CAMERAS, intrinsic_matrix
from g2vlm.captures.layout import FrameFiles, Layout, Listing
from g2vlm.captures.poses import read_matrix


class SevenScenes(Layout):
    """frame-XXXXXX.color.png, frame-XXXXXX.depth.png and frame-XXXXXX.pose.txt."""

    name = "7-Scenes"
    files = "frame-000000.color.png ..."
    priority = 30

    def recognise(self, folder: Path) -> bool:
        return any(folder.glob("frame-*.color.*"))

    def read(self, folder: Path) -> Listing:
        frames, left_out = [], 0
        for colour in sorted(folder.glob("frame-*.color.*")):
            name = colour.name.split(".")[0]
            depth, pose = folder / f"{name}.depth.png", folder / f"{name}.pose.txt"
            if depth.is_file() and pose.is_file():
                frames.append(FrameFiles(name, colour, depth, read_matrix(pose)))
            else:
                left_out += 1
        notes = ("7-Scenes colour is not registered to depth: edges are off by some pixels.",)
        if left_out:
            notes += (f"{left_out} frames without depth or pose were left out.",)
        return Listing(
            tuple(frames),
            intrinsic_matrix(*CAMERAS["7scenes"][0]),
            1000.0,
            invalid=(65535,),
            notes=notes,
        )
