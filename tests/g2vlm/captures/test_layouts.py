"""Every layout gives the same levelled room, whatever its world and depth unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2vlm.captures import Capture, load_capture
from g2vlm.captures.poses import spread_frames
from tests.g2vlm.captures.scans import (
    NUMBERS,
    Scan,
    in_world,
    on_its_side,
    scan,
    side_numbers,
    write_declared,
    write_plain,
    write_scannet,
    write_seven,
    write_tum,
)


@pytest.fixture(scope="module")
def made() -> Scan:
    return scan()


def same_room(capture: Capture, made: Scan, kept: list[int] | None = None) -> None:
    """The capture's poses are those of the room's frame, within the noise of stored depth."""
    poses = made.pose[kept] if kept else made.pose
    assert np.abs(capture.pose - poses).max() < 0.02
    both = (capture.depth > 0) & (made.depth[kept] if kept else made.depth).astype(bool)
    depth = made.depth[kept] if kept else made.depth
    assert both.mean() > 0.9
    assert np.abs(capture.depth - depth)[both].max() < 0.002


WRITERS = {"tum": write_tum, "7-scenes": write_seven, "declared": write_declared}


@pytest.mark.parametrize("layout", WRITERS)
def test_layouts_give_the_levelled_room(layout: str, made: Scan, tmp_path: Path) -> None:
    folder = WRITERS[layout](tmp_path, in_world(made))
    capture = load_capture(folder, intrinsics=NUMBERS)
    same_room(capture, made)
    assert np.array_equal(capture.rgb, made.rgb)


def test_scannet_colour_is_projected_from_its_own_camera(made: Scan, tmp_path: Path) -> None:
    capture = load_capture(write_scannet(tmp_path, in_world(made)))
    kept = [0, 2, 3, 4]
    same_room(capture, made, kept)
    close = np.abs(capture.rgb.astype(int) - made.rgb[kept]) < 40
    assert close.all(-1).mean() > 0.9  # JPEG blurs the edges
    assert any("1 frames without tracking" in note for note in capture.notes)


@pytest.mark.parametrize("scale", [1000, 5000])
def test_the_depth_unit_of_a_plain_folder_is_inferred_where_certain(
    scale: float, made: Scan, tmp_path: Path
) -> None:
    capture = load_capture(write_plain(tmp_path, made, scale), intrinsics=NUMBERS)
    same_room(capture, made)
    assert any(f"{scale:g} units" in note for note in capture.notes)


def test_positions_move_back_to_the_captures_world(made: Scan, tmp_path: Path) -> None:
    moved = in_world(made)
    capture = load_capture(write_declared(tmp_path, moved))
    back = capture.to_capture(capture.pose[:, :3, 3])
    np.testing.assert_allclose(back, moved.pose[:, :3, 3], atol=1e-9)


def test_images_taken_on_their_side_are_turned_upright(made: Scan, tmp_path: Path) -> None:
    folder = write_declared(tmp_path, on_its_side(in_world(made)), intrinsics=side_numbers())
    capture = load_capture(folder)
    same_room(capture, made)
    assert np.array_equal(capture.rgb, made.rgb)
    np.testing.assert_allclose(capture.intrinsics[0, :2, 2], np.array(NUMBERS[2:]) + 0.5)
    assert any("turned upright" in note for note in capture.notes)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_any_way_to_hold_the_camera(turns: int, made: Scan, tmp_path: Path) -> None:
    moved, numbers = made, NUMBERS
    for _ in range(turns):
        moved = on_its_side(moved)
        fx, fy, cx, cy = numbers
        numbers = fy, fx, moved.depth.shape[2] - 1 - cy, cx
    capture = load_capture(write_declared(tmp_path, moved, intrinsics=numbers))
    same_room(capture, made)


def test_one_frame_needs_no_pose(made: Scan, tmp_path: Path) -> None:
    single = Scan(made.rgb[:1], made.depth[:1], made.pose[:1])
    write_plain(tmp_path, single)
    (tmp_path / "pose.txt").unlink()
    capture = load_capture(tmp_path, intrinsics=NUMBERS)
    assert len(capture) == 1
    assert abs(capture.pose[0, 2, 3] - 1.4) < 0.02


def test_many_frames_are_thinned_with_a_note(tmp_path: Path) -> None:
    made = scan(2)
    poses = np.repeat(made.pose, 60, 0)
    poses[:, 0, 3] += np.linspace(0, 1.0, 120)
    many = Scan(made.rgb[[0] * 120], made.depth[[0] * 120], poses)
    folder = write_declared(tmp_path, many)
    capture = load_capture(folder)
    assert len(capture) == 8
    assert capture.names[0] == "0"
    assert any("120 frames were thinned to 8" in note for note in capture.notes)


def test_thinned_poses_are_far_apart() -> None:
    poses = np.tile(np.eye(4), (500, 1, 1))
    poses[:, 0, 3] = np.linspace(0, 7, 500)
    chosen = spread_frames(poses, 8)
    assert chosen[0] == 0
    gaps = np.diff(poses[chosen, 0, 3])
    assert gaps.min() > 0.45  # even spacing would be 1 m; farthest points halve gaps


def test_cut_off_floor_falls_back_on_how_the_camera_was_held(made: Scan, tmp_path: Path) -> None:
    depth = made.depth.copy()
    depth[:, 30:] = 0
    capture = load_capture(write_declared(tmp_path, made._replace(depth=depth)))
    assert any("No floor is in sight" in note for note in capture.notes)


def test_blank_margins_are_cut_off(made: Scan, tmp_path: Path) -> None:
    rgb = made.rgb.copy()
    rgb[:, :4], rgb[:, :, -6:] = 255, 0
    capture = load_capture(write_declared(tmp_path, made._replace(rgb=rgb)))
    assert capture.size == (154, 116)
    np.testing.assert_allclose(capture.intrinsics[0, :2, 2], [NUMBERS[2] + 0.5, NUMBERS[3] - 3.5])
    assert np.array_equal(capture.rgb, made.rgb[:, 4:, :-6])
    assert np.abs(capture.pose - made.pose).max() < 0.02
    assert any("154x116" in note for note in capture.notes)


def test_reading_twice_gives_the_same_bytes(made: Scan, tmp_path: Path) -> None:
    folder = write_tum(tmp_path, in_world(made))
    first, second = (load_capture(folder, intrinsics=NUMBERS) for _ in range(2))
    assert first.pose.tobytes() == second.pose.tobytes()
