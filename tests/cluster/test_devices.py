"""GPUs handed to jobs: one job a device, whatever else runs on the machine."""

import os
import signal
import subprocess
import sys
import uuid

import pytest

from g2vlm.run.devices import LOCKS, assign, available, parse_listing, reserve, visible
from metrics.files import InputError

TWO = "GPU 0: H100 (UUID: GPU-aaaa-1)\nGPU 1: H100 (UUID: GPU-bbbb-2)\n"
SPLIT = (
    "GPU 0: A100 (UUID: GPU-aaaa-1)\n"
    "  MIG 1g.5gb      Device  0: (UUID: MIG-cccc-3)\n"
    "  MIG 1g.5gb      Device  1: (UUID: MIG-dddd-4)\n"
    "GPU 1: A100 (UUID: GPU-bbbb-2)\n"
)
# A job that prints its device and when it held it. `{gpu}` is its resource.
JOB = """
import os, sys, time
from types import SimpleNamespace
from g2vlm.run.job import job
log = sys.argv[1]
parts = dict(threads=1, rule="train", wildcards=[], log=[log], resources={{"gpu": {gpu}}})
parts["config"] = {{"experiment": "cpu"}}
with job(SimpleNamespace(**parts)):
    begun = time.monotonic()
    time.sleep({seconds})
    print("had", os.environ["CUDA_VISIBLE_DEVICES"] or "none", begun, time.monotonic())
"""


def test_a_listing_has_whole_gpus_and_parts_of_split_gpus():
    assert parse_listing(TWO) == ("GPU-aaaa-1", "GPU-bbbb-2")
    assert parse_listing(SPLIT) == ("MIG-cccc-3", "MIG-dddd-4", "GPU-bbbb-2")
    assert parse_listing("No devices were found\n") == ()


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (None, ["GPU-aaaa-1", "GPU-bbbb-2"]),
        ("1", ["GPU-bbbb-2"]),
        ("1,0", ["GPU-bbbb-2", "GPU-aaaa-1"]),
        ("GPU-b", ["GPU-bbbb-2"]),
        ("GPU-", []),
        ("0,7,1", ["GPU-aaaa-1"]),
        ("0,0", ["GPU-aaaa-1"]),
        ("-1", []),
        ("", []),
    ],
)
def test_visible_devices_are_those_that_cuda_would_use(value, left):
    environment = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
    assert list(visible(parse_listing(TWO), environment)) == left


def test_more_gpus_than_there_are_is_one_clear_error(tmp_path):
    with pytest.raises(InputError, match="asks for 3 GPUs and 2 can be used here"):
        reserve(3, parse_listing(TWO), locks=tmp_path)


def test_a_lock_is_not_followed_through_a_link(tmp_path):
    (tmp_path / "g2vlm-GPU-aaaa-1.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        reserve(1, ["GPU-aaaa-1"], locks=tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def start_taker(folder, count):
    code = (
        "from pathlib import Path; from g2vlm.run.devices import reserve; "
        f"print(*reserve({count}, ['GPU-a', 'GPU-b'], Path({str(folder)!r}), 0.02), flush=True); "
        "input()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code], text=True, **pipes)


def test_a_device_is_free_again_when_its_process_is_killed(tmp_path):
    first, second = (start_taker(tmp_path, 1) for _ in range(2))
    try:
        devices = {first.stdout.readline().strip(), second.stdout.readline().strip()}
        assert devices == {"GPU-a", "GPU-b"}
        both = start_taker(tmp_path, 2)
        assert both.stderr.readline() == "waiting for 2 free of 2 GPUs\n"
        os.kill(first.pid, signal.SIGKILL)
        # The job that waits for two must not keep the one that is free.
        one = start_taker(tmp_path, 1)
        assert one.stdout.readline().strip() in devices
        for process in (one, second):
            process.communicate("\n", timeout=20)
        assert both.stdout.readline().split() == ["GPU-a", "GPU-b"]
        both.communicate("\n", timeout=20)
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    """A machine whose nvidia-smi lists two GPUs; yields their UUIDs."""
    devices = [f"GPU-{uuid.uuid4()}" for _ in range(2)]
    rows = "".join(f"GPU {n}: Fake (UUID: {device})\n" for n, device in enumerate(devices))
    command = tmp_path / "bin" / "nvidia-smi"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\nprintf '%s' '{rows}'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield devices
    for device in devices:
        (LOCKS / f"g2vlm-{device}.lock").unlink(missing_ok=True)


def start_job(folder, name, gpu, seconds=0.3):
    call = [sys.executable, "-c", JOB.format(gpu=gpu, seconds=seconds), str(folder / name)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def had(process):
    """Return a finished job's device and the times at which it got and left it."""
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    device, begun, ended = output.split(" had ")[-1].split()
    return device, float(begun), float(ended)


def test_no_two_jobs_are_ever_on_one_gpu(two_gpus, tmp_path):
    jobs = [start_job(tmp_path, f"{number}.log", gpu=1) for number in range(6)]
    used = [had(job) for job in jobs]
    assert {device for device, _, _ in used} == set(two_gpus)
    for device in two_gpus:
        spans = sorted((begun, ended) for name, begun, ended in used if name == device)
        assert all(
            left <= entered for (_, left), (entered, _) in zip(spans, spans[1:], strict=False)
        )


def test_a_job_that_asks_for_no_gpu_sees_none(two_gpus, tmp_path):
    assert had(start_job(tmp_path, "none.log", gpu=0, seconds=0))[0] == "none"


def test_a_machine_without_a_gpu_runs_the_job_on_its_processor(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    available.cache_clear()
    try:
        assign(1)
    finally:
        available.cache_clear()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert "runs on the processor" in capsys.readouterr().err
