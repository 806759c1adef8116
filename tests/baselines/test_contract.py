"""The contract, tested on every folder under baselines/."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import baselines
from baselines.__main__ import run_baseline, write_skeleton
from baselines.contract import (
    DEFAULTS,
    TASKS,
    Context,
    Inputs,
    contract_faults,
    load,
    names,
    reasons,
)
from g2vlm.run.config import declared_baselines
from metrics.files import InputError, read_json
from metrics.reconstruction.score import has_pixels
from metrics.submission.reader import Submission
from metrics.submission.validate import validate
from metrics.truth import Truth

SPLITS = ["val", "dev_scene"]


def hashes(folder: Path) -> dict[str, str]:
    return read_json(folder / "manifest.json")["files"]


def test_the_baselines_of_the_study_are_found() -> None:
    wanted = {"tsdf_fusion", "backprojection", "oracle", "chance", "text_only", "majority"}
    assert wanted <= set(names())


@pytest.mark.parametrize("name", names())
def test_writes_a_valid_submission_for_every_split(
    name: str, experiment: Path, weights: Callable[[str], dict], tmp_path: Path
) -> None:
    run_baseline(name, experiment, SPLITS, 0, tmp_path, weights(name))
    for split in SPLITS:
        truth = Truth(experiment / "truth" / split)
        assert validate(tmp_path / split, truth).faults == []
        assert has_pixels(Submission(tmp_path / split), truth.scenes) == load(name).PIXELS
        manifest = read_json(tmp_path / split / "manifest.json")
        assert manifest["method"] == name
        assert set(manifest["produces"]) == set(load(name).PRODUCES)
        assert manifest["cost"]["seconds_per_scene"] > 0


@pytest.mark.parametrize("name", names())
def test_same_seed_same_bytes_and_another_seed_only_where_declared(
    name: str, experiment: Path, weights: Callable[[str], dict], tmp_path: Path
) -> None:
    for run, seed in (("first", 0), ("again", 0), ("other", 1)):
        run_baseline(name, experiment, ["val"], seed, tmp_path / run, weights(name))
    first, again, other = (hashes(tmp_path / run / "val") for run in ("first", "again", "other"))
    assert first == again
    assert (first != other) == load(name).STOCHASTIC


@pytest.mark.parametrize("name", names())
def test_the_workflow_reads_its_declarations_without_importing_it(name: str) -> None:
    declared = declared_baselines()[name]
    method = load(name)
    for constant in (
        "STOCHASTIC",
        "USES_TRUTH",
        "PRETRAINED",
        "THREADS",
        "USES_GPU",
        "PIXELS",
        "GEOMETRY_INPUTS",
    ):
        assert declared.get(constant, DEFAULTS[constant]) == getattr(method, constant)


@pytest.mark.parametrize("name", names())
def test_every_task_is_produced_or_has_a_reason(name: str) -> None:
    method = load(name)
    assert sorted([*method.PRODUCES, *reasons(method)]) == sorted(TASKS)
    assert all(reasons(method).values())


@pytest.mark.parametrize("name", [name for name in names() if load(name).USES_TRUTH])
def test_controls_without_truth_raise_a_clear_error(
    name: str, experiment: Path, tmp_path: Path
) -> None:
    from g2vlm.scenes.dataset import SceneStore

    store = SceneStore(experiment / "scenes" / "val")
    context = Context(name, 0, tmp_path, {"val": Inputs(store)}, train=store)
    with pytest.raises(InputError, match="needs the truth"):
        load(name).predict(context)


def test_methods_cannot_reach_truth_through_their_inputs(experiment: Path) -> None:
    from g2vlm.scenes.dataset import SceneStore

    inputs = Inputs(SceneStore(experiment / "scenes" / "val"))
    public = {name for name in dir(inputs) if not name.startswith("_")}
    assert public == {"ids", "inputs"}


def test_a_bad_module_is_described() -> None:
    module = ModuleType("bad")
    assert "DESCRIPTION is missing" in contract_faults(module)
    module.__dict__.update(
        DESCRIPTION="",
        PRODUCES=("points", "dreams"),
        REASONS={"points": "both", "nightmares": "unknown"},
        STOCHASTIC=False,
        MESH_KIND="solids",
        USES_TRUTH=False,
        predict=lambda context: None,
    )
    faults = " ".join(contract_faults(module))
    for part in ("dreams", "nightmares", "produced and has a reason", "MESH_KIND"):
        assert part in faults


def test_unknown_baseline_and_unrendered_split_are_one_line(experiment: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load("astrology")
    with pytest.raises(InputError, match="render it first"):
        run_baseline("backprojection", experiment, ["nowhere"], 0)


def test_a_new_baseline_fulfils_the_contract_at_once(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_skeleton("mean_room", tmp_path)
    assert sorted(path.name for path in (tmp_path / "mean_room").iterdir()) == [
        "__init__.py",
        "method.py",
    ]
    assert len((tmp_path / "mean_room" / "method.py").read_text().splitlines()) < 40
    # As if the folder were under baselines/.
    monkeypatch.setattr(baselines, "__path__", [*baselines.__path__, str(tmp_path)])
    monkeypatch.setattr("baselines.contract.names", lambda: ["mean_room"])
    run_baseline("mean_room", experiment, ["val"], 0, tmp_path / "out")
    truth = Truth(experiment / "truth" / "val")
    assert validate(tmp_path / "out" / "val", truth).faults == []


@pytest.mark.parametrize("name", ["Room", "1st", "a-b", "class", "../up", "", "majority", "full"])
def test_a_name_that_cannot_be_used_is_refused_and_leaves_nothing(name: str) -> None:
    before = sorted(Path("baselines").iterdir())
    with pytest.raises(InputError, match="baseline"):
        write_skeleton(name)
    assert sorted(Path("baselines").iterdir()) == before


def test_the_guide_shows_what_a_new_baseline_holds() -> None:
    guide = Path("docs/add-a-baseline.md").read_text(encoding="utf-8")
    code = Path("baselines/skeleton/method.py.in").read_text(encoding="utf-8")
    assert code in guide
