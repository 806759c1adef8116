"""npz and npy: arrays that move points, and sizes that are checked before they are unpacked."""

import io
import resource
import zipfile

import numpy as np
import pytest

from metrics.files import InputError
from metrics.reconstruction.surface_files import read_surface
from tests.metrics.reconstruction.formats.shapes import BOX, BOX_AREA, TRIANGLES, area

LOC, SCALE = np.array([399000.0, 5820000.0, 35.0]), 2.5


def saved(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        ({"scale": SCALE, "loc": LOC}, BOX * SCALE + LOC),
        ({"scale": np.array([SCALE]), "loc": LOC}, BOX * SCALE + LOC),
        ({"scale": SCALE}, BOX * SCALE),
        ({"loc": LOC}, BOX + LOC),
        ({"normals": BOX, "colors": BOX, "labels": np.zeros(8)}, BOX),
    ],
)
def test_loc_and_scale_are_applied(tmp_path, arrays, wanted):
    found = read_surface(saved(tmp_path / "a.npz", points=BOX.astype(np.float16), **arrays))
    assert found.points.dtype == np.float64 and np.array_equal(found.points, wanted)


@pytest.mark.parametrize("points", ["points", "vertices"])
@pytest.mark.parametrize("faces", ["faces", "triangles"])
def test_faces_make_a_mesh_under_either_name(tmp_path, points, faces):
    path = saved(tmp_path / "a.npz", **{points: BOX, faces: np.array(TRIANGLES)})
    assert area(path) == pytest.approx(BOX_AREA)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"points": BOX, "transform": np.eye(4)}, "its array 'transform' is not known"),
        ({"points": BOX, "offset": LOC}, "its array 'offset' is not known"),
        ({"points": BOX, "vertices": BOX}, "has both points and vertices"),
        ({"points": BOX, "faces": BOX, "triangles": BOX}, "has both faces and triangles"),
        ({"points": BOX, "loc": LOC[:2]}, "give one finite number and three"),
        ({"points": BOX, "scale": LOC}, "give one finite number and three"),
        ({"points": BOX, "scale": np.nan}, "give one finite number and three"),
        ({"points": BOX, "scale": -1.0}, "scale positive"),
        ({"points": BOX.astype(complex)}, "points: is complex128"),
        ({"points": np.array(BOX, object)}, "points: is object"),
        ({"points": BOX, "faces": np.array(TRIANGLES, float)}, r"give \[F, 3\]"),
    ],
)
def test_what_is_not_known_is_refused_by_name(tmp_path, arrays, message):
    with pytest.raises(InputError, match=message):
        read_surface(saved(tmp_path / "a.npz", **arrays))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_a_point_that_is_not_finite_is_refused_in_every_type(tmp_path, dtype, wrong):
    points = np.vstack([BOX, [[0, wrong, 0]]]).astype(dtype)
    for path in (saved(tmp_path / "a.npz", points=points), tmp_path / "b.npy"):
        np.save(tmp_path / "b.npy", points)
        with pytest.raises(InputError, match=r"1 of 9 points are not finite .* first row 8"):
            read_surface(path)


def _packed(path, header: dict, content: bytes):
    """Write an npz whose one array has a header of its own."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("points.npy", buffer.getvalue() + content)
    return path


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((10**9, 3), "holds 1000000000 points, more than 10000000"),
        ((3, 10**9), "holds 1000000000 points, more than 10000000"),
        ((10**30, 3), "points, more than 10000000"),
        ((8, 3), "is said to hold"),
    ],
)
def test_a_size_is_checked_before_it_is_unpacked(tmp_path, shape, message):
    # 400 MB of zeros in 0.4 MB.
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    path = _packed(tmp_path / "a.npz", header, bytes(400_000_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=message):
        read_surface(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_arrays_packed_without_a_limit_are_refused(tmp_path, method):
    path = saved(tmp_path / "a.npz", points=BOX)
    with zipfile.ZipFile(path) as archive:
        data = archive.read("points.npy")
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("points.npy", data)
    with pytest.raises(InputError, match=r"a\.npz: points: packed by method .* pack it by deflate"):
        read_surface(path)


def test_an_archive_that_cannot_be_opened_is_named(tmp_path):
    path = saved(tmp_path / "a.npz", points=BOX)
    data = path.read_bytes()
    flags = data.index(b"PK\1\2") + 8
    utf8 = data[:flags] + b"\0\x08" + data[flags + 2 :].replace(b"points", b"point\xff")
    for content in (utf8, data[:-20], b"PK"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.npz: no readable zip archive .*; write it again"):
            read_surface(path)


def test_too_many_faces_are_refused_as_faces(tmp_path):
    path = saved(tmp_path / "b.npz", vertices=BOX)
    header = {"descr": "<i4", "fortran_order": False, "shape": (30_000_000, 3)}
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("faces.npy", buffer.getvalue())
    with pytest.raises(InputError, match="faces: holds 30000000 faces, more than 20000000"):
        read_surface(path)


def test_one_array_twice_is_refused(tmp_path):
    path = saved(tmp_path / "a.npz", points=BOX)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("points.npy", archive.read("points.npy"))
    with pytest.raises(InputError, match="has the array points twice"):
        read_surface(path)
