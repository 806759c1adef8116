"""One training shared by several processes through `accelerate launch`."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from g2vlm.training.launch import command, launch
from g2vlm.training.process_group import ProcessGroup
from metrics.files import InputError
from tests.paths import REPOSITORY

SCRIPT = str(Path(__file__).with_name("shared_training.py"))


def train(toy_study, name, processes, accumulation):
    target = [SCRIPT, str(toy_study), name, str(accumulation)]
    call = [sys.executable, *target] if processes == 1 else command(processes, *target)
    told = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(call, capture_output=True, text=True, timeout=300, env=told)


def test_two_processes_train_the_model_of_one(toy_study):
    alone, shared = train(toy_study, "alone", 1, 2), train(toy_study, "shared", 2, 2)
    assert alone.returncode == shared.returncode == 0, shared.stderr[-3000:]
    weights = [load_file(toy_study / name / "model.safetensors") for name in ("alone", "shared")]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=0, atol=1e-5, msg=name)
    logs = [pd.read_parquet(toy_study / name / "losses.parquet") for name in ("alone", "shared")]
    pd.testing.assert_frame_equal(*logs, rtol=1e-4)
    # Progress is shown once, and only one process wrote.
    assert shared.stdout.count("step 5/5") == 1
    assert not list(toy_study.glob("checkpoint-*/*"))


def test_batches_that_cannot_be_shared_are_one_clear_error():
    assert list(ProcessGroup().parts(3)) == [0, 1, 2]
    group = ProcessGroup()
    group.size, group.rank = 2, 1
    assert list(group.parts(4)) == [1, 3]
    with pytest.raises(InputError, match=r"train\.accumulation: 3 batches .* by 2 processes"):
        group.parts(3)


def test_a_process_that_fails_ends_the_training(toy_study):
    missing = {"config": {}, "method": {}, "results": str(toy_study / "nothing")}
    with pytest.raises(InputError, match="accelerate launch: a process of this training ended"):
        launch(missing, processes=2)
