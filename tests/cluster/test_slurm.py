"""The study on Slurm: the profile's requests, and the same results as without it."""

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml

from metrics.files import sha256_file
from tests.cluster import one_node
from tests.workflow.tiny import ROOT, TINY, clone

LOCK = ROOT / "profiles" / "slurm" / "requirements.lock"
# What a cluster of one machine without accounting needs beyond the profile, and shorter waits.
OPTIONS = ["--slurm-no-account", "--slurm-status-command", "squeue", "--latency-wait", "5"]
OPTIONS += ["--slurm-init-seconds-before-status-checks", "2", "--jobs", "8"]
SCORES = [f"results/tiny/scores/full/0/{split}.parquet" for split in ("dev_scene", "dev_asset")]

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        bool(one_node.missing()),
        reason=f"needs {', '.join(one_node.missing())}: apt-get install slurm-wlm munge",
    ),
    pytest.mark.skipif(shutil.which("uv") is None, reason="needs uv, to install the plugin"),
    pytest.mark.skipif(not (ROOT / "data").is_dir(), reason="needs data/: make data"),
]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An interpreter that sees this environment and, on top of it, the executor plugin alone."""
    folder = tmp_path_factory.mktemp("plugin")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "below.pth").write_text(sysconfig.get_path("purelib") + "\n")
    call = ["uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--requirement"]
    subprocess.run([*call, str(LOCK), "--python", str(python)], check=True)
    return python


def small(root):
    """A clone whose experiment has one method and one seed."""
    clone(root)
    (root / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"methods": ["full"], "seeds": 1}))
    return root


def run(python, root, *options, env=None):
    """Run everything that the scores of the full model need."""
    call = [python, "-m", "snakemake", *SCORES, "--configfile", "tiny.yaml", *options]
    done = subprocess.run(call, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]


def hashes(root):
    """Return the sha256 of the weights and of the scores."""
    made = [*SCORES, "results/tiny/models/full/0/model.safetensors"]
    return {name: sha256_file(root / name) for name in made}


def by_rule(jobs):
    """Return what Slurm gave the jobs of each rule, from the comments that the plugin writes."""
    jobs_by_rule = {}
    for job in jobs:
        rule = job["Comment"].removeprefix("rule_").split("_wildcards_")[0]
        jobs_by_rule.setdefault(rule, []).append(job)
    return jobs_by_rule


def asked_for_a_gpu(job):
    """Return whether one GPU was requested; versions of Slurm name it differently."""
    asked = [value for key, value in job.items() if key.lower().startswith(("tres", "reqtres"))]
    return any(re.search(r"gpu[:=]1\b", value) for value in asked)


def test_jobs_on_slurm_get_the_requested_resources_and_give_the_same_results(python, tmp_path):
    there, here = small(tmp_path / "there"), small(tmp_path / "here")
    with one_node.running(gpus=1) as slurm:
        run(python, there, "--profile", "profiles/slurm", *OPTIONS, env=slurm.environment)
        jobs = by_rule(slurm.jobs())
    assert all(job["JobState"] == "COMPLETED" for group in jobs.values() for job in group)
    assert {rule: len(group) for rule, group in jobs.items()} == {
        "render": 4,
        "encode_images": 4,
        "texts": 1,
        "encode_texts": 1,
        "training_arrays": 1,
        "truth": 2,
        "prepare_truth": 2,
        "train": 1,
        "predict": 1,
        "score": 1,
    }
    for rule, group in jobs.items():
        wants_gpu = rule in ("encode_images", "encode_texts", "train", "predict")
        assert all(asked_for_a_gpu(job) == wants_gpu for job in group), rule
        assert {job["NumCPUs"] for job in group} == {"1"}, rule
    assert {job["TimeLimit"] for job in jobs["train"]} == {"08:00:00"}
    assert {job["MinMemoryNode"] for job in jobs["render"]} == {"1000M"}
    run(sys.executable, here, "--cores", "2")
    assert hashes(there) == hashes(here)


def test_no_process_of_slurm_remains(tmp_path):
    with one_node.running() as slurm:
        job = slurm.call(
            "sbatch", "--parsable", "--output=/dev/null", "--wrap", "sleep 300"
        ).strip()
        assert job.isdecimal() and Path(slurm.folder).is_dir()
        pids = [int((slurm.folder / name).read_text()) for name in ("slurmctld.pid", "slurmd.pid")]
    assert not slurm.folder.exists()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
