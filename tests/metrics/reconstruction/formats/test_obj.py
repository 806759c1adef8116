"""OBJ: every spelling of the same surface, and what is refused."""

import re
import time

import numpy as np
import pytest

from metrics.files import InputError
from metrics.reconstruction.surface_files import read_surface
from tests.metrics.reconstruction.formats.shapes import (
    BOX,
    BOX_AREA,
    CONCAVE,
    QUADS,
    TRIANGLES,
    area,
    written,
)

VERTICES = [f"v {x:g} {y:g} {z:g}" for x, y, z in BOX]
FACES = ["f " + " ".join(str(k + 1) for k in face) for face in TRIANGLES]
PLAIN = VERTICES + FACES


def _relative(quads: list[tuple[int, ...]]) -> list[str]:
    """Return every face right after its own vertices, named from the last one back."""
    lines = []
    for quad in quads:
        lines += [VERTICES[k] for k in quad] + ["f -4 -3 -2 -1"]
    return lines


SPELLINGS = {
    "relative indices between vertices": _relative(QUADS),
    "relative and absolute indices": [*_relative(QUADS[:3]), *VERTICES]
    + ["f " + " ".join(str(k + 13) for k in quad) for quad in QUADS[3:]],
    "relative indices with normals": [
        line.replace("f -4 -3 -2 -1", "vn 0 0 1\nf -4//-1 -3//-1 -2//-1 -1//-1")
        for line in _relative(QUADS)
    ],
    "faces before their vertices": FACES + VERTICES,
    "leading blanks": ["  " + line for line in PLAIN],
    "leading tabs": ["\t " + line for line in PLAIN],
    "tabs between words": [line.replace(" ", "\t") for line in PLAIN],
    "byte order mark": ["\ufeff" + PLAIN[0], *PLAIN[1:]],
    "comments in lines": [line + " # note 1 2 3" for line in PLAIN],
    "comments without a blank": [line + "#note" for line in PLAIN],
    "continued lines": [line.replace(" ", " \\\n", 1) for line in PLAIN],
    "a continued last line": [*PLAIN, "# end \\\n"],
    "continued lines of Windows": [line.replace(" ", " \\\r\n", 1) for line in PLAIN],
    "colours after the coordinates": [f"{line} 0.5 0.5 1" for line in VERTICES] + FACES,
    "weights of some vertices": [VERTICES[0] + " 1", *VERTICES[1:], *FACES],
    "groups, materials and lines": ["o a", "g b", "mtllib ../x.mtl", *VERTICES, "usemtl c", "s 1"]
    + [*FACES, "l 1 2", "vp 1 2"][:-1],
    "empty texture fields": VERTICES
    + ["f " + " ".join(f"{k + 1}/" for k in face) for face in TRIANGLES],
    "faces of two forms": VERTICES
    + FACES[:6]
    + ["f " + " ".join(f"{k + 1}//{k + 1}" for k in face) for face in TRIANGLES[6:]],
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_is_the_same_box(tmp_path, name):
    path = written(tmp_path / "a.obj", "\n".join(SPELLINGS[name]))
    assert area(path) == pytest.approx(BOX_AREA)
    assert read_surface(path).points.max(axis=0).tolist() == [2, 1, 1]


@pytest.mark.parametrize("name", CONCAVE)
def test_concave_polygons_keep_their_outline(tmp_path, name):
    outline, wanted = CONCAVE[name]
    for turn in range(len(outline)):
        corners = outline[turn:] + outline[:turn]
        lines = [f"v {x} {y} 0" for x, y in corners]
        lines += ["f " + " ".join(str(k + 1) for k in range(len(corners)))]
        path = written(tmp_path / "a.obj", "\n".join(lines))
        assert area(path) == pytest.approx(wanted), turn
        assert len(read_surface(path).faces) == len(outline) - 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([*PLAIN, "surf 0 1 0 1"], "line 21: its statement 'surf' is not read"),
        ([*PLAIN, "call other.obj"], "line 21: its statement 'call' is not read"),
        ([*PLAIN, "V 1 2 3"], "line 21: its statement 'V' is not read"),
        ([*VERTICES, "f 1 2 9"], "line 9: a face names a missing vertex"),
        ([*VERTICES, "f 1 0 2"], "line 9: a face names a missing vertex"),
        ([*VERTICES[:2], "f -1 -2 -3", *VERTICES], "line 3: a face names a missing vertex"),
        ([*VERTICES, "f 1 2 3.5"], r"line 9: '3.5' is not a whole number"),
        (["v 1 2", *PLAIN], "line 1: has too few numbers"),
        (["v 1 2,5 3", *PLAIN], "line 1: '2,5' is not a number"),
        (["v 1 -1.#IND 3", *PLAIN], "line 1: has too few numbers"),
        (["v 1 1.5-2 3 4", *PLAIN], "line 1: '1.5-2' is not a number"),
        (["v 1 nan 3", *PLAIN], "1 of 9 points are not finite"),
        ([*VERTICES, "l 1 2 3"], "holds lines and no faces"),
        ([*VERTICES, "f 1 2"], "none with three corners"),
        (["v 0 0 0", "v 1 1 0", "v 1 0 0", "v 0 1 0", "f 1 2 3 4"], "cross themselves"),
    ],
)
def test_what_is_not_read_is_refused_by_its_line(tmp_path, lines, message):
    path = written(tmp_path / "a.obj", "\n".join(lines))
    with pytest.raises(InputError, match=re.escape(str(path)) + ": .*" + message) as error:
        read_surface(path)
    assert "\n" not in str(error.value)


def test_utf_16_is_refused_by_name(tmp_path):
    path = written(tmp_path / "a.obj", "\n".join(PLAIN).encode("utf-16"))
    with pytest.raises(InputError, match="is UTF-16 or UTF-32 text; save it as UTF-8"):
        read_surface(path)


def test_vertices_alone_are_a_cloud(tmp_path):
    found = read_surface(written(tmp_path / "a.obj", "\n".join(VERTICES)))
    assert found.faces is None and np.array_equal(found.points, BOX)


def _seconds(tmp_path, lines: list[str]) -> float:
    path = written(tmp_path / "a.obj", "\n".join(lines))
    start = time.process_time()
    read_surface(path)
    return time.process_time() - start


def test_materials_and_forms_of_faces_cost_linear_time(tmp_path):
    materials = [line for k in range(40_000) for line in (f"usemtl m{k}", "f 1 2 3")]
    assert _seconds(tmp_path, VERTICES + materials) < 2
    # 300 forms: polygons of 3 to 302 corners on a circle, each with 30 triangles after it.
    turns = np.linspace(0, 2 * np.pi, 302, endpoint=False)
    circle = [f"v {np.cos(t)} {np.sin(t)} 0" for t in turns]
    forms = [
        line
        for size in range(3, 303)
        for line in ["f " + " ".join(str(k + 1) for k in range(size)), *["f 1 2 3"] * 30]
    ]
    assert _seconds(tmp_path, circle + forms) < 4
