"""The gallery: cameras, scene graphs, the 3D view's data, single failures."""

import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from metrics.files import InputError
from metrics.submission.reader import Submission
from metrics.truth import Truth
from report import gallery, misses, room_view, scene_figures, scenes, statistics
from report.gallery import choose_scenes
from report.scenes import Camera, Scene, Views
from tests.report import rooms

CAMERA = Camera(np.array([[100.0, 0, 64], [0, 100, 48], [0, 0, 1]]), np.eye(4), (128, 96))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rooms")
    names = rooms.SCENES[:10]
    rooms.write(folder / "truth", folder / "scenes", folder / "predictions", names)
    return folder


@pytest.fixture
def scene(study):
    views = Views(study / "scenes")
    name = rooms.SCENES[0]
    return Scene(
        name, Truth(study / "truth"), Submission(study / "predictions"), views.inputs(name)
    )


def test_a_box_ahead_projects_by_hand():
    lines = scenes.box_lines(CAMERA, np.array([0, 0, 2, 1, 1, 2.0]))
    assert lines.shape == (12, 4)
    near = 64 + 100 * 0.5 / 1, 48 + 100 * 0.5 / 1
    far = 64 + 100 * 0.5 / 3, 48 + 100 * 0.5 / 3
    ends = lines.reshape(-1, 2)
    for corner in (near, far):
        assert np.isclose(ends, corner).all(1).sum() == 3


def test_a_box_across_the_image_plane_is_cut_and_one_behind_is_gone():
    across = scenes.box_lines(CAMERA, np.array([0, 0, 0, 1, 1, 2.0]))
    assert len(across) == 8 and np.isfinite(across).all()
    assert len(scenes.box_lines(CAMERA, np.array([0, 0, -3, 1, 1, 1.0]))) == 0


def test_the_view_that_sees_the_box_is_chosen():
    turned = np.diag([-1.0, 1, -1, 1])
    cameras = [Camera(CAMERA.intrinsics, turned, CAMERA.size), CAMERA]
    assert scenes.best_view(cameras, [np.array([0, 0, 3, 1, 1, 1.0])]) == 1
    assert scenes.best_view(cameras, [np.array([0, 0, -3, 1, 1, 1.0])]) == 0


def test_cameras_are_in_the_pixels_of_the_input_images(scene):
    height, width = scene.inputs.rgb.shape[1:3]
    assert scene.cameras[0].size == (width, height) and len(scene.cameras) == 4


def test_missing_views_name_the_folder(study):
    with pytest.raises(InputError, match="no shard holds scene nowhere"):
        Views(study / "scenes").inputs("nowhere")


def test_the_scenes_of_the_highest_middle_and_lowest_mean_are_chosen(tmp_path):
    scores = {"a": (0.1, 0.9), "b": (0.4, 0.4), "c": (0.9, 0.9), "d": (0.0, 0.2), "e": (0.7, 0.8)}
    for seed in (0, 1):
        rows = [("all", "fscore@5cm", name, value[seed]) for name, value in scores.items()]
        # Neither a subset nor another metric counts.
        rows += [("observed", "fscore@5cm", "d", 1.0), ("all", "chamfer_l1_m", "d", 9.0)]
        table = pd.DataFrame(rows, columns=["subset", "metric", "scene", "value"])
        table.to_parquet(tmp_path / f"{seed}.parquet")
    files = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    assert choose_scenes(files) == {"best": "c", "median": "a", "worst": "d"}
    files[1].write_bytes(b"not parquet")
    with pytest.raises(InputError, match=r"1\.parquet: .*run the score stage"):
        choose_scenes(files)


def test_walls_face_outwards():
    corners = np.array([[x, y, z] for x in (0, 4) for y in (0, 3) for z in (0, 2.5)], np.float32)
    for (x, y), offset in scene_figures.walls(corners):
        assert x * 2 + y * 1.5 < offset
        assert np.hypot(x, y) == pytest.approx(1, abs=1e-3)


