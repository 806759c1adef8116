"""What the table of methods says a method does not read changes none of its predictions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from g2vlm.inference.calibrate import Thresholds
from g2vlm.inference.network import Network
from g2vlm.inference.predict import SplitWriter, missing_tasks, write_scene
from g2vlm.models.config import Switches, method_switches
from g2vlm.training.method_table import PROPERTIES
from tests.g2vlm.inference.conftest import Case, write_model
from tests.g2vlm.models.build import METHODS, read_method

NAMES = [path.stem for path in METHODS]
TASKS = (
    *("points", "mesh", "occupancy", "objects", "graph", "given_relations", "grounding", "picks"),
    *("retrieval", "grounding_retrieval", "answers", "captions", "probed_retrieval"),
)


class Recorder:
    """Keeps what is written in place of a `SubmissionWriter`."""

    folder = "recorded"

    def __init__(self, produces: list[str]) -> None:
        self.produces, self.written = produces, []

    def __getattr__(self, task: str) -> Any:
        return lambda *values: self.written.append((task, [flat(value) for value in values]))


def flat(value: Any) -> Any:
    """Return a value that can be compared by `==`."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, list | tuple):
        return [flat(one) for one in value]
    if isinstance(value, dict):
        return {key: flat(one) for key, one in value.items()}
    return value


def predictions(network: Network, case: Case, inputs: Any) -> list[Any]:
    """Everything that a model predicts for one room."""
    reasons = missing_tasks(network.config)
    writer = Recorder([task for task in TASKS if task not in reasons])
    split = SplitWriter(network, writer)
    scene = network.encode(inputs, case.images[inputs.scene])
    write_scene(writer, scene, Thresholds(smoothing=0.5), 0.16)
    split.add(scene)
    split.close()
    return writer.written


def perturbed(inputs: Any, row: str) -> Any:
    """A room whose input of a row of the table is another one."""
    random = np.random.default_rng(0)
    if row == "RGB views":
        return replace(inputs, rgb=255 - inputs.rgb)
    if row == "partial point cloud":
        return replace(
            inputs, partial=random.random((512, 6)).astype(np.float32) * [3, 1, 2, 1, 1, 1]
        )
    if row == "camera poses":
        pose = inputs.pose.copy()
        pose[1:, :3, 3] += 0.2
        return replace(inputs, pose=pose)
    if row == "camera calibration":
        return replace(inputs, intrinsics=inputs.intrinsics * np.float32(1.1))
    if row == "sentences":
        return replace(
            inputs,
            references=[(key, "a lamp") for key, _ in inputs.references],
            questions=[(q[0], "is there a lamp", *q[2:]) for q in inputs.questions],
        )
    # The sensor's depth, and with it the normals.
    scale = random.uniform(0.9, 1.1, inputs.depth.shape).astype(np.float32)
    return replace(inputs, depth=inputs.depth * scale)


@pytest.mark.parametrize("method", NAMES)
def test_a_method_reads_the_inputs_of_the_table_and_no_other(case: Case, tmp_path, method):
    values = method_switches(read_method(method))
    network = Network(write_model(tmp_path / method, **values), case.texts)
    inputs = case.store.inputs("room-0")
    before = predictions(network, case, inputs)
    assert predictions(network, case, inputs) == before
    for row, reads in PROPERTIES["input"].items():
        changed = predictions(network, case, perturbed(inputs, row)) != before
        expected = reads(Switches(**values))
        # Normals come from the depth, so a method without either is asked once.
        assert changed == expected, row
