"""A capture layout is one new file: added to a copy of the package, it reads a capture."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.paths import REPOSITORY

LAYOUT = '''"""One pair of images and one camera, without poses."""

import numpy as np

from g2vlm.captures.cameras import intrinsic_matrix
from g2vlm.captures.layout import FrameFiles, Layout, Listing


class Snapshot(Layout):
    """snapshot.jpg and snapshot.npy."""

    name = "snapshot"
    files = "snapshot.jpg, snapshot.npy"
    priority = 500

    def recognise(self, folder):
        return (folder / "snapshot.npy").is_file()

    def read(self, folder):
        files = folder / "snapshot.jpg", folder / "snapshot.npy"
        frame = FrameFiles("snapshot", *files, np.eye(4))
        return Listing((frame,), intrinsic_matrix(60, 60, 31.5, 23.5), 1.0)
'''
READ = """
import sys
from g2vlm.captures import load_capture
from g2vlm.captures.layouts import find_layouts
from metrics.files import InputError

capture = load_capture(sys.argv[1])
print(capture.names, capture.size, float(capture.depth.max()))
print([layout.name for layout in find_layouts()])
try:
    load_capture("nowhere")
except InputError as error:
    print(error)
"""


def run(root: Path, capture: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", READ, str(capture)], cwd=root, capture_output=True, text=True
    )


def test_a_layout_is_one_new_file(tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    capture.mkdir()
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(capture / "snapshot.jpg")
    np.save(capture / "snapshot.npy", np.full((48, 64), 2.5, np.float32))
    for package in ("g2vlm", "metrics"):
        shutil.copytree(REPOSITORY / package, tmp_path / package)
    before = run(tmp_path, capture)
    assert "images but no depth/" in before.stderr
    layouts = tmp_path / "g2vlm" / "captures" / "layouts"
    (layouts / "snapshot.py").write_text(LAYOUT)
    names, order, missing = run(tmp_path, capture).stdout.splitlines()
    assert names == "('snapshot',) (64, 48) 2.5"
    known = ["capture.json", "TUM RGB-D", "7-Scenes", "ScanNet export", "color/ depth/ pose.txt"]
    assert order == str([*known[:4], "snapshot", known[4]])
    assert "snapshot (snapshot.jpg, snapshot.npy)" in missing
    (layouts / "twin.py").write_text(LAYOUT.replace('"snapshot"', '"twin"'))
    assert "snapshot has priority 500 too; choose another" in run(tmp_path, capture).stderr
