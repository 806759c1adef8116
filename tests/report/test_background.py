"""Figures of the data: rooms by kind, references with their targets outlined."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from metrics.constants import FIRST_OBJECT
from metrics.files import write_lines
from report import background
from report.background import Sources, write_background
from report.scenes import Views


def reference(form: str, targets: list[int], anchors: tuple[int, ...] = ()) -> dict:
    text = f"the $thing$ <b>{form}</b>"
    return {
        "id": f"r-{form}",
        "form": form,
        "targets": targets,
        "anchors": list(anchors),
        "text": text,
    }


def write_split(folder, names: list[str], kinds: list[str], forms: list[str]):
    """Write one shard: object 0 is seen in view 2 alone."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    tensors = {}
    for name in names:
        tensors[f"{name}/rgb"] = generator.integers(0, 255, (8, 12, 16, 3), dtype=np.uint8)
        tensors[f"{name}/sensor"] = np.ones((8, 12, 16), np.uint16)
        instance = np.ones((8, 12, 16), np.uint8)
        instance[2, 3:9, 4:12] = FIRST_OBJECT
        tensors[f"{name}/instance"] = instance
    save_file(tensors, folder / "000.safetensors")
    lines = [
        {"scene": name, "kind": kind, "references": [reference(form, [0]) for form in forms]}
        for name, kind in zip(names, kinds, strict=True)
    ]
    write_lines(folder / "000.jsonl", lines)
    return folder


@pytest.fixture
def splits(tmp_path):
    names = [f"test_scene-{k:04d}" for k in range(7)]
    kinds = ["living", "office"] * 3 + ["living"]
    synthetic = write_split(tmp_path / "dev_scene", names, kinds, ["on", "closest", "unique"])
    return [synthetic, write_split(tmp_path / "real_rooms", ["room-0"], ["office"], ["unique"])]


def test_rooms_have_a_row_a_kind_and_captured_rooms_one_of_their_own(config, splits):
    figure = background.rooms(Sources([], splits, config))
    titles = [axis.get_title(loc="left") for axis in figure.axes[:: background.COLUMNS]]
    assert titles == ["living room", "office", "captured rooms"]
    images = [len(axis.images) for axis in figure.axes]
    assert images == [1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0]
    first = Views(splits[0]).inputs("test_scene-0000").rgb[0]
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), first)


def test_references_of_different_forms_are_drawn_in_the_view_that_sees_them(config, splits):
    lines = background.read_annotations(splits[0])
    chosen = background.different_forms(lines)
    assert sorted(r["form"] for _, r in chosen) == ["closest", "on", "unique"]
    assert len({scene for scene, _ in chosen}) == 3
    figure = background.sentences(Sources([], splits, config))
    best = Views(splits[0]).inputs(chosen[0][0]).rgb[2]
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), best)
    assert figure.axes[0].collections, "the target is outlined"


def test_splits_without_references_or_scenes_have_no_figure(config, tmp_path):
    folder = write_split(tmp_path / "none", ["a"], ["office"], [])
    assert background.sentences(Sources([], [folder], config)) is None
    assert background.rooms(Sources([], [], config)) is None


def test_the_stamp_depends_on_the_annotations(config, splits, tmp_path):
    files = write_background([], tmp_path / "one", config, splits)
    assert {"rooms.png", "sentences.pdf"} <= {file.name for file in files}
    stamp = (tmp_path / "one" / "stamp.txt").read_text()
    (splits[0] / "000.jsonl").write_text(
        (splits[0] / "000.jsonl").read_text().replace("office", "kitchen")
    )
    write_background([], tmp_path / "two", config, splits)
    assert (tmp_path / "two" / "stamp.txt").read_text() != stamp
