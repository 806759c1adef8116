"""Damage to the files of a capture, the same for every layout: read rightly or refused in one line.

A new layout adds its writer to `scans.WRITERS`.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm.captures import Capture, load_capture
from g2vlm.captures.layouts import find_layouts
from metrics.files import InputError
from tests.g2vlm.captures.scans import (
    NUMBERS,
    WRITERS,
    Scan,
    scan,
)

LAYOUTS = pytest.mark.parametrize("layout", WRITERS)
# Layouts whose depth is stored in integers of a known unit.
WHOLE_NUMBERS = ["TUM RGB-D", "7-Scenes", "ScanNet export"]


def test_every_layout_has_a_writer() -> None:
    assert WRITERS.keys() == {layout.name for layout in find_layouts()}


@pytest.fixture(scope="module")
def made() -> Scan:
    return scan(3)


@pytest.fixture(scope="module")
def good(made: Scan, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Capture]]:
    """A capture in every layout, and what it is read as."""
    place = tmp_path_factory.mktemp("good")
    folders = {
        name: write(place / f"scan{k}", made) for k, (name, write) in enumerate(WRITERS.items())
    }
    return {name: (folder, read(folder)) for name, folder in folders.items()}


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Fail a test that waits, for instance to open a FIFO."""

    def stop(*_: object) -> None:
        raise TimeoutError("reading a capture hangs")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(120)
    yield
    signal.alarm(0)


@pytest.fixture
def folder(layout: str, good: dict[str, tuple[Path, Capture]], tmp_path: Path) -> Path:
    """A copy of the layout's capture, to damage."""
    return shutil.copytree(good[layout][0], tmp_path / "scan")


def read(folder: Path, **options: object) -> Capture:
    return load_capture(folder, **({"intrinsics": NUMBERS} | options))


def same(first: Capture, second: Capture) -> bool:
    """Whether two captures hold the same frames to the bit."""
    arrays = ("rgb", "depth", "intrinsics", "pose", "frame_from_capture")
    equal = [np.array_equal(getattr(first, name), getattr(second, name)) for name in arrays]
    return all(equal) and first.names == second.names


