"""A capture through the real encoders and an untrained model: typed results, files, errors.

One run feeds most tests: loading the frozen encoders takes most of the time.
"""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.paths import REPOSITORY

pytest.importorskip("torch")

import networkx
import trimesh

from g2vlm.__main__ import main
from g2vlm.captures import load_capture
from g2vlm.inference.surface import Mesh
from g2vlm.use import G2VLMModel, Result
from g2vlm.use.folder import not_writable
from metrics.files import InputError, write_json
from tests.g2vlm.captures.scans import scan, write_declared
from tests.g2vlm.inference.synthetic import CLASSES

PAGE = REPOSITORY / "docs" / "use.md"
QUESTION, PHRASE = "How many chairs are there?", "the sofa"


@pytest.fixture(scope="module")
def model(model_folder: Path) -> G2VLMModel:
    return G2VLMModel.from_pretrained(model_folder, threads=1)


@pytest.fixture(scope="module")
def page(
    model_folder: Path, capture_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Result, Path]:
    """Run the code block of docs/use.md as it is, in a folder with the paths it names."""
    place = tmp_path_factory.mktemp("page")
    home = place / "results/reference/cpu"
    home.mkdir(parents=True)
    (home / "checkpoint").symlink_to(model_folder)
    (place / "my-room").symlink_to(capture_folder)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    names: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        exec(compile(block, str(PAGE), "exec"), names)
    return names["result"], place / "out"


def test_the_code_of_the_docs_gives_the_documented_result(page: tuple[Result, Path]) -> None:
    result, _ = page
    assert [answer.question for answer in result.answers] == [QUESTION]
    assert result.grounded[0].phrase == PHRASE
    assert len(result.captions) == 1
    assert len(result.grounded[0].boxes) >= 1
    assert len(result.cloud.points) > 10_000
    assert result.capture.names == ("0", "1", "2", "3", "4")
    assert len(result.views) == 4
    assert result.ood_score is None
    assert any("no calibration" in note for note in result.notes)


