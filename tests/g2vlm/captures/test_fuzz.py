"""Random damage to any file of a capture, in every layout: it is read or refused, nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from g2vlm.captures import load_capture
from metrics.files import InputError
from tests.g2vlm.captures.scans import Scan, matrix_text, scan
from tests.g2vlm.captures.test_hostile import WRITERS

MANY = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NUMBERS = (32.5, 32.5, 19.5, 14.5)
# Bytes that mean something to one of the formats, so that damage gets past the first check.
TOKENS = st.sampled_from(
    [b"NaN", b"1e999", b"-1", b"null", b'"', b"{", b"[", b"]}", b"\n", b"\r", b"\0", b"\xff", b"0"]
    + [b"9" * 30, b"9" * 400, b"[" * 3000, b"true", b"../", b"1e-300", b"1e300", b"#", b",", b";"]
    + [b"-1.#IND", b"65535", b"\\ud800", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc2\x85", b"(" * 300]
)


@st.composite
def damage(draw) -> tuple[str, float, bytes]:
    """Draw a change of bytes: (kind, where as a share of the file, what)."""
    kind = draw(st.sampled_from(["cut", "insert", "overwrite", "remove", "repeat", "replace"]))
    what = draw(st.one_of(TOKENS, st.binary(min_size=1, max_size=12)))
    # Half of the changes hit the first bytes, where the headers of images are.
    where = draw(st.one_of(st.floats(0, 1), st.floats(0, 0.02)))
    return kind, where, what


def damaged(data: bytes, change: tuple[str, float, bytes]) -> bytes:
    kind, share, what = change
    place, length = int(share * len(data)), len(what)
    return {
        "cut": data[:place],
        "insert": data[:place] + what + data[place:],
        "overwrite": data[:place] + what + data[place + length :],
        "remove": data[:place] + data[place + length :],
        "repeat": data[:place] + 20 * data[place : place + length] + data[place:],
        "replace": what,
    }[kind]


def small_scan() -> Scan:
    made = scan(2)
    return Scan(made.rgb[:, ::4, ::4], made.depth[:, ::4, ::4], made.pose)


def other_kinds(folder: Path) -> None:
    """Store the depth of the frames in further kinds of files, under their names in the lists."""
    depth = [p for p in sorted(folder.rglob("*.png")) if "depth" in str(p.relative_to(folder))]
    for number, path in enumerate(depth):
        values = np.asarray(Image.open(path))
        if number == 0:
            with path.open("wb") as handle:
                np.save(handle, values)
        else:
            head = f"P5\n{values.shape[1]} {values.shape[0]}\n65535\n".encode()
            path.write_bytes(head + values.astype(">u2").tobytes())


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A capture of 40 x 30 pixels in every layout, with all optional files."""
    place, made = tmp_path_factory.mktemp("good"), small_scan()
    folders = {}
    for number, (name, write) in enumerate(WRITERS.items()):
        options = {"intrinsics": list(NUMBERS), "up": [0, 0, 1]} if name == "capture.json" else {}
        folder = folders[name] = write(place / f"{number}", made, **options)
        if name == "ScanNet export":
            for camera in ("color", "depth"):
                path = folder / f"intrinsic/extrinsic_{camera}.txt"
                path.write_text(matrix_text(np.eye(4)))
            (folder / "intrinsic/intrinsic_color.txt").write_text("65 65 39.5 29.5")
            (folder / "intrinsic/intrinsic_depth.txt").write_text(" ".join(map(str, NUMBERS)))
        elif name != "capture.json":
            (folder / "intrinsics.txt").write_text(" ".join(map(str, NUMBERS)))
        if name in ("TUM RGB-D", "7-Scenes"):
            other_kinds(folder)
        assert len(load_capture(folder, intrinsics=NUMBERS)) == (1 if "ScanNet" in name else 2)
    return folders


@pytest.mark.parametrize("layout", WRITERS)
@MANY
@given(which=st.floats(0, 1, exclude_max=True), change=damage(), text=st.booleans())
def test_damaged_captures(
    layout: str,
    which: float,
    change: tuple[str, float, bytes],
    text: bool,
    good: dict[str, Path],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "scan"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(good[layout], folder)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    if text:
        files = [p for p in files if p.suffix in (".txt", ".json")]
    path = files[int(which * len(files))]
    path.write_bytes(damaged(path.read_bytes(), change))
    try:
        capture = load_capture(folder)
    except InputError as error:
        assert str(error).isprintable() and len(str(error)) < 1500
        return
    for array in (capture.depth, capture.intrinsics, capture.pose, capture.frame_from_capture):
        assert np.isfinite(array).all()
    assert capture.depth.max() <= 30 and (capture.depth >= 0).all()
    assert all(line.isprintable() for line in (*capture.names, *capture.notes))