def refused(folder: Path, *words: str, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read(folder, **options)
    text = str(caught.value)
    assert text.isprintable() and text.encode() and len(text) < 1500
    for word in words:
        assert word in text, text
    return text


def texts(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix in (".txt", ".json"))


def images(folder: Path, kind: str) -> list[Path]:
    """The depth files of a capture, or its colour files."""
    words = {"depth": ("depth", "metres"), "colour": ("color", "rgb", "images")}[kind]
    kinds = (".png", ".jpg", ".npy")
    paths = [p for p in folder.rglob("*") if p.suffix in kinds]
    return sorted(p for p in paths if any(w in str(p.relative_to(folder)) for w in words))


def one_of_each(folder: Path) -> list[Path]:
    return [*texts(folder), images(folder, "depth")[0], images(folder, "colour")[0]]


DAMAGE: dict[str, Callable[[Path, bytes], object]] = {
    "fifo": lambda path, data: os.mkfifo(path),
    "folder": lambda path, data: path.mkdir(),
    "link to itself": lambda path, data: path.symlink_to(path.name),
    "broken link": lambda path, data: path.symlink_to("nowhere"),
    "link to a device": lambda path, data: path.symlink_to("/dev/zero"),
    "terabyte": lambda path, data: (path.touch(), os.truncate(path, 1 << 40)),
    "noise": lambda path, data: path.write_bytes(np.random.default_rng(0).bytes(3000)),
    "zeros": lambda path, data: path.write_bytes(bytes(2000)),
}


@LAYOUTS
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_cannot_be_read_is_named(layout: str, damage: str, folder: Path) -> None:
    for path in one_of_each(folder):
        data = path.read_bytes()
        path.unlink()
        DAMAGE[damage](path, data)
        refused(folder, path.name)
        path.rmdir() if path.is_dir() else path.unlink()
        path.write_bytes(data)


@LAYOUTS
def test_a_link_out_of_the_capture_is_not_followed(layout: str, folder: Path) -> None:
    for path in one_of_each(folder):
        outside = folder.parent / f"outside{path.suffix}"
        path.rename(outside)
        path.symlink_to(outside)
        refused(folder, path.name, "leads out of")
        path.unlink()
        outside.rename(path)


@LAYOUTS
def test_links_inside_the_capture_and_to_it_are_followed(
    layout: str, folder: Path, good: dict[str, tuple[Path, Capture]]
) -> None:
    (folder / "store").mkdir()
    for number, path in enumerate(one_of_each(folder)):
        stored = folder / "store" / f"{number}.{path.name}"
        path.rename(stored)
        path.symlink_to(stored)
    link = folder.with_name("link")
    link.symlink_to(folder)
    assert same(read(link), good[layout][1])


@LAYOUTS
def test_hidden_files_are_ignored(
    layout: str, folder: Path, good: dict[str, tuple[Path, Capture]]
) -> None:
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7" * 20)
    for place in [folder, *(p for p in folder.rglob("*") if p.is_dir())]:
        (place / ".DS_Store").write_bytes(b"\0Bud1")
        (place / ".hidden").mkdir()
    assert same(read(folder), good[layout][1])


@LAYOUTS
@pytest.mark.parametrize("change", ["mark", "windows", "old mac", "blanks"])
def test_spellings_of_text_do_not_matter(
    change: str, layout: str, folder: Path, good: dict[str, tuple[Path, Capture]]
) -> None:
    for path in texts(folder):
        data = path.read_bytes()
        data = {
            "mark": b"\xef\xbb\xbf" + data,
            "windows": data.replace(b"\n", b"\r\n"),
            "old mac": data.replace(b"\n", b"\r"),
            "blanks": b"\n  " + data.replace(b"\n", b" \t\n\n") + b"\n\n",
        }[change]
        path.write_bytes(data)
    assert same(read(folder), good[layout][1])


@LAYOUTS
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_other_encodings_are_named(layout: str, encoding: str, folder: Path) -> None:
    for path in texts(folder):
        data = path.read_bytes()
        path.write_bytes(data.decode().encode(encoding))
        refused(folder, path.name, "UTF-32" if encoding == "utf-32" else "UTF-16", "UTF-8")
        path.write_bytes(data)


@LAYOUTS
def test_upper_case_suffixes(
    layout: str, folder: Path, good: dict[str, tuple[Path, Capture]]
) -> None:
    kinds = (".png", ".jpg", ".npy")
    for path in texts(folder):
        text = path.read_text()
        for kind in kinds:
            text = text.replace(kind, kind.upper())
        path.write_text(text)
    for path in [p for p in folder.rglob("*") if p.suffix in kinds]:
        path.rename(path.with_suffix(path.suffix.upper()))
    assert same(read(folder), good[layout][1])


LOST = [
    "-inf",
    "-1.#INF",
    "1.#QNAN",
    "-1.#IND00",
    "nan(ind)",
    "-nan(ind)",
    "nan",
    "null",
    "0",
    "1e999",
]


def lose(folder: Path, layout: str, word: str) -> None:
    """Replace the numbers of the second frame's pose by a word."""
    if layout == "capture.json":
        values = json.loads((folder / "capture.json").read_text())
        spelled = {"null": None, "0": [[0.0] * 4] * 4}
        pose = spelled.get(word, [[float("inf" if word == "1e999" else "nan")] * 4] * 4)
        values["frames"][1]["pose"] = pose
        (folder / "capture.json").write_text(json.dumps(values).replace("Infinity", "1e999"))
    elif layout in ("7-Scenes", "ScanNet export"):
        name = "frame-000001.pose.txt" if layout == "7-Scenes" else "pose/1.txt"
        (folder / name).write_text(f"{word} {word} {word} {word}\n" * 4)
    else:
        name = "groundtruth.txt" if layout == "TUM RGB-D" else "pose.txt"
        lines = (folder / name).read_text().splitlines()
        words = lines[-2].split()
        lines[-2] = " ".join(words[:-7] + [word] * 7)
        (folder / name).write_text("\n".join(lines))


@LAYOUTS
@pytest.mark.parametrize("word", LOST)
def test_a_lost_pose_leaves_the_frame_out(
    layout: str, word: str, folder: Path, good: dict[str, tuple[Path, Capture]]
) -> None:
    lose(folder, layout, word)
    capture = read(folder)
    names = [name for name in good[layout][1].names if name in capture.names]
    assert len(names) == len(capture) == 2
    assert "1 frames without tracking were left out." in capture.notes


@pytest.mark.parametrize("layout", ["7-Scenes", "ScanNet export"])
def test_an_empty_pose_file_is_a_lost_pose(layout: str, folder: Path) -> None:
    paths = [p for p in texts(folder) if "pose" in str(p.relative_to(folder))]
    paths[-1].write_text("")
    assert len(read(folder)) == (2 if layout == "7-Scenes" else 1)
    for path in paths:
        path.write_text("\n")
    refused(folder, "no frame has a finite pose")


@LAYOUTS
def test_poses_that_are_no_poses_of_a_room(layout: str, made: Scan, tmp_path: Path) -> None:
    far, apart, turned = made.pose.copy(), made.pose.copy(), made.pose.copy()
    far[2, 0, 3] = 1e300
    apart[:, :3, 3] *= 1000
    turned[1, :3, :3] *= -1
    for name, pose in {"far": far, "apart": apart}.items():
        folder = WRITERS[layout](tmp_path / name, made._replace(pose=pose))
        refused(folder, "m a" + ("way" if name == "far" else "part"), "write poses in metres")
    if layout in ("capture.json", "7-Scenes"):
        folder = WRITERS[layout](tmp_path / "turned", made._replace(pose=turned))
        refused(folder, "its 3 x 3 part is not a rotation")
        across = made._replace(pose=made.pose.swapaxes(1, 2))
        refused(WRITERS[layout](tmp_path / "across", across), "not 0 0 0 1", "last column")


@pytest.mark.parametrize("layout", WHOLE_NUMBERS)
def test_65535_and_depth_beyond_any_room_are_no_measurement(
    layout: str, folder: Path, good: dict[str, tuple[Path, Capture]]
) -> None:
    for path in images(folder, "depth"):
        values = np.array(Image.open(path))
        values[100:, :50] = 65535
        values[100:, 50:100] = 60_000 if layout != "TUM RGB-D" else 65535
        Image.fromarray(values).save(path)
    capture, expected = read(folder), good[layout][1]
    assert not capture.depth[:, 100:, :100].any()
    assert np.array_equal(capture.depth[:, :100], expected.depth[:, :100])
    assert any("beyond 30 m" in note for note in capture.notes) == (layout != "TUM RGB-D")


@LAYOUTS
@pytest.mark.parametrize("factor", [1000.0, 0.001, 1e-300, 1e300])
def test_a_slip_in_the_unit_is_reported_before_the_work(
    layout: str, factor: float, folder: Path
) -> None:
    scale = {"capture.json": 1.0, "TUM RGB-D": 5000.0}.get(layout, 1000.0)
    refused(folder, "its median depth is", "--depth-scale", depth_scale=scale * factor)


@LAYOUTS
def test_wrong_options_are_named(layout: str, folder: Path) -> None:
    for value in (0.0, float("nan"), float("inf"), -1.0):
        refused(folder, "--depth-scale", depth_scale=value)
    refused(folder, "--up", up=(1.0, 2.0))
    for up in ((0.0, 0.0, 0.0), (np.nan, 0.0, 1.0), (1e300, 0.0, 0.0)):
        refused(folder, "not a direction", up=up)
    for numbers in ((1e-300, 1e-300, 79.5, 59.5), (1e300, 130.0, 79.5, 59.5)):
        refused(folder, "focal lengths", intrinsics=numbers)
    for numbers in ((0.0, 130.0, 79.5, 59.5), (130.0, np.nan, 79.5, 59.5), (130.0, 130.0)):
        refused(folder, "--intrinsics", "not fx, fy, cx, cy", intrinsics=numbers)


def png_header(width: int, height: int, bits: int, colour: int) -> bytes:
    """A small PNG that announces a large image."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(999))), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpeg_header(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(stream, "JPEG")
    data = stream.getvalue()
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


LARGE = {
    "png of 3.6 gigapixels": png_header(60_000, 60_000, 16, 0),
    "png of 100 megapixels": png_header(10_000, 10_000, 16, 0),
    "png of one row": png_header(4_000_000, 1, 16, 0),
    "png of no row": png_header(640, 0, 16, 0),
    "jpeg of 4 gigapixels": jpeg_header(65_500, 65_500),
    "cut off": png_header(160, 120, 16, 0),
    "empty": b"",
}


@LAYOUTS
@pytest.mark.parametrize("name", LARGE)
def test_images_are_bounded_by_their_header(layout: str, name: str, folder: Path) -> None:
    for kind in ("depth", "colour"):
        path = images(folder, kind)[0]
        data = path.read_bytes()
        path.write_bytes(LARGE[name])
        refused(folder, path.name)
        path.write_bytes(data)


@LAYOUTS
def test_images_of_impossible_types(layout: str, made: Scan, folder: Path) -> None:
    path = images(folder, "depth")[0]
    grey = (made.depth[0] * 50).astype(np.uint8)
    for image in (
        Image.fromarray(grey > 100),
        Image.fromarray(grey),
        Image.fromarray(grey).convert("P"),
        Image.fromarray(made.rgb[0]),
        Image.fromarray(grey).convert("LA"),
    ):
        image.save(path, "PNG")
        refused(folder, path.name, "not a depth image", "16-bit")
    with path.open("wb") as handle:
        np.save(handle, np.ones((2, 2), np.uint16))
    refused(folder, path.name, "an image of 2x2")
    original = images(folder, "depth")[1].read_bytes()
    path.write_bytes(original)
    colour = images(folder, "colour")[0]
    Image.fromarray(made.depth[0]).save(colour, "TIFF")
    refused(folder, colour.name, "not a colour image")
    with colour.open("wb") as handle:
        np.save(handle, made.rgb[0])
    refused(folder, colour.name, "unreadable image")


@LAYOUTS
def test_control_characters_are_escaped(layout: str, made: Scan, tmp_path: Path) -> None:
    folder = WRITERS[layout](tmp_path / "a\n\x1b[31m\udcff", made)
    capture = read(folder)
    assert capture.source.endswith(r"a\n\x1b[31m\udcff") and capture.source.encode()
    images(folder, "depth")[0].write_bytes(b"")
    refused(folder, r"a\n\x1b[31m\udcff")


@pytest.mark.parametrize("layout", ["7-Scenes", "ScanNet export", "color/ depth/ pose.txt"])
def test_two_images_of_one_name(layout: str, folder: Path) -> None:
    for kind in ("depth", "colour"):
        path = images(folder, kind)[0]
        twin = path.with_suffix(".tiff")
        shutil.copy(path, twin)
        refused(folder, twin.name, path.name, "the same name; remove one")
        twin.unlink()


@LAYOUTS
def test_one_folder_too_high(layout: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "up" / "scans").mkdir(parents=True)
    folder.rename(tmp_path / "up/scans/room")
    (tmp_path / "up/scans/loop").symlink_to(tmp_path / "up")
    (tmp_path / "up/.cache").mkdir()
    shutil.copytree(tmp_path / "up/scans/room", tmp_path / "up/.cache/room")
    refused(tmp_path / "up", "holds a capture in", "up/scans/room; give that folder")
