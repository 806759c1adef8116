"""Scoring whole submissions: the oracle, failures, controls, the command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from metrics import controls
from metrics.files import InputError
from metrics.prepare import measured_floors, open_truth, prepare
from metrics.registry import METRICS
from metrics.score import score_submission
from metrics.submission.writer import SubmissionWriter
from metrics.truth import PREPARED, Prepared, Truth
from tests.metrics import toy_truth

COLUMNS = ["method", "seed", "split", "scene", "query", "subset", "metric", "value"]
COLUMNS += ["kind", "succeeded"]
SCENES = ["toy-0000", "toy-0001", "toy-0002"]


def scored(tmp_path: Path, truth_dir: Path, *produces: str, fill=None, **more) -> pd.DataFrame:
    """Write a submission with `fill(writer)` and return its rows."""
    with SubmissionWriter(tmp_path / "s", "m", 0, "toy", True, produces, **more) as writer:
        if fill:
            fill(writer)
    score_submission(tmp_path / "s", truth_dir, tmp_path / "out.parquet")
    return pd.read_parquet(tmp_path / "out.parquet")


def test_selected_reconstruction_metrics_equal_those_of_a_full_run(
    oracle_scores, oracle_dir, truth_dir, tmp_path
):
    every = pd.read_parquet(oracle_scores)
    built = {name for name, metric in METRICS.items() if metric.family == "reconstruction"}
    assert "chamfer_l1_m" in set(every.metric) & built
    for named in (["fscore@5cm", "mesh_iou"], ["normal_consistency"], ["recall_completion@10cm"]):
        assert set(named) <= set(every.metric)
        score_submission(oracle_dir, truth_dir, tmp_path / "few.parquet", None, named)
        wanted = every[every.metric.isin(named) | ~every.metric.isin(built)]
        few = pd.read_parquet(tmp_path / "few.parquet")
        pd.testing.assert_frame_equal(few, wanted.reset_index(drop=True))


def test_oracle_reaches_its_ceiling(oracle_scores, truth_dir):
    assert controls.check_ceiling(oracle_scores, truth_dir) == []
    frame = pd.read_parquet(oracle_scores)
    assert list(frame.columns) == COLUMNS
    assert frame.succeeded.all() and np.isfinite(frame.value).all()
    assert set(frame.metric) <= set(METRICS)
    means = frame[frame.kind != "pseudo"].groupby("metric").value.mean()
    for name in ("spq@0.5", "box_pq@0.5", "sg_accuracy", "ref_pick", "mesh_iou", "answer_score"):
        assert means[name] == pytest.approx(1, abs=1e-9)
    assert means["accuracy_m"] < 1e-6


def test_summary_is_written_next_to_the_table(oracle_scores):
    summary = json.loads(oracle_scores.with_suffix(".json").read_text())
    assert summary["stochastic"] is False
    assert summary["reasons"]["chamfer_l1_sim3_m"].startswith("points carry no pixels")
    assert 0 < summary["floors"]["accuracy_m"] < 0.1
    assert summary["graph"]["predicates"]["spq_view@0.5"] == ["left"]
    assert summary["graph"]["fewest_triplets"] == 1


def test_pooled_metrics_have_a_pseudo_value_a_scene(oracle_scores):
    frame = pd.read_parquet(oracle_scores)
    for name, rows in frame[frame.kind != "item"].groupby("metric"):
        assert METRICS[name].pooled
        assert (rows.kind == "pooled").sum() == 1
        assert sorted(rows[rows.kind == "pseudo"].scene) == SCENES


def test_missing_answers_count_as_the_worst_value(tmp_path, truth_dir):
    tasks = ("points", "mesh", "occupancy", "objects", "graph", "given_relations", "grounding")
    tasks += ("picks", "retrieval", "probed_retrieval", "grounding_retrieval", "answers")
    frame = scored(tmp_path, truth_dir, *tasks, mesh_kind="solids")
    items = frame[frame.kind != "pooled"]
    diagonal = Truth(truth_dir).geometry(SCENES[0]).clip
    galleries = {"text_to_scene": 3, "scene_to_text": 3, "grounding_retrieval": 12}
    galleries |= {"probed_text_to_scene": 3}
    for row in items.itertuples():
        size = galleries.get(re.sub("_(medr|meanr)$", "", row.metric), diagonal)
        assert row.value == pytest.approx(METRICS[row.metric].worst_in(size)), row
    assert not items.succeeded.any()


def test_undeclared_tasks_have_no_rows(tmp_path, truth_dir):
    frame = scored(
        tmp_path, truth_dir, "answers", fill=lambda out: out.answer(SCENES[0], "q00", "3")
    )
    answers = {name for name, metric in METRICS.items() if metric.task == "answers"}
    assert set(frame.metric) == answers
    first = frame[(frame.scene == SCENES[0]) & (frame["query"] == "") & (frame.subset == "all")]
    assert first.value.tolist() == pytest.approx([1 / 3])


def test_one_bad_scene_fails_alone(tmp_path, truth_dir):
    def fill(out):
        for scene in SCENES:
            good = Truth(truth_dir).geometry(scene).surface[:2000]
            out.points(
                scene, good * (np.nan if scene == SCENES[1] else 1), np.zeros_like(good, np.uint8)
            )

    frame = scored(tmp_path, truth_dir, "points", fill=fill)
    failed = frame[~frame.succeeded]
    assert set(failed.scene) == {SCENES[1]}
    assert (failed.metric == "accuracy_m").any()
    assert frame[(frame.metric == "accuracy_m") & frame.succeeded].value.max() < 0.01


def test_distances_are_clipped_at_the_diagonal(tmp_path, truth_dir):
    def fill(out):
        for scene in SCENES:
            out.points(scene, np.full((5, 3), 1e7), np.zeros((5, 3)))

    frame = scored(tmp_path, truth_dir, "points", fill=fill)
    diagonal = Truth(truth_dir).geometry(SCENES[0]).clip
    values = frame.groupby("metric").value.mean()
    assert values["chamfer_l1_m"] == pytest.approx(diagonal)
    assert values["fscore@10cm"] == 0


def test_sim3_undoes_a_scaled_answer(tmp_path, truth_dir):
    truth = Truth(truth_dir)

    def fill(out):
        for scene in SCENES:
            true = truth.geometry(scene)
            view, row, column = np.nonzero(true.input_depth > 0)
            points = np.concatenate(
                [
                    controls_points(true, index, row[view == index], column[view == index])
                    for index in range(4)
                ]
            )
            out.points(
                scene,
                points * 0.5 + [1, 2, 3],
                np.zeros((len(points), 3)),
                pixels=np.stack([view, row, column], 1),
            )

    values = scored(tmp_path, truth_dir, "points", fill=fill).groupby("metric").value.mean()
    assert values["chamfer_l1_m"] > 1
    assert values["chamfer_l1_sim3_m"] < 0.05
    assert values["fscore@5cm_sim3"] > 0.9


def controls_points(true, index, row, column):
    from metrics.geometry import lift_pixels

    depth = true.input_depth[index, row, column]
    return lift_pixels(depth, row, column, true.input_intrinsics[index], true.input_pose[index])


def test_a_mesh_alone_is_sampled(tmp_path, truth_dir):
    from tests.metrics import toy_truth

    room, inward = toy_truth.box_mesh(toy_truth.room_box())
    mesh = toy_truth.joined(
        [(room, inward[:, ::-1]), *(toy_truth.box_mesh(box) for _, box in toy_truth.BOXES)]
    )

    def fill(out):
        for scene in SCENES:
            out.mesh(scene, *mesh)

    frame = scored(tmp_path, truth_dir, "mesh", fill=fill, mesh_kind="free_boundary")
    values = frame.groupby("metric").value.mean()
    assert values["fscore@5cm"] > 0.9 and values["normal_consistency"] > 0.97
    # The lamp touches the table, so the joined boundary is exact but for those points.
    assert values["mesh_iou"] > 0.98 and values["occupancy_iou"] == values["mesh_iou"]
    assert values["novel_depth_absrel"] < 1e-4


def test_missing_headings_and_scores_are_given_as_reasons(tmp_path, truth_dir):
    def fill(out):
        out.objects(SCENES[0], [{"box": [0, 0, 0, 1, 1, 1], "class": "bed", "score": 1.0}])
        out.relations(SCENES[0], [[0, 1, {"distance": "near"}]])

    frame = scored(tmp_path, truth_dir, "objects", "graph", "given_relations", fill=fill)
    reasons = json.loads((tmp_path / "out.json").read_text())["reasons"]
    for name in ("oriented_map@0.5", "triplet_recall_given@50"):
        assert name not in set(frame.metric) and reasons[name]


def test_predicted_headings_are_scored(tmp_path, truth_dir):
    # Crosswise on the bed: they share 1.0 of 2.2 m2.
    turned = [2.6, 0.5, 0.3, 1.6, 1.0, 0.6, np.pi / 2]

    def fill(out):
        for scene in SCENES:
            box = {"box": turned[:6], "class": "bed", "score": 1.0, "oriented": turned}
            out.objects(scene, [box])

    values = scored(tmp_path, truth_dir, "objects", fill=fill)
    values = values[values.kind == "pooled"].set_index("metric").value
    assert values["object_map@0.5"] == pytest.approx(1 / 4)
    assert values["oriented_map@0.25"] == pytest.approx(1 / 4)
    assert values["oriented_map@0.5"] == 0


def test_wrong_split_is_refused(tmp_path, truth_dir):
    with SubmissionWriter(tmp_path / "s", "m", 0, "other", True, ()):
        pass
    with pytest.raises(InputError, match="name the truth of the same split"):
        score_submission(tmp_path / "s", truth_dir, tmp_path / "out.parquet")


def test_preparing_again_gives_the_same_bytes(tmp_path, truth_dir):
    first = prepare(truth_dir, tmp_path / "a").read_bytes()
    assert prepare(truth_dir, tmp_path / "b").read_bytes() == first
    assert prepare(truth_dir) == truth_dir / PREPARED


def test_the_prepared_file_is_reused_or_written_to_the_cache(tmp_path, truth_dir):
    prepare(truth_dir)
    measured_floors(open_truth(truth_dir, tmp_path))
    assert list(tmp_path.iterdir()) == []
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("geometry.safetensors", "annotations.jsonl"):
        (bare / name).symlink_to(truth_dir / name)
    measured_floors(open_truth(bare, tmp_path / "cache"))
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["toy.safetensors"]
    assert not (bare / PREPARED).exists()


@pytest.mark.parametrize("fault", ["another truth's", "cut short", "old version"])
def test_a_prepared_file_that_does_not_fit_is_written_anew(tmp_path, truth_dir, fault):
    """Whatever its time says: two truths of one split name may share a cache folder."""
    cached = tmp_path / "cache" / "toy.safetensors"
    good = prepare(truth_dir, tmp_path / "good").read_bytes()
    if fault == "another truth's":
        other = toy_truth.write_truth(tmp_path / "other", 1, 300, 100)
        prepare(other, cached)
    elif fault == "cut short":
        prepare(truth_dir, cached)
        cached.write_bytes(good[:-100])
    else:
        tensors = load_file(prepare(truth_dir, cached))
        save_file(tensors | {"version": np.array([1], np.int32)}, cached)
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("geometry.safetensors", "annotations.jsonl"):
        (bare / name).symlink_to(truth_dir / name)
    open_truth(bare, cached.parent)
    assert cached.read_bytes() == good


def test_a_prepared_order_that_lacks_samples_is_refused(truth_dir):
    truth = open_truth(truth_dir)
    scene = truth.geometry(truth.scenes[0])
    prepared = Prepared({"order": np.zeros(len(scene.surface), np.int32)}.__getitem__)
    with pytest.raises(InputError, match="delete it"):
        prepared.ordered(scene)


def test_a_corrupted_ceiling_control_is_reported(oracle_scores, truth_dir, tmp_path):
    frame = pd.read_parquet(oracle_scores)
    frame.loc[frame.metric == "ref_pick", "value"] -= 1e-4
    frame = frame[frame.metric != "sg_accuracy"]
    frame.to_parquet(tmp_path / "corrupted.parquet")
    faults = controls.check_ceiling(tmp_path / "corrupted.parquet", truth_dir, "oracle")
    assert [fault.split(":")[0] for fault in faults] == ["oracle ref_pick", "oracle sg_accuracy"]


def test_chance_is_checked_against_its_closed_form(truth_dir, tmp_path, oracle_scores):
    def run(seed: int) -> Path:
        generator, folder = np.random.default_rng(seed), tmp_path / str(seed)
        with SubmissionWriter(folder, "chance", seed, "toy", True, ("picks",)) as out:
            for scene in SCENES:
                for query in ("r00", "r01", "r02", "r03"):
                    out.grounding(scene, query, [], generator.integers(4))
        score_submission(folder, truth_dir, tmp_path / f"{seed}.parquet")
        return tmp_path / f"{seed}.parquet"

    assert controls.check_chance([run(seed) for seed in range(4)], truth_dir) == []
    assert controls.check_chance([oracle_scores] * 4, truth_dir)


def test_nothing_heavy_is_imported():
    code = (
        "import sys, metrics.score, metrics.controls, metrics.truth;"
        "import metrics.reconstruction.compare_files;"
        "heavy = {'torch', 'transformers', 'matplotlib', 'g2vlm', 'baselines'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