def test_clustering_keeps_the_shape_and_drops_what_collapses():
    side = np.linspace(0, 1, 11)
    vertices = np.array([[x, y, 0] for x in side for y in side], np.float32)
    quads = [(a * 11 + b, a * 11 + b + 1, a * 11 + b + 11) for a in range(10) for b in range(10)]
    colours = np.full((121, 3), 90, np.uint8)
    merged, faces, shade = room_view.cluster(vertices, np.array(quads), colours, 0.25)
    assert len(merged) < 30 and 0 < len(faces) < 100 and (shade == 90).all()
    assert faces.max() < len(merged) and (np.diff(np.sort(faces, axis=1), axis=1) > 0).all()


def test_the_room_view_holds_the_prediction(scene):
    view = room_view.room_view(scene, "a title")
    xyz = np.frombuffer(base64.b64decode(view["clouds"]["prediction"]["xyz"]), "<i2")
    rgb = base64.b64decode(view["clouds"]["prediction"]["rgb"])
    assert len(xyz) == len(rgb) and len(xyz) % 3 == 0 and len(xyz) // 3 <= room_view.POINTS
    assert view["mesh"] is None and view["boxes"]["prediction"][0]["name"] == "table"
    assert {box["name"] for box in view["boxes"]["truth"]} == {"table", "cupboard"}
    json.dumps(view)


def test_scene_graph_counts_found_and_right_relations(scene):
    title = [axis.get_title("left") for axis in scene_figures.graph_figure(scene, "t").axes]
    assert title == [
        "true: 1 of 1 relations found",
        "predicted: 1 of the surest 2 relations right",
    ]


def test_misses_are_wrong_and_name_the_prediction(scene):
    found = misses.gather_misses([scene])
    kinds = [item["kind"] for item in found["items"]]
    assert kinds == ["reference", "question"]
    wrong, question = found["items"]
    assert wrong["text"] == rooms.HOSTILE and wrong["outcome"].startswith("IoU 0.0")
    assert wrong["truth"] == "green cupboard" and wrong["said"] == "1 box(es)"
    assert len(wrong["lines"]["prediction"]) and set(found["images"]) == {
        item["image"] for item in found["items"]
    }
    assert (question["said"], question["truth"]) == ("two", "1")
    for name, text in found["images"].items():
        picture = Image.open(io.BytesIO(base64.b64decode(text)))
        view = scene.inputs.rgb[int(name.rpartition("/")[2])]
        assert picture.format == "WEBP" and np.array_equal(np.asarray(picture), view)


def test_references_are_drawn_best_and_worst(scene):
    overlaps = [row[0] for row in scene_figures.grounded_references(scene)]
    assert overlaps == sorted(overlaps, reverse=True) and len(overlaps) == 2
    assert scene_figures.grounding_figure(scene, "t") is not None


def test_the_gallery_repeats_its_bytes(score_files, study, tmp_path):
    for out in ("first", "second"):
        gallery.write_gallery(
            score_files, study / "truth", study / "predictions", study / "scenes", tmp_path / out
        )
    files = sorted(f.name for f in (tmp_path / "first").iterdir())
    assert {"best.png", "median.pdf", "worst_graph.png", "best_grounding.pdf"} <= set(files)
    stamp = statistics.read_stamps(tmp_path)["first"]
    assert stamp.encode() in (tmp_path / "first" / "best.png").read_bytes()
    for name in files:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_nearer_points_cover_farther_ones():
    corners = np.array([[x, y, z] for x in (0, 4) for y in (0, 3) for z in (0, 2.5)], np.float32)
    axes, _, _ = scene_figures.view_from_above(corners)
    middle = np.array([2.0, 1.5, 0.5])
    behind = middle + 0.4 * axes[2]
    points = np.stack([middle, behind]).astype(np.float32)
    colours = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    for order in ([0, 1], [1, 0]):
        image = scene_figures.render(corners, points[order], colours[order])
        shown = image[(image != 255).any(-1)]
        assert len(shown) and (shown == [255, 0, 0]).all()
    above = np.array([[2.0, 1.5, 2.45]], np.float32)
    assert (scene_figures.render(corners, above, colours[:1]) == 255).all()
