"""Captures that were once read wrongly or ended in a traceback, each with its right outcome.

They lie beside the repository; `test_hostile` and `test_formats` make further ones of each kind.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from g2vlm.captures import Capture, load_capture
from metrics.files import InputError
from tests.g2vlm.captures.scans import (
    NUMBERS,
    scan,
    write_declared,
    write_plain,
    write_scannet,
    write_tum,
)
from tests.paths import CASES, needs_cases

pytestmark = needs_cases

MILLIMETRES = {"intrinsics": NUMBERS, "depth_scale": 1000}
METRES = {"intrinsics": NUMBERS, "depth_scale": 1}
CAMERA = {"intrinsics": NUMBERS}

# Folder, options, and a median depth in metres or words of the refusal.
READ = [
    ("readers/15-pgm-maxval-scaled/pgm_10000", MILLIMETRES, 2.3),
    ("readers/15-pgm-maxval-scaled/pgm_10000", CAMERA, 2.3),
    ("readers/15-pgm-maxval-scaled/pgm_65535", MILLIMETRES, 2.3),
    ("readers/19-camera-intrinsics-txt-ignored/3dmatch_640/seq-01", {}, 2.289),
    ("readers/20-depth-65535-means-none/plain_65535", MILLIMETRES, 2.099),
    ("readers/23-crash-null-pose/declared_null_pose", {}, 2.328),
    ("readers/27-bom-in-text-and-json/declared_bom", {}, 2.3),
    ("readers/27-bom-in-text-and-json/plain_bom", MILLIMETRES, 2.3),
    ("readers/27-bom-in-text-and-json/scannet_bom", {}, 2.315),
    ("readers/27-bom-in-text-and-json/tum_bom", CAMERA, 2.3),
    ("readers/29-appledouble-files/plain_apple", MILLIMETRES, 2.3),
    ("readers/29-appledouble-files/scannet_apple", {}, 2.315),
    ("readers/31-image-kinds-not-known/colour_bmp", MILLIMETRES, 2.3),
    ("readers/31-image-kinds-not-known/colour_webp", MILLIMETRES, 2.3),
    ("readers/32-upper-case-in-7-scenes/seven_upper", CAMERA, 2.261),
    ("readers/34-tum-lists/tum_comma_lists", CAMERA, 2.3),
    ("readers/34-tum-lists/tum_header_nohash", CAMERA, 2.3),
    ("readers/34-tum-lists/tum_ns", CAMERA, 2.3),
    ("readers/34-tum-lists/tum_space_names", CAMERA, 2.3),
    ("hostile/10-out-readonly-or-full/ok", {}, 4.0),
]
REFUSED = [
    ("readers/21-depth-of-one-bit/png_1bit", METRES, "1.png: not a depth image (bool"),
    ("readers/21-depth-of-one-bit/npy_bool", METRES, "1.npy: not a depth image (bool"),
    ("readers/21-depth-of-one-bit/npy_i8", METRES, "1.npy: not a depth image (int8"),
    ("readers/24-crash-utf16-list/tum_utf16", CAMERA, "rgb.txt: is UTF-16 text; save it as UTF-8"),
    ("readers/25-crash-npy-types/npy_structured", METRES, "depth/1.npy: not a depth image"),
    ("readers/30-one-folder-too-high/tum_nested", {}, "rgbd_dataset_freiburg1_xyz; give that"),
    ("readers/30-one-folder-too-high/scannet_nested", {}, "scene0000_00; give that folder"),
    ("readers/30-one-folder-too-high/plain_nested", {}, "plain_nested/a; give that folder"),
    ("readers/31-image-kinds-not-known/exr", METRES, "1.exr: .exr is not read here; export 16-bit"),
    ("readers/31-image-kinds-not-known/npz", METRES, "1.npz: .npz is not read here"),
    ("readers/31-image-kinds-not-known/suffixed_names", METRES, "the same name"),
    ("readers/34-tum-lists/icl_nuim", CAMERA, "pose.txt: no such file (not read: associations.txt"),
    ("hostile/01-run-nothing-solid/depth_65535", {}, "hold no measurement"),
    ("hostile/01-run-nothing-solid/scale_1", {}, "units a metre; give --depth-scale"),
    ("hostile/06-capture-tracebacks/intr_1e-300", {}, "focal lengths (1e-300, 1e-300)"),
    ("hostile/06-capture-tracebacks/json_400digit_scale", {}, "an integer of 401 characters"),
    ("hostile/06-capture-tracebacks/json_bigint", {}, "an integer of 5000 characters"),
    ("hostile/06-capture-tracebacks/json_deep", {}, "capture.json: not valid JSON (nested too"),
    ("hostile/06-capture-tracebacks/json_intr_400digit", {}, "an integer of 401 characters"),
    ("hostile/06-capture-tracebacks/json_surrogate_name", {}, "half of a surrogate pair"),
    (
        "hostile/06-capture-tracebacks/name_nul_file",
        {},
        r"'rgb/\x00.jpg' is not the name",
    ),
    ("hostile/06-capture-tracebacks/npy_S5", {}, "0.npy: not a depth image (|S5"),
    ("hostile/06-capture-tracebacks/npy_tokenerr", {}, "0.npy: unreadable depth"),
    ("hostile/06-capture-tracebacks/plain_superdigit", {}, "4 poses for 3 frames"),
    ("hostile/06-capture-tracebacks/png_bomb_hdr", {}, "0.png: unreadable image"),
    ("hostile/06-capture-tracebacks/pose_1e300", {}, "frame 1: its camera is 1e+300 m away"),
    ("hostile/06-capture-tracebacks/pose_null_all", {}, "no frame has a finite pose"),
    ("hostile/06-capture-tracebacks/scale_1e-300", {}, "units a metre; give --depth-scale"),
    ("hostile/06-capture-tracebacks/size_0x0", {}, "0.npy: an image of 0x0"),
    ("hostile/06-capture-tracebacks/size_1x1", {}, "0.npy: an image of 1x1"),
    ("hostile/06-capture-tracebacks/tum_nonutf8", {}, "depth.txt: not UTF-8 text (byte 0xff"),
]


@pytest.mark.parametrize(("name", "options", "median"), READ)
def test_a_case_that_is_read(name: str, options: dict, median: float) -> None:
    capture = load_capture(CASES / name, **options)
    assert np.median(capture.depth[capture.depth > 0]) == pytest.approx(median, abs=0.002)
    assert capture.depth.max() < 4.3


@pytest.mark.parametrize(("name", "options", "words"), REFUSED)
def test_a_case_that_is_refused(name: str, options: dict, words: str) -> None:
    refused(CASES / name, words, **options)


def refused(folder: Path, words: str, **options: object) -> None:
    with pytest.raises(InputError) as caught:
        load_capture(folder, **options)
    text = str(caught.value)
    assert text.isprintable() and words in text, text


def copy(name: str, place: Path) -> Path:
    """Return a copy that may be written: the cases are read-only and hold no links or FIFOs."""
    folder = shutil.copytree(CASES / name, place / "scan")
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    return folder


def test_a_fifo_among_the_images(tmp_path: Path) -> None:
    folder = copy("hostile/07-capture-fifo-hang/fifo_depth", tmp_path)
    os.mkfifo(folder / "depth/0.png")
    refused(folder, "depth/0.png: is not a regular file")


def test_a_link_to_itself(tmp_path: Path) -> None:
    folder = copy("hostile/06-capture-tracebacks/link_circular", tmp_path)
    (folder / "rgb/0.jpg").unlink()
    (folder / "rgb/0.jpg").symlink_to("0.jpg")
    refused(folder, "rgb/0.jpg")


def test_links_out_of_7_scenes(tmp_path: Path) -> None:
    folder = copy("hostile/08-capture-links-out/seven_linkout", tmp_path)
    for k in (0, 1):
        for part, image in (("color.jpg", f"rgb/{k}.jpg"), ("depth.png", f"depth/{k}.png")):
            (folder / image).rename(tmp_path / f"{k}.{part}")
            (folder / f"frame-{k:06d}.{part}").symlink_to(tmp_path / f"{k}.{part}")
        (folder / f"frame-{k:06d}.pose.txt").write_text("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    refused(folder, "leads out of", intrinsics=(140, 140, 79.5, 59.5))


# Each damaged file with its place in a capture, and words of the refusal besides its name.
FUZZ = [
    ("capture-1-tum-depth.txt", "depth.txt", "not UTF-8 text"),
    ("capture-2-json-capture.json", "capture.json", "units a metre; give"),
    ("capture-3-plain-intrinsics.txt", "intrinsics.txt", "not fx"),
    ("capture-4-tum-depth.txt", "depth.txt", "no whole frame"),
    (
        "capture-5-scannet-intrinsic_extrinsic_color.txt",
        "intrinsic/extrinsic_color.txt",
        "color.txt",
    ),
    ("capture-6-plain-intrinsics.txt", "intrinsics.txt", "not fx"),
    ("capture-7-json-rgb_1.jpg", "rgb/1.jpg", "unreadable image"),
    ("capture-8-plain-intrinsics.txt", "intrinsics.txt", "not fx"),
    (
        "capture-9-scannet-intrinsic_intrinsic_depth.txt",
        "intrinsic/intrinsic_depth.txt",
        "depth.txt",
    ),
]


@pytest.mark.parametrize(("file", "target", "words"), FUZZ)
def test_a_mutated_file(file: str, target: str, words: str, tmp_path: Path) -> None:
    data = (CASES / "hostile" / "fuzz" / file).read_bytes()
    made = scan(2)
    options: dict[str, object] = {}
    if target in ("capture.json", "rgb/1.jpg"):
        folder = copy("hostile/10-out-readonly-or-full/ok", tmp_path)
        options["intrinsics"] = (140, 140, 79.5, 59.5)
    elif target == "depth.txt":
        folder, options = write_tum(tmp_path / "scan", made), {"intrinsics": NUMBERS}
    elif target == "intrinsics.txt":
        folder = write_plain(tmp_path / "scan", made)
    else:
        folder = write_scannet(tmp_path / "scan", made)
        (folder / "intrinsic/extrinsic_depth.txt").write_text(
            "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"
        )
    (folder / target).write_bytes(data)
    refused(folder, words, **options)
    if target not in ("capture.json", "depth.txt"):
        refused(folder, f"{target}: ", **options)


def test_good_captures_of_the_cases_agree(tmp_path: Path) -> None:
    """The byte order mark and the hidden files change nothing: the same room as generated here."""
    made = scan(5)
    pairs = [
        ("27-bom-in-text-and-json/plain_bom", write_plain(tmp_path / "plain", made), MILLIMETRES),
        ("27-bom-in-text-and-json/declared_bom", write_declared(tmp_path / "json", made), {}),
    ]
    for name, folder, options in pairs:
        case: Capture = load_capture(CASES / "readers" / name, **options)
        own = load_capture(folder, **options)
        np.testing.assert_allclose(case.depth, own.depth, atol=1e-6)
        np.testing.assert_allclose(case.pose, own.pose, atol=1e-6)
