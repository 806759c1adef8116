"""A file that was cut short or changed after the run is noticed."""

import json
import os
import subprocess
import sys

import pytest

from g2vlm.run.check_results import find_changes
from g2vlm.run.manifest import hash_results, hash_stages
from metrics.files import InputError, sha256_file, write_json

FILES = (
    "scores/full/0/dev_scene.parquet",
    "tables/board.csv",
    "headline.txt",
    "models/full/0/model.safetensors",
    "scenes/val/000.safetensors",
    "predictions/full/0/thresholds.json",
)
SUBMISSION = "predictions/full/0/dev_scene"


@pytest.fixture
def results(tmp_path):
    """A finished run of a few files, with its record."""
    for name in (*FILES, f"{SUBMISSION}/answers.jsonl", f"{SUBMISSION}/geometry.safetensors"):
        path = tmp_path / "cpu" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
    folder = tmp_path / "cpu" / SUBMISSION
    write_json(
        folder / "manifest.json", {"files": {p.name: sha256_file(p) for p in folder.iterdir()}}
    )
    record(tmp_path / "cpu")
    return tmp_path / "cpu"


def record(results):
    write_json(
        results / "manifest.json",
        {
            "format": "g2vlm-experiment",
            "results": hash_results(results, ("scores", "tables")),
            "stage_files": hash_stages(results),
        },
    )


def test_a_run_as_recorded_has_no_changes(results):
    (results / "verification.csv").write_text("old")
    record(results)
    recorded = json.loads((results / "manifest.json").read_text())
    assert set(FILES) <= set(recorded["results"] | recorded["stage_files"])
    assert list(find_changes(results)) == []
    # What was made since, such as a study, is no fault.
    (results / "studies").mkdir()
    (results / "studies" / "differences.csv").write_text("")
    # Nor is a comparison with a newer reference.
    (results / "verification.csv").write_text("new")
    assert list(find_changes(results)) == []


def test_a_recorded_name_does_not_reach_the_terminal_as_it_is(results):
    recorded = json.loads((results / "manifest.json").read_text())
    recorded["results"]["\x1b[2J"] = "0" * 64
    write_json(results / "manifest.json", recorded)
    assert [line.split(":")[0] for line in find_changes(results)] == [f"{results}/\\x1b[2J"]


@pytest.mark.parametrize(
    "name", [*FILES, f"{SUBMISSION}/answers.jsonl", f"{SUBMISSION}/manifest.json"]
)
def test_a_file_cut_short_is_named(results, name):
    path = results / name
    path.write_bytes(path.read_bytes()[:-1])
    (change,) = find_changes(results)
    assert change.startswith(f"{path}: differs from the run's record; remove it and run `make ")


@pytest.mark.parametrize("name", [FILES[0], f"{SUBMISSION}/geometry.safetensors"])
def test_missing_files_and_pipes_are_named(results, name):
    (results / name).unlink()
    (change,) = find_changes(results)
    assert change == f"{results / name}: missing; run `make reproduce` again"
    os.mkfifo(results / name)
    (change,) = find_changes(results)
    assert change.startswith(f"{results / name}: is not a regular file")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no such file; finish the run with `make reproduce`"),
        ("{", "not valid JSON"),
        ("[]", "not the record of a run"),
        ('{"format": "g2vlm-experiment", "results": {}}', "records no `stage_files`"),
        (
            '{"format": "g2vlm-experiment", "results": {"../x": "0"}, "stage_files": {}}',
            "`results` holds '../x', not a file of the run",
        ),
        (
            '{"format": "g2vlm-experiment", "results": {"/etc/passwd": "0"}, "stage_files": {}}',
            "not a file of the run",
        ),
    ],
)
def test_a_record_that_cannot_be_used_is_refused(results, text, words):
    path = results / "manifest.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(InputError) as fault:
        list(find_changes(results))
    assert str(fault.value).startswith(f"{path}: ") and words in str(fault.value)


def test_the_exit_status_tells_whether_all_is_well(results):
    call = [sys.executable, "-m", "g2vlm.run.check_results", str(results)]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0 and ": no faults in " in done.stdout
    (results / FILES[0]).write_text("")
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout.startswith(f"{results / FILES[0]}: differs")
    (results / "manifest.json").unlink()
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
