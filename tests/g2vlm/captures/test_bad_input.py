"""Anything wrong with a capture raises one error that names the file and the fix."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from g2vlm.captures import load_capture
from metrics.files import InputError
from tests.g2vlm.captures.scans import (
    NUMBERS,
    Scan,
    save,
    scan,
    write_declared,
    write_plain,
    write_scannet,
    write_seven,
    write_tum,
)


@pytest.fixture(scope="module")
def made() -> Scan:
    return scan(3)


def refused(path: Path, *words: str, **options: object) -> None:
    with pytest.raises(InputError) as caught:
        load_capture(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text


def test_no_such_folder(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "nowhere", "no such folder", "TUM RGB-D")


def test_a_folder_without_frames(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    refused(tmp_path, str(tmp_path), "no frames", "capture.json")


def test_a_video(tmp_path: Path) -> None:
    video = tmp_path / "walk.mp4"
    video.write_bytes(b"\0")
    refused(video, "walk.mp4", "export posed RGB-D frames")
    refused(tmp_path, "walk.mp4", "export posed RGB-D frames")


def test_images_without_depth(made: Scan, tmp_path: Path) -> None:
    save(made.rgb[0], tmp_path / "color/1.png")
    refused(tmp_path, "no depth/", "RGB-D")


def test_one_capture_or_several_below_the_folder(made: Scan, tmp_path: Path) -> None:
    write_seven(tmp_path / "scans/seq-01", made)
    refused(tmp_path, "holds a capture in", "scans/seq-01; give that folder")
    write_tum(tmp_path / "scans/seq-02", made)
    refused(tmp_path, "several sequences", "scans/seq-01")


def test_missing_intrinsics_raise_and_offer_known_sensors(made: Scan, tmp_path: Path) -> None:
    write_plain(tmp_path, made)
    refused(tmp_path, "no intrinsics", "--intrinsics fx,fy,cx,cy", "--camera kinect|")
    assert load_capture(tmp_path, camera="kinect").intrinsics[0, 0, 0] == 525 / 4
    refused(tmp_path, "--camera leica", "kinect", camera="leica")


def test_intrinsics_of_another_image_size(made: Scan, tmp_path: Path) -> None:
    write_plain(tmp_path, made)
    refused(tmp_path, "principal point", "160x120", intrinsics=(525, 525, 319.5, 239.5))
    refused(tmp_path, "not fx, fy, cx, cy", intrinsics=(525, 525))


def test_an_uncertain_depth_unit_raises(made: Scan, tmp_path: Path) -> None:
    far = made._replace(depth=made.depth + 2)
    write_plain(tmp_path, far)
    refused(tmp_path, "--depth-scale", "1000", "5000", intrinsics=NUMBERS)
    capture = load_capture(tmp_path, intrinsics=NUMBERS, depth_scale=1000)
    np.testing.assert_allclose(capture.depth, far.depth, atol=6e-4)


def test_unregistered_colour(made: Scan, tmp_path: Path) -> None:
    write_plain(tmp_path, made)
    for k in (1, 2, 3):
        save(np.zeros((108, 192, 3), np.uint8), tmp_path / f"color/{k}.png")
    refused(tmp_path, "1.png", "not registered", "color_intrinsics", intrinsics=NUMBERS)


def test_a_picture_of_depth(made: Scan, tmp_path: Path) -> None:
    write_plain(tmp_path, made)
    save(made.rgb[0], tmp_path / "depth/1.png")
    refused(tmp_path, "depth/1.png", "16-bit", intrinsics=NUMBERS)


def test_a_cut_off_image(made: Scan, tmp_path: Path) -> None:
    write_plain(tmp_path, made)
    path = tmp_path / "color/2.png"
    path.write_bytes(path.read_bytes()[:200])
    refused(tmp_path, "color/2.png", "unreadable", intrinsics=NUMBERS)


def test_frames_without_a_measurement(made: Scan, tmp_path: Path) -> None:
    depth = made.depth.copy()
    depth[1] = 0
    capture = load_capture(write_declared(tmp_path / "one", made._replace(depth=depth)))
    assert len(capture) == 2
    assert any("next to no depth" in note for note in capture.notes)
    empty = made._replace(depth=np.zeros_like(made.depth))
    refused(write_declared(tmp_path / "all", empty), "hold no measurement")


def test_images_without_a_partner_are_left_out(made: Scan, tmp_path: Path) -> None:
    write_plain(tmp_path, made)
    (tmp_path / "depth/2.png").unlink()
    refused(tmp_path, "3 poses for 2 frames", intrinsics=NUMBERS)
    (tmp_path / "pose.txt").unlink()
    refused(tmp_path, "pose.txt", "tx ty tz qx qy qz qw", intrinsics=NUMBERS)


def test_invalid_poses_raise(made: Scan, tmp_path: Path) -> None:
    write_plain(tmp_path, made)
    (tmp_path / "pose.txt").write_text("0 0 0 0 0 0 1\n0 0 0 3 0 0 1\n0 0 0 0 0 0 1\n")
    refused(tmp_path, "pose.txt", "not a unit quaternion", intrinsics=NUMBERS)
    (tmp_path / "pose.txt").write_text("0 0 0 0 0 0\n")
    refused(tmp_path, "row 1 has 6 numbers; write 7", intrinsics=NUMBERS)
    scaled = made._replace(pose=made.pose * np.array([2, 2, 2, 1])[:, None])
    refused(write_declared(tmp_path / "scaled", scaled), "frame 0", "not a rotation")


def test_tum_without_a_trajectory_raises(made: Scan, tmp_path: Path) -> None:
    write_tum(tmp_path, made)
    (tmp_path / "groundtruth.txt").unlink()
    refused(tmp_path, "groundtruth.txt", "no such file", intrinsics=NUMBERS)


def test_tum_lists_without_common_stamps_raise(made: Scan, tmp_path: Path) -> None:
    write_tum(tmp_path, made)
    (tmp_path / "rgb.txt").write_text("5.0 rgb/0.png\n")
    refused(tmp_path, "no whole frame", intrinsics=NUMBERS)


def test_scannet_without_any_tracking_raises(made: Scan, tmp_path: Path) -> None:
    write_scannet(tmp_path, made)
    for path in (tmp_path / "pose").iterdir():
        path.write_text("-inf -inf -inf -inf\n" * 4)
    refused(tmp_path, "no frame has a finite pose")


CHANGES: list[tuple[Callable[[dict], object], str]] = [
    (lambda v: v.pop("frames"), "no list of frames"),
    (lambda v: v.update(frames=[]), "no whole frame"),
    (lambda v: v.update(scale=3), "unknown key 'scale'"),
    (lambda v: v.update(depth_scale="mm"), "depth_scale 'mm'"),
    (lambda v: v.update(intrinsics=[1, 2]), "not fx, fy, cx, cy"),
    (lambda v: v.update(up=[0, 0, 0]), "not a direction"),
    (lambda v: v["frames"][0].pop("pose"), "frame 0: needs color, depth and pose"),
    (lambda v: v["frames"][1].update(pose=[[1]]), "frame 1: pose: 1 x 1 numbers, not 4 x 4"),
    (lambda v: v["frames"][0].update(color="../secret.png"), "leads out of"),
    (lambda v: v["frames"][0].update(depth="metres/9.npy"), "metres/9.npy"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_a_wrong_capture_json(
    change: Callable[[dict], object], words: str, made: Scan, tmp_path: Path
) -> None:
    path = write_declared(tmp_path, made) / "capture.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    refused(tmp_path, str(tmp_path), words)
    path.write_text("{")
    refused(tmp_path, "capture.json", "not valid JSON")


def test_invalid_options_raise(made: Scan, tmp_path: Path) -> None:
    folder = write_declared(tmp_path, made)
    refused(folder, "--frames 0", frames=0)
    refused(folder, "--depth-scale -1", depth_scale=-1)