def test_the_notebook_runs(page: tuple[Result, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    estimates = PAGE.parents[1] / "results" / "reference" / "cpu" / "estimates.csv"
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(page[1].parent)
    shutil.copyfile(estimates, "results/reference/cpu/estimates.csv")
    names: dict = {}
    for cell in json.loads(PAGE.with_name("first-steps.ipynb").read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "first-steps.ipynb", "exec"), names)
    assert names["result"].answers[0].question == QUESTION
    assert len(names["below"]) == len(names["result"].cloud.points)


def test_the_command_of_the_docs_parses() -> None:
    from g2vlm.__main__ import _parser

    (line,) = re.findall(r"^python -m g2vlm run .*$", PAGE.read_text(), re.M)
    import shlex

    parsed = _parser().parse_args(shlex.split(line)[3:])
    assert (parsed.capture, parsed.ask, parsed.find) == (
        "my-room",
        [QUESTION],
        ["the chair nearest the table"],
    )


def test_json_and_graph_agree(page: tuple[Result, Path]) -> None:
    result, out = page
    document = json.loads((out / "result.json").read_text())
    assert [item["name"] for item in document["objects"]] == [o.name for o in result.objects]
    assert {item.kind for item in result.objects} <= set(CLASSES)
    graph = json.loads((out / "scene_graph.json").read_text())
    read = networkx.read_graphml(out / "scene_graph.graphml")
    assert set(read.nodes) == {node["id"] for node in graph["nodes"]}
    assert read.number_of_edges() == len(graph["edges"]) == len(result.relations)


def test_boxes_are_also_in_the_captures_world(page: tuple[Result, Path]) -> None:
    result, out = page
    document = json.loads((out / "result.json").read_text())
    into = np.array(document["frame_from_capture"])
    for item in document["objects"]:
        corners = np.array(item["corners_in_capture"]) @ into[:3, :3].T + into[:3, 3]
        low, high = corners.min(0), corners.max(0)
        np.testing.assert_allclose((low + high) / 2, item["box"][:3], atol=1e-3)
        np.testing.assert_allclose(high - low, item["box"][3:], atol=1e-3)


def test_points_and_meshes_load_in_trimesh(page: tuple[Result, Path]) -> None:
    result, out = page
    cloud = trimesh.load(out / "points.ply")
    np.testing.assert_allclose(cloud.vertices, result.cloud.points, atol=1e-6)
    assert np.array_equal(np.asarray(cloud.colors)[:, :3], result.cloud.colours)
    scene = trimesh.load(out / "mesh.glb")
    meshes = list(scene.geometry.values())
    assert len(meshes) == len(result.surfaces)
    for mesh in meshes:
        assert mesh.visual.material.baseColorTexture.size == result.capture.size
        assert len(mesh.visual.uv) == len(mesh.vertices)
    # y up: the room's height is the second axis.
    assert scene.extents[1] == pytest.approx(np.ptp(result.cloud.points[:, 2]), abs=0.1)
    assert (out / "solids.glb").stat().st_size > 0


def test_the_viewer_is_one_file_with_the_data_in_it(page: tuple[Result, Path]) -> None:
    _, out = page
    text = (out / "viewer.html").read_text()
    assert not re.search(r"(src|href)\s*=|https?://|@import", text)
    (data,) = re.findall(r'<script type="application/json" id="scene">(.*?)</script>', text, re.S)
    assert "<" not in data
    assert json.loads(data)["grounded"][0]["phrase"] == PHRASE


def test_names_in_a_capture_are_data_not_markup(page: tuple[Result, Path]) -> None:
    from g2vlm.use.export import viewer_page

    result, _ = page
    markup = "</script><script>alert(1)</script><!--"
    document = replace(result, capture=replace(result.capture, source=markup)).to_json()
    text = viewer_page(document, result.capture, result.cloud, result.solids)
    assert markup not in text
    assert text.count("</script>") == 2


def test_saving_again_replaces_an_earlier_result_only(
    page: tuple[Result, Path], tmp_path: Path
) -> None:
    result, _ = page
    result.save(tmp_path / "new", frame="capture")
    first = (tmp_path / "new/result.json").read_bytes()
    cloud = trimesh.load(tmp_path / "new/points.ply")
    moved = result.capture.to_capture(result.cloud.points)
    np.testing.assert_allclose(cloud.vertices, moved, atol=1e-5)
    result.save(tmp_path / "new", frame="capture")
    assert (tmp_path / "new/result.json").read_bytes() == first
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds other files"):
        result.save(tmp_path / "mine")
    with pytest.raises(InputError, match="--frame world"):
        result.save(tmp_path / "other", frame="world")


def empty_mesh() -> Mesh:
    return Mesh(np.zeros((0, 3), "f4"), np.zeros((0, 3), "i4"), np.zeros((0, 3), "u1"))


def test_files_that_would_be_empty_are_left_out(page: tuple[Result, Path], tmp_path: Path) -> None:
    result = replace(page[0], solids=empty_mesh(), surfaces=())
    left_out = result.save(tmp_path / "out")
    assert left_out == (
        "mesh.glb was not written: no frame has a surface.",
        "solids.glb was not written: no volume is solid.",
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "result.json",
        "scene_graph.json",
        "scene_graph.graphml",
        "points.ply",
        "viewer.html",
    }
    document = json.loads((tmp_path / "out/result.json").read_text())
    assert document["notes"] == [*result.notes, *left_out]


@pytest.mark.parametrize(
    "name", ["write_graphml", "write_ply", "write_textured_glb", "viewer_page"]
)
def test_one_file_that_fails_does_not_lose_the_others(
    name: str, page: tuple[Result, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a name\nthat \x1b cannot be written")

    monkeypatch.setattr(f"g2vlm.use.results.{name}", fail)
    (note,) = page[0].save(tmp_path / "out")
    assert r"was not written: a name\nthat \x1b cannot be written." in note
    assert len(list((tmp_path / "out").iterdir())) == 6
    assert not (tmp_path / "out" / note.split()[0]).exists()


def test_a_disk_that_fills_up_leaves_nothing(
    page: tuple[Result, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("g2vlm.use.results.write_ply", full)
    with pytest.raises(InputError, match="out: cannot be written .No space left on device.; free"):
        page[0].save(tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.ENOSPC, "free 64 MiB there, or give another folder by --out"),
        (errno.EDQUOT, "free 64 MiB there, or give another folder by --out"),
        (errno.EACCES, "give a folder that you may write by --out"),
        (errno.EROFS, "give a folder that you may write by --out"),
    ],
)
def test_the_fix_fits_why_a_folder_cannot_be_written(number: int, fix: str) -> None:
    error = not_writable(Path("out"), OSError(number, os.strerror(number), "out"))
    assert str(error) == f"out: cannot be written ({os.strerror(number)}); {fix}"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the system refuse larger files, as a full disk or a quota does."""
    earlier = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, earlier[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, earlier)


def test_writing_is_tried_before_the_work(capture_folder: Path, tmp_path: Path) -> None:
    run = ["run", str(capture_folder), "--model", str(tmp_path / "none"), "--out"]
    with files_of_at_most(16 << 10), pytest.raises(InputError, match="cannot be written"):
        main([*run, str(tmp_path / "out")])
    (tmp_path / "file").touch()
    for place in ("/proc/none/out", str(tmp_path / "file/out"), str(tmp_path / ("n" * 300))):
        with pytest.raises(InputError, match="cannot be written|no such|is a file"):
            main([*run, place])
    with pytest.raises(InputError, match="no trained model"):
        main([*run, str(tmp_path / "out")])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_answers_are_printed_where_the_files_cannot_be_written(
    page: tuple[Result, Path],
    capture_folder: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("g2vlm.use.results.write_ply", full)
    monkeypatch.setattr(G2VLMModel, "run", lambda *_: page[0])
    options = ["--model", str(model_folder), "--out", str(tmp_path / "out")]
    with pytest.raises(InputError, match="cannot be written"):
        main(["run", str(capture_folder), *options])
    printed = capsys.readouterr().out
    assert page[0].answers[0].answer in printed and "open in a browser" not in printed


def test_a_slip_in_the_unit_is_said_before_the_model_is_loaded(tmp_path: Path) -> None:
    folder = write_declared(tmp_path / "scan", scan(2), depth_scale=0.001)
    run = ["run", str(folder), "--model", str(tmp_path / "none"), "--out", str(tmp_path / "out")]
    with pytest.raises(InputError, match="m at 0.001 units a metre; give"):
        main(run)


def test_a_tiny_capture_runs(model: G2VLMModel, tmp_path: Path) -> None:
    made = scan(2)
    small = made._replace(rgb=made.rgb[:, ::15, ::20], depth=made.depth[:, ::15, ::20])
    folder = write_declared(tmp_path / "scan", small, intrinsics=(6.5, 8.7, 3.5, 3.5))
    result = model.run(load_capture(folder), [QUESTION], [PHRASE])
    assert result.capture.size == (8, 8)
    result.save(tmp_path / "out")
    assert json.loads((tmp_path / "out/result.json").read_text())["points"] > 0


def test_one_frame_and_no_sentence(model: G2VLMModel, tmp_path: Path) -> None:
    made = scan(1)
    result = model.run(load_capture(write_declared(tmp_path, made)))
    assert result.answers == result.grounded == ()
    assert len(result.surfaces) == 1
    assert len(result.cloud.points) > 1000


def test_running_twice_gives_the_same(model: G2VLMModel, capture) -> None:
    first, second = (model.run(capture).to_json() for _ in range(2))
    assert first == second


def test_a_saved_model_gives_the_same_results(model: G2VLMModel, capture, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "copy")
    again = G2VLMModel.from_pretrained(tmp_path / "copy", threads=1)
    assert again.thresholds == model.thresholds
    assert again.run(capture).to_json() == model.run(capture).to_json()


def test_a_model_of_an_experiment_uses_its_thresholds(model_folder: Path, tmp_path: Path) -> None:
    from shutil import copytree

    from g2vlm.inference.calibrate import Thresholds

    folder = tmp_path / "models/full/0"
    copytree(model_folder, folder)
    (folder / "thresholds.json").unlink()
    assert any("No thresholds" in n for n in G2VLMModel.from_pretrained(folder, threads=1).notes)
    chosen = Thresholds(object_score=0.25)
    write_json(tmp_path / "predictions/full/0/thresholds.json", chosen.to_json())
    assert G2VLMModel.from_pretrained(folder, threads=1).thresholds == chosen


def test_command_errors_are_one_line(
    model_folder: Path, capture_folder: Path, tmp_path: Path
) -> None:
    run = ["run", str(capture_folder), "--out", str(tmp_path / "out")]
    for extra, words in (
        (["--model", str(tmp_path / "none")], "no trained model here; train one"),
        (["--model", str(model_folder), "--ask", " "], "--ask: an empty text"),
        (["--model", str(model_folder), "--find", "x" * 301], "301 letters"),
        (
            ["--model", str(model_folder), "--ask", "a \udcff"],
            r"'a \udcff': holds control characters",
        ),
        (["--model", str(model_folder), "--find", "a\x1b[31m"], "holds control characters"),
        (["--frame", "world"], "--frame world: unknown"),
    ):
        with pytest.raises(InputError, match=re.escape(words)):
            main([*run, *extra])
    assert not (tmp_path / "out").exists()


def test_a_method_without_language_raises(tmp_path: Path) -> None:
    from g2vlm.models.checkpoint import save_model
    from g2vlm.models.model import G2VLM
    from tests.g2vlm.models.build import model_config

    config = model_config("reconstruction_only", height=48, width=64, classes=CLASSES, words=("a",))
    tmp_path.joinpath("m").mkdir()
    save_model(G2VLM(config), tmp_path / "m", {})
    with pytest.raises(InputError, match="reconstruction_only"):
        G2VLMModel.from_pretrained(tmp_path / "m")
