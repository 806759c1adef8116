"""The cost of a larger study, from manifests whose costs are known."""

import argparse
import json
import subprocess
import sys

import pytest

from benchmarks.scale import STAGES, Study, estimate, fit_line, resized, table
from metrics.files import InputError

FIXED_SECONDS, FIXED_MB, SLOPE = 5.0, 200.0, 1e-3


def config(scenes, methods=("full", "other"), seeds=2):
    # Sorted by name, as a manifest's JSON is: splits must be looked up by name, not by position.
    splits = {"dev_asset": scenes, "dev_scene": scenes, "train": 5 * scenes, "val": scenes // 2}
    return {
        "data": {"splits": splits, "scenes_per_shard": 12},
        "render": {"width": 40, "height": 30},
        "methods": list(methods),
        "seeds": seeds,
        "train": {"stage1_steps": 3, "stage2_steps": 7, "batch_scenes": 2, "accumulation": 1},
        "predict": {"splits": ["val", "dev_scene", "dev_asset"]},
        "score": {"splits": ["dev_scene", "dev_asset"]},
    }


def manifest(scenes):
    """A run whose every job costs a fixed part and a part in proportion to its units."""
    study = Study.of(config(scenes))
    jobs = {"predict/chance-0": {"cpu_seconds": 1e6, "peak_memory_mb": 1e6}}
    for stage in STAGES.values():
        memory = (stage.memory or stage.work)(study)
        for name, units in stage.work(study).items():
            jobs[name] = {
                "cpu_seconds": FIXED_SECONDS + SLOPE * units,
                "peak_memory_mb": FIXED_MB + SLOPE * memory[name],
            }
    disk = {stage.folder: stage.disk(study) for stage in STAGES.values() if stage.disk}
    return {"config": config(scenes), "jobs": jobs, "sizes": disk}


def test_known_costs_are_found_again_at_another_size():
    target = Study.of(config(700, methods=[f"m{n}" for n in range(5)], seeds=3))
    estimates = estimate([manifest(10), manifest(40)], target)
    for name, stage in STAGES.items():
        work = list(stage.work(target).values())
        if name in ("train", "present"):
            continue  # the same number of steps in both runs: nothing tells the fixed part
        hours = sum(FIXED_SECONDS + SLOPE * units for units in work) / 3600
        assert estimates.loc[name].hours == pytest.approx(hours), name
        assert estimates.loc[name].jobs == len(work)
        largest = FIXED_MB + SLOPE * max((stage.memory or stage.work)(target).values())
        assert estimates.loc[name].memory_gb == pytest.approx(largest / 1024), name
    assert estimates.loc["train"].memory_gb == pytest.approx((FIXED_MB + SLOPE * 3500) / 1024)
    assert estimates.loc["predict"].disk_gb == pytest.approx(15 * 1750 / 1e9)


def test_jobs_are_those_of_the_workflow():
    study = Study.of(config(10))
    assert sum(study.shards().values()) == study.scenes(study.splits) == 75
    assert study.shards()["train-004"] == 2
    assert list(STAGES["truth"].work(study)) == [f"truth/{s}" for s in study.answered]


def test_one_size_alone_is_scaled_in_proportion():
    assert fit_line([(4, 2.0), (4, 4.0)])([0, 1]) == pytest.approx([0.0, 0.75])


def test_costs_that_decrease_with_size_count_as_constant():
    assert fit_line([(1, 4.0), (2, 2.0)])([0, 1]) == pytest.approx([3.0, 3.0])


def test_sizes_from_the_command_line_replace_those_of_the_run():
    options = argparse.Namespace(train=100, val=None, dev=7, methods=50, seeds=10, steps=None)
    run = config(10)
    run["data"]["splits"]["real_rooms"] = 5
    study = resized(Study.of(run), options)
    synthetic = {"train": 100, "val": 5, "dev_scene": 7, "dev_asset": 7}
    assert study.splits == synthetic | {"real_rooms": 5}
    assert len(study.runs) == 500 and study.steps == 10


def test_an_unfinished_run_is_one_clear_error():
    run = manifest(10)
    del run["jobs"]["compare"]
    with pytest.raises(InputError, match="no job of the stage `compare`"):
        estimate([run], Study.of(config(10)))


def test_the_command_prints_a_row_a_stage_and_their_sum(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps(manifest(10)))
    call = [sys.executable, "-m", "benchmarks.scale", str(tmp_path), "--methods", "3"]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [row.split("|")[1].strip(" †") for row in done.stdout.splitlines()]
    assert rows == ["stage", "---", *STAGES, "all"]
    costs = estimate([manifest(10)], Study.of(config(10)))
    assert table(costs).count("\n") == len(STAGES) + 2 and "†" not in table(costs)


def test_a_stage_measured_at_one_smaller_size_is_marked_as_a_bound():
    larger = estimate([manifest(10)], Study.of(config(20)))
    marked = set(larger.index[larger["bound"]])
    assert "compare" in marked and "| compare † |" in table(larger)
    # Shards of several sizes tell fixed from growing; a training's steps did not change.
    assert not marked & {"render", "train", "present"}
