"""The graph of jobs, built from a copy of the tree with stand-in data."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path.cwd()
PARTS = ("g2vlm", "metrics", "baselines", "config", "workflow", "profiles", "Snakefile")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the code with small stand-ins for data/, pinned."""
    root = tmp_path_factory.mktemp("clone")
    skip = shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        copy = shutil.copy2 if (ROOT / part).is_file() else shutil.copytree
        copy(ROOT / part, root / part, **({} if copy is shutil.copy2 else {"ignore": skip}))
    (root / "data" / "real_rooms").mkdir(parents=True)
    lines = ("scenes.jsonl", "language.jsonl")
    for name in (*lines, "models.csv", *(f"real_rooms/{name}" for name in lines)):
        (root / "data" / name).write_text("{}\n")
    pin = "from g2vlm.run.data import write_manifest; write_manifest()"
    subprocess.run([sys.executable, "-c", pin], cwd=root, check=True)
    (root / "data.dvc").write_text("outs:\n- md5: 0123.dir\n  path: data\n")
    return root


def snakemake(root, *arguments):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    call = [sys.executable, "-m", "snakemake", *arguments]
    return subprocess.run(call, cwd=root, capture_output=True, text=True, env=environment)


def job_counts(done):
    assert done.returncode == 0, done.stderr
    table = (done.stdout + done.stderr).split("Job stats:")[-1]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}


def test_a_dry_run_lists_the_jobs_of_smoke(clone):
    jobs = job_counts(snakemake(clone, "-n", "--configfile", "config/smoke.yaml"))
    assert jobs["train"] == jobs["predict"] == 20
    assert jobs["render"] == 5 and jobs["encode_texts"] == 1 and jobs["oracle"] == 1
    assert jobs["score"] == jobs["predict"] + sum(
        count for name, count in jobs.items() if (clone / "baselines" / name).is_dir()
    )


def test_rooms_of_none_are_left_out_of_every_job(clone):
    """data/ may be built without the captured rooms."""
    files = ("config/smoke.yaml", "config/without/real_rooms.yaml")
    jobs = job_counts(snakemake(clone, "-n", "--configfile", *files))
    assert jobs["truth"] == 3 and jobs["encode_images"] == 4


def test_a_new_baseline_is_found_by_its_folder(clone):
    new, old = clone / "baselines" / "mine", clone / "baselines" / "backprojection"
    shutil.copytree(old, new)
    try:
        rules = (new / "rules.smk").read_text().replace("backprojection", "mine")
        (new / "rules.smk").write_text(rules)
        jobs = job_counts(snakemake(clone, "-n", "--configfile", "config/smoke.yaml"))
    finally:
        shutil.rmtree(new)
    assert jobs["mine"] == 1


def test_a_pretrained_baseline_runs_where_its_weights_are_given(clone, tmp_path):
    without = job_counts(snakemake(clone, "-n", "--configfile", "config/smoke.yaml"))
    assert not {"hf_vlm", "hf_depth", "clip_retrieval"} & set(without)
    (tmp_path / "config.json").write_text("{}")
    given = f"pretrained={{hf_depth: {tmp_path}}}"
    call = ("-n", "--configfile", "config/smoke.yaml", "--config", given)
    jobs = job_counts(snakemake(clone, *call))
    assert jobs["hf_depth"] == 1 and jobs["score"] == without["score"] + 1
    assert not {"hf_vlm", "clip_retrieval"} & set(jobs)


def test_tables_alone_ask_for_no_drawing(clone):
    jobs = job_counts(snakemake(clone, "-n", "tables", "--configfile", "config/smoke.yaml"))
    assert jobs["tables"] == jobs["compare"] == 1
    assert not {"figures", "gallery", "report", "manifest"} & set(jobs)


def test_verify_needs_a_reference_and_the_report_shows_it(clone, tmp_path):
    lost = snakemake(clone, "-n", "verify", "--configfile", "config/smoke.yaml")
    words = "results/reference/smoke: no reference of this experiment; `make reference`"
    assert lost.returncode != 0 and words in lost.stdout + lost.stderr
    root = tmp_path / "with"
    shutil.copytree(clone, root)
    reference = root / "results" / "reference" / "smoke"
    reference.mkdir(parents=True)
    for name in ("estimates.csv", "seeds.csv", "manifest.json"):
        (reference / name).write_text("{}\n")
    jobs = job_counts(snakemake(root, "-n", "report", "--configfile", "config/smoke.yaml"))
    assert jobs["verification"] == jobs["report"] == 1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("echo 'sedes: 3' >> config/smoke.yaml", "config/smoke.yaml: unknown key `sedes`"),
        ("echo 'pretrained: {hf_vlm: gone}' >> config/smoke.yaml", "gone: no such folder; give"),
        ("echo 'pretrained: {hf_vml: .}' >> config/smoke.yaml", "did you mean `hf_vlm`?"),
        ("echo x >> data/models.csv", "data/models.csv: differs from data.manifest.json"),
        ("rm -r data", "data/: not built yet; run `make data`"),
        ("rm config/methods/full.yaml", "full.yaml: no such method"),
    ],
)
def test_what_is_wrong_is_one_line(clone, tmp_path, spoil, words):
    root = tmp_path / "spoilt"
    shutil.copytree(clone, root)
    subprocess.run(spoil, shell=True, cwd=root, check=True)
    done = snakemake(root, "-n", "--configfile", "config/smoke.yaml")
    errors = [row for row in done.stderr.splitlines() if row.startswith("error: ")]
    assert done.returncode != 0 and len(errors) == 1 and words in errors[0]
    assert "Traceback" not in done.stderr


def test_a_dry_run_takes_no_lock_and_a_held_lock_refuses_a_run(clone):
    hold = "from g2vlm.run.lock import hold; kept = hold('.snakemake/one-run.lock'); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    holder = subprocess.Popen([sys.executable, "-c", f"{hold}"], cwd=clone, **pipes)
    try:
        lock = clone / ".snakemake" / "one-run.lock"
        while not (lock.exists() and lock.read_text().strip()):
            assert holder.poll() is None
        assert snakemake(clone, "-n").returncode == 0
        refused = snakemake(clone, "--cores", "1", "reproduce")
    finally:
        holder.kill()
        holder.wait()
    assert refused.returncode != 0
    assert f"another snakemake (process {holder.pid}) is at work" in refused.stderr
