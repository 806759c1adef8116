"""What people's captures hold besides the plainest files: values are those stored, or a refusal."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm.captures import Capture, load_capture
from g2vlm.captures.cameras import fit_intrinsics, intrinsic_matrix, parse_intrinsics
from g2vlm.captures.image_files import read_colour, read_depth
from g2vlm.captures.poses import parse_number
from metrics.files import InputError
from tests.g2vlm.captures.scans import (
    NUMBERS,
    Scan,
    matrix_text,
    save,
    scan,
    units,
    write_declared,
    write_plain,
    write_scannet,
    write_seven,
    write_tum,
)

FX, FY, CX, CY = NUMBERS
MATRIX = np.array([[FX, 0, CX], [0, FY, CY], [0, 0, 1.0]])
STORED = (np.arange(12 * 16).reshape(12, 16) * 17 + 500).astype(np.uint16)


@pytest.fixture(scope="module")
def made() -> Scan:
    return scan(3)


@pytest.fixture(scope="module")
def plain(made: Scan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plain(tmp_path_factory.mktemp("plain"), made)


@pytest.fixture(scope="module")
def expected(plain: Path) -> Capture:
    return load_capture(plain, intrinsics=NUMBERS)


def refused(folder: Path, *words: str, **options: object) -> None:
    with pytest.raises(InputError) as caught:
        load_capture(folder, **options)
    text = str(caught.value)
    assert text.isprintable()
    for word in words:
        assert word in text, text


def same(first: Capture, second: Capture) -> bool:
    return (
        np.array_equal(first.depth, second.depth)
        and np.array_equal(first.intrinsics, second.intrinsics)
        and np.array_equal(first.pose, second.pose)
    )


def image_refused(path: Path, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_depth(path, path.parent)
    for word in (path.name, *words):
        assert word in str(caught.value), caught.value


def pgm(values: np.ndarray, largest: int, comment: str = "", text: bool = False) -> bytes:
    height, width = values.shape
    head = f"P{2 if text else 5}\n{comment}{width} {height}\n{comment}{largest}\n".encode()
    body = " ".join(map(str, values.ravel())).encode() if text else values.astype(">u2").tobytes()
    return head + body


@pytest.mark.parametrize("largest", [65535, 10_000, 4095, 5000, 256])
def test_pgm_depth_is_as_stored(largest: int, tmp_path: Path) -> None:
    path = tmp_path / "0.pgm"
    for text in (False, True):
        for comment in ("", "# by a scanner\n", "#\n# 1 2 3\n"):
            path.write_bytes(pgm(STORED, largest, comment, text))
            assert np.array_equal(read_depth(path, tmp_path), STORED)


def test_damaged_pgm(tmp_path: Path) -> None:
    path = tmp_path / "0.pgm"
    whole = pgm(STORED, 65535)
    for data in (
        whole[:-1],
        whole[:9],
        b"P5\n",
        b"P5 16 x 9\n",
        b"P5 16 12 70000\n" + whole[-384:],
    ):
        path.write_bytes(data)
        image_refused(path, "unreadable image")
    path.write_bytes(b"P5 999999 999999 65535\n")
    image_refused(path, "an image of 999999x999999")
    path.write_bytes(b"P2 16 12 65535\n" + b"1 " * 191 + b"x")
    image_refused(path, "unreadable image")
    path.write_bytes(b"P5 16 12 255\n" + bytes(192))
    image_refused(path, "not a depth image (uint8")


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i2", ">i4", "<u4", "<i8", "<f2", "<f4", ">f8"])
def test_npy_depth_is_as_stored(dtype: str, tmp_path: Path) -> None:
    for values in (STORED.astype(dtype), np.asfortranarray(STORED.astype(dtype))):
        np.save(tmp_path / "0.npy", values)
        depth = read_depth(tmp_path / "0.npy", tmp_path)
        assert depth.dtype == values.dtype and np.array_equal(depth, values)


@pytest.mark.parametrize("dtype", ["bool", "i1", "u1", "c8", "S5", "U3", "O", "M8[s]", "g"])
def test_npy_of_types_that_are_no_depth(dtype: str, tmp_path: Path) -> None:
    np.save(tmp_path / "0.npy", np.zeros((12, 16), dtype), allow_pickle=True)
    image_refused(tmp_path / "0.npy", "depth")


def test_npy_of_records_and_of_other_shapes(tmp_path: Path) -> None:
    for values in (np.zeros((12, 16), [("d", "<f4")]), np.zeros((3, 12, 16), "f4"), np.zeros(99)):
        np.save(tmp_path / "0.npy", values)
        image_refused(tmp_path / "0.npy", "not a depth image")


def test_a_pickle_in_npy_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    np.save(tmp_path / "0.npy", np.array([[Trap()] * 9] * 9, object), allow_pickle=True)
    image_refused(tmp_path / "0.npy", "unreadable depth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-12, -16), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (12, 16",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "(" * 500,
        "{'descr': 'zz', 'fortran_order': False, 'shape': (12, 16), }",
        "[]",
        "",
    ],
)
def test_npy_headers_announce_what_they_like(header: str, tmp_path: Path) -> None:
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(768)
    (tmp_path / "0.npy").write_bytes(data)
    image_refused(tmp_path / "0.npy", "unreadable depth")
    (tmp_path / "0.npy").write_bytes(data[:8])
    image_refused(tmp_path / "0.npy", "unreadable depth")


def test_colour_of_one_channel_with_16_bits_is_scaled(tmp_path: Path) -> None:
    grey = np.linspace(0, 255, 192).round().astype(np.uint8).reshape(12, 16)
    wide = grey.astype(np.uint16) * 257
    expected = np.repeat(grey[..., None], 3, 2)
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(wide).save(tmp_path / "16.png")
    Image.fromarray(wide).save(tmp_path / "16.tif")
    (tmp_path / "16.pgm").write_bytes(pgm(wide, 65535))
    (tmp_path / "12.pgm").write_bytes(pgm(np.round(wide / 65535 * 4095).astype(int), 4095))
    for name in ("8.png", "16.png", "16.tif", "16.pgm"):
        assert np.array_equal(read_colour(tmp_path / name, tmp_path), expected), name
    twelve = read_colour(tmp_path / "12.pgm", tmp_path)
    assert np.abs(twelve.astype(int) - expected).max() <= 1


def camera_texts() -> dict[str, str]:
    """The same intrinsics in every form that is read."""
    wide = np.pad(MATRIX, ((0, 1), (0, 1)))
    wide[3, 3] = 1
    flat = " ".join(f"{value}" for value in MATRIX.ravel())
    named = {"fx": FX, "fy": FY, "cx": CX, "cy": CY}
    return {
        "intrinsics.txt": f"# of depth\n{FX}, {FY}, {CX}, {CY}\n",
        "camera-intrinsics.txt": matrix_text(MATRIX),
        "calibration.txt": matrix_text(wide),
        "calib_3x4.txt": matrix_text(wide[:3]),
        "camera_intrinsics.txt": flat,
        "k.txt": "fx;fy;cx;cy\n" + f"{FX};{FY};{CX};{CY}",
        "depth-intrinsics.txt": " ".join(f"{value}" for value in wide.ravel()),
        "intrinsics.json": json.dumps(named),
        "camera.json": json.dumps({"camera": named | {"width": 160, "height": 120}}),
        "camera_info.json": json.dumps({"K": MATRIX.ravel().tolist()}),
        "calibration.json": json.dumps({"intrinsic_matrix": MATRIX.T.ravel().tolist()}),
        "Intrinsics.TXT": matrix_text(MATRIX.T),
    }


@pytest.mark.parametrize("name", camera_texts())
def test_calibration_files(name: str, plain: Path, expected: Capture, tmp_path: Path) -> None:
    folder = shutil.copytree(plain, tmp_path / "scan")
    (folder / name).write_text(camera_texts()[name])
    capture = load_capture(folder)
    assert same(capture, expected)
    assert f"The intrinsics are those of {name}." in capture.notes
    other = load_capture(folder, intrinsics=(131, 131, CX, CY))
    assert other.intrinsics[0, 0, 0] == 131


WRONG_CAMERAS = """
1e999 130 79.5 59.5
130 1e-400 79.5 59.5
0 130 79.5 59.5
-130 130 79.5 59.5
130 130 79.5
fx fy cx cy
1_3_0 130 79.5 59.5
130 5 79.5/0 130 59.5/0 0 1
130 0 79.5/0 130 59.5
130 0 79.5/0 130 59.5/0 0 2
0 0 31.5 0/0 140 23.5 0/0 0 1 0/0 0 0 1
"""


@pytest.mark.parametrize("text", ["\r\r", *WRONG_CAMERAS.split("\n")])
def test_wrong_calibration_files(text: str, plain: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(plain, tmp_path / "scan")
    (folder / "intrinsics.txt").write_text(text.replace("/", "\n"), newline="")
    refused(folder, "intrinsics.txt")


def test_calibration_comes_before_the_usual_camera(made: Scan, tmp_path: Path) -> None:
    for name, write in {"seven": write_seven, "freiburg1": write_tum}.items():
        folder = write(tmp_path / name / "seq-01", made)
        refused(folder, "principal point")
        (folder / "calibration.yaml").write_text("fx: 130")
        refused(folder, "calibration.yaml", ".yaml is not read", "--intrinsics")
        assert load_capture(folder, intrinsics=NUMBERS).intrinsics[0, 0, 0] == FX
        (folder / "calibration.yaml").unlink()
        (folder.parent / "camera-intrinsics.txt").write_text(matrix_text(MATRIX))
        assert load_capture(folder).intrinsics[0, 0, 2] == CX + 0.5
        (folder / "color_intrinsics.txt").write_text("400 400 80 60")
        (folder / "calibration.txt").write_text("300 300 80 60")
        assert load_capture(folder).intrinsics[0, 0, 0] == 300
        (folder / "depth_intrinsics.txt").write_text("140 140 80 60")
        assert load_capture(folder).intrinsics[0, 0, 0] == 140
    large = Scan(*(part.repeat(4, 1).repeat(4, 2) for part in made[:2]), made.pose)
    capture = load_capture(write_seven(tmp_path / "usual", large))
    assert capture.intrinsics[0, 0, 0] == 585
    assert any("usual ones of the layout" in note for note in capture.notes)


def test_intrinsics_of_the_colour_images_are_scaled_to_depth() -> None:
    own = intrinsic_matrix(500, 500, 319.5, 239.5)
    for colour in ((1280, 960), (960, 720), (800, 600), (1296, 968)):
        width, height = colour
        of_colour = intrinsic_matrix(800, 800, width / 2 - 0.5, height / 2 - 0.5)
        fitted = fit_intrinsics(of_colour, (640, 480), colour, "x")
        np.testing.assert_allclose(fitted[:2, 2], (320, 240))
        assert fitted[0, 0] == pytest.approx(800 * 640 / width)
        assert np.array_equal(fit_intrinsics(own, (640, 480), colour, "x"), own)


def test_intrinsics_of_colour_images_of_another_size(made: Scan, tmp_path: Path) -> None:
    folder = write_scannet(tmp_path, made)
    assert len(load_capture(folder)) == 2
    for text in ("1000 1000 650 484", "1e-300 260 159.5 119.5", "260 1e300 159.5 119.5"):
        (folder / "intrinsic/intrinsic_color.txt").write_text(text)
        refused(folder, "colour camera's intrinsics", "320x240; write those of that size")


def test_two_folders_of_colour(plain: Path, expected: Capture, tmp_path: Path) -> None:
    folder = shutil.copytree(plain, tmp_path / "scan")
    (folder / "rgb").mkdir()
    capture = load_capture(folder, intrinsics=NUMBERS)
    assert same(capture, expected)
    assert "Both color/ and rgb/ are there: color/ is read." in capture.notes


def test_matrices_that_are_not_intrinsics() -> None:
    for values in (MATRIX.tolist(), MATRIX.ravel().tolist(), [FX, FY, CX, CY], MATRIX.T.tolist()):
        assert np.array_equal(parse_intrinsics(values, "x"), intrinsic_matrix(*NUMBERS))
    ragged = [[FX, 0, CX], [0, FY], [0, 0, 1]]
    wrong = (ragged, [[FX, FY], [CX, CY]], [True] * 4, ["1"] * 4, None, {}, "1234", 7, [[[1]]] * 9)
    for values in (*wrong, {"fx": 1}, [FX, None, CX, CY], [10**400 // 10**39, 1, 1, 1]):
        with pytest.raises(InputError, match="not fx, fy, cx, cy"):
            parse_intrinsics(values, "x")


def test_singular_matrices(made: Scan, tmp_path: Path) -> None:
    folder = write_scannet(tmp_path / "scannet", made)
    text = matrix_text(np.eye(4))
    (folder / "intrinsic/extrinsic_depth.txt").write_text(text)
    for wrong in (text.replace("1.000000000", "0"), "1 0 0 0\n0 1 0 0\n0 0 1e-400 0\n0 0 0 1"):
        (folder / "intrinsic/extrinsic_color.txt").write_text(wrong)
        refused(folder, "extrinsic_color.txt")
    for name, matrix in {"zero": np.zeros((4, 4)), "flat": np.diag([1.0, 1, 0, 1])}.items():
        folder = write_declared(tmp_path / name, made, color_from_depth=matrix.tolist())
        refused(folder, "color_from_depth")


def test_poses_may_be_flat_or_without_their_last_row(
    made: Scan, plain: Path, tmp_path: Path
) -> None:
    folder = write_declared(tmp_path / "nested", made)
    nested = load_capture(folder)
    path = folder / "capture.json"
    whole = json.loads(path.read_text())
    for change in (
        lambda pose: sum(pose, []),
        lambda pose: pose[:3],
        lambda pose: sum(pose[:3], []),
    ):
        values = json.loads(json.dumps(whole))
        for frame in values["frames"]:
            frame["pose"] = change(frame["pose"])
        path.write_text(json.dumps(values))
        assert same(load_capture(folder), nested)
    rows = shutil.copytree(plain, tmp_path / "rows")
    results = []
    for count in (16, 12):
        lines = [" ".join(map(repr, pose.ravel()[:count].tolist())) for pose in made.pose]
        (rows / "pose.txt").write_text("\n".join(lines))
        results.append(load_capture(rows, intrinsics=NUMBERS))
    assert same(*results) and np.abs(results[0].pose - made.pose).max() < 0.02
    (rows / "pose.txt").write_text(f"{lines[0]}\n{lines[1]}\n0 0 0 0 0 0 1")
    refused(rows, "row 3 has 7 numbers, the first 12", intrinsics=NUMBERS)


@pytest.mark.parametrize("word", ["1_000", "0x1", "", "1,5", "1.5m", "²", "nan(", "1.#"])
def test_words_that_are_no_numbers(word: str) -> None:
    with pytest.raises(ValueError):
        parse_number(word)


def rewrite(folder: Path, name: str, change) -> None:
    lines = (folder / name).read_text().splitlines()
    (folder / name).write_text("\n".join([lines[0], *map(change, lines[1:])]) + "\n")


def scaled(unit: int):
    def change(line: str) -> str:
        stamp, rest = line.split(maxsplit=1)
        return f"{round(float(stamp) * unit)} {rest}"

    return change


TUM = {
    "commas": lambda line: line.replace(" ", ","),
    "semicolons": lambda line: line.replace(" ", ";"),
    "tabs and blanks": lambda line: "  " + line.replace(" ", "\t ") + " ",
    "milliseconds": scaled(10**3),
    "microseconds": scaled(10**6),
    "nanoseconds": scaled(10**9),
}


@pytest.mark.parametrize("spelling", TUM)
def test_tum_lists_of_other_tools(spelling: str, made: Scan, tmp_path: Path) -> None:
    folder = write_tum(tmp_path, made)
    usual = load_capture(folder, intrinsics=NUMBERS)
    for name in ("rgb.txt", "depth.txt", "groundtruth.txt"):
        rewrite(folder, name, TUM[spelling])
        assert same(load_capture(folder, intrinsics=NUMBERS), usual)


def test_tum_names_with_blanks_quotes_and_next_line_marks(made: Scan, tmp_path: Path) -> None:
    folder = write_tum(tmp_path, made)
    usual = load_capture(folder, intrinsics=NUMBERS)
    for old, new in (("rgb/0.png", "rgb/a  b .png"), ("rgb/1.png", "rgb/c\x85\u2028d.png")):
        (folder / old).rename(folder / new)
        rewrite(folder, "rgb.txt", lambda line, old=old, new=new: line.replace(old, new))
    rewrite(folder, "depth.txt", lambda line: line.replace("depth/2.png", '"depth/2.png"'))
    assert same(load_capture(folder, intrinsics=NUMBERS), usual)


def test_tum_headers_and_wrong_rows(made: Scan, tmp_path: Path) -> None:
    folder = write_tum(tmp_path, made)
    for name, header in (("rgb.txt", "timestamp filename"), ("groundtruth.txt", "t x y z a b c d")):
        text = (folder / name).read_text()
        (folder / name).write_text(header + "\n" + text)
        assert len(load_capture(folder, intrinsics=NUMBERS)) == 3
        (folder / name).write_text(text + header + "\n")
        refused(folder, name, "row 5", intrinsics=NUMBERS)
        (folder / name).write_text(text)
    for row in ("nan rgb/0.png", "1.5", "1e999 rgb/0.png", "5.0,"):
        (folder / "rgb.txt").write_text(f"1305031102.0 rgb/0.png\n{row}\n")
        refused(folder, "rgb.txt: row 2", "`stamp file`", intrinsics=NUMBERS)
    for text in ("", "# none\n"):
        (folder / "rgb.txt").write_text(text)
        refused(folder, "rgb.txt: lists no images", intrinsics=NUMBERS)


def test_image_kinds_that_are_not_read_are_named(plain: Path, tmp_path: Path) -> None:
    for kind, part in ((".exr", "depth"), (".npz", "depth"), (".jpg", "depth"), (".heic", "color")):
        folder = shutil.copytree(plain, tmp_path / kind)
        for path in (folder / part).iterdir():
            path.rename(path.with_suffix(kind))
        refused(folder, f"{part}/1{kind}", f"{kind} is not read here; export", intrinsics=NUMBERS)


@pytest.mark.parametrize("kind", [".bmp", ".webp", ".tif", ".ppm", ".TIFF"])
def test_colour_kinds_that_are_read(
    kind: str, plain: Path, expected: Capture, tmp_path: Path
) -> None:
    folder = shutil.copytree(plain, tmp_path / "scan")
    for path in (folder / "color").iterdir():
        options = {"lossless": True} if kind == ".webp" else {}
        Image.open(path).save(path.with_suffix(kind), **options)
        path.unlink()
    capture = load_capture(folder, intrinsics=NUMBERS)
    assert np.array_equal(capture.rgb, expected.rgb)


def test_names_that_do_not_pair(plain: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(plain, tmp_path / "scan")
    for path in (folder / "depth").iterdir():
        path.rename(path.with_stem(f"{path.stem}_depth"))
    refused(folder, "color/1.png", "1_depth.png", "the same name", intrinsics=NUMBERS)


def test_digits_of_other_scripts_in_names(plain: Path, made: Scan, tmp_path: Path) -> None:
    folder = shutil.copytree(plain, tmp_path / "scan")
    for part in ("color", "depth"):
        for old, new in (("1", "²0"), ("2", "٣"), ("3", "10⁹")):
            (folder / part / f"{old}.png").rename(folder / part / f"{new}.png")
    lines = (folder / "pose.txt").read_text().splitlines()
    capture = load_capture(folder, intrinsics=NUMBERS)
    assert len(capture) == len(lines) == 3 and set(capture.names) == {"²0", "٣", "10⁹"}


@pytest.mark.parametrize(
    "name",
    ["rgb/\0.jpg", "n" * 300 + ".png", "/etc/passwd", "a/../../b.png", "images/", "", "x/" * 9999],
)
def test_names_in_capture_json_that_are_no_files_of_it(
    name: str, made: Scan, tmp_path: Path
) -> None:
    path = write_declared(tmp_path / "scan", made) / "capture.json"
    values = json.loads(path.read_text())
    for key in ("color", "depth"):
        changed = json.loads(json.dumps(values))
        changed["frames"][1][key] = name
        path.write_text(json.dumps(changed))
        refused(path.parent)
    for wrong in (5, None, ["a.png"], {"a": 1}):
        changed = json.loads(json.dumps(values))
        changed["frames"][1]["color"] = wrong
        path.write_text(json.dumps(changed))
        refused(path.parent, "frame 1: color", "is not text")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("depth_scale", True),
        ("depth_scale", [1000]),
        ("depth_scale", -1),
        ("depth_scale", 99999999999999999999),
        ("up", [0, 1]),
        ("up", "z"),
        ("up", [[0, 0, 1]]),
        ("color_from_depth", [1, 2]),
        ("color_intrinsics", "kinect"),
        ("intrinsics", {"fx": 130}),
        ("frames", [5]),
        ("frames", [{"color": "a", "depth": "b", "pose": 5}]),
        ("frames", [{"color": "a", "depth": "b", "pose": [["1"] * 4] * 4}]),
        ("frames", [{"color": "a", "depth": "b", "pose": [[1, 2], [3]]}]),
        ("frames", [{"color": "a", "depth": "b", "pose": [[1, 0, 0]] * 4}]),
    ],
)
def test_wrong_values_in_capture_json(key: str, value: object, made: Scan, tmp_path: Path) -> None:
    path = write_declared(tmp_path, made) / "capture.json"
    values = json.loads(path.read_text()) | {key: value}
    path.write_text(json.dumps(values))
    refused(tmp_path, str(tmp_path))


def test_tiny_and_narrow_images_are_read(made: Scan, tmp_path: Path) -> None:
    for shape in ((8, 8), (9, 40), (40, 8)):
        folder = tmp_path / f"{shape}"
        height, width = shape
        for k in (1, 2):
            save(made.rgb[0][:height, :width], folder / f"color/{k}.png")
            save(units(np.full(shape, 2.0 + k / 10), 1000), folder / f"depth/{k}.png")
        (folder / "pose.txt").write_text("0 0 0 0 0 0 1\n0.1 0 0 0 0 0 1\n")
        numbers = (20, 20, width / 2 - 0.5, height / 2 - 0.5)
        capture = load_capture(folder, intrinsics=numbers, depth_scale=1000)
        assert len(capture) == 2 and set(capture.depth.shape[1:]) == set(shape)


def test_frames_of_many_pixels_are_bounded(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("g2vlm.captures.load._MOST_PIXELS", 2 * 160 * 120)
    refused(plain, "million pixels of depth in 3 frames", "--frames", intrinsics=NUMBERS)
    assert len(load_capture(plain, intrinsics=NUMBERS, frames=2)) == 2


def test_a_large_tree_is_not_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}" / "a/b/c/d/e").mkdir(parents=True)
        for name in range(20):
            (tmp_path / f"{number:02}/a/{name}.txt").touch()
    (tmp_path / "00/a/up").symlink_to(tmp_path)
    monkeypatch.setattr("g2vlm.captures.load._MAX_ENTRIES", 100)
    scanned, scandir = [], os.scandir

    def counted(path):
        scanned.append(path)
        return scandir(path)

    monkeypatch.setattr("g2vlm.captures.load.os.scandir", counted)
    refused(tmp_path, "no frames")
    assert len(scanned) <= 100
