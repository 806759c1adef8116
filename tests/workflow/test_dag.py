"""The graph of jobs, built from a copy of the tree with small data."""

import hashlib
import os
import re
import shutil
import subprocess
import sys

import pytest

from g2vlm.run import seal
from g2vlm.scenes.split_names import SEALED
from tests.paths import REPOSITORY
from tests.workflow.tiny import PARTS, ROOT

STUDIES = ("data_efficiency", "loss_balance", "robustness", "subgroups", "tuning")
# What a baseline with an environment of its own brings.
OWN_RULE = """
rule mine:
    input:
        **baseline_inputs("mine"),
    output:
        submission("mine"),
    log:
        f"{RESULTS}/logs/predict/mine-{{seed}}.log",
    conda:
        "environment.yaml"
    params:
        name="mine",
        splits=PREDICTED,
        seed=config["seed"],
        code=baseline_code("mine"),
    script:
        "../../workflow/scripts/baseline.py"


if SEALED_SPLITS:

    use rule mine as mine_sealed with:
        input:
            **baseline_inputs("mine", SEALED_SPLITS),
        output:
            submission("mine", SEALED_SPLITS),
        log:
            f"{RESULTS}/logs/predict_sealed/mine-{{seed}}.log",
        params:
            splits=SEALED_SPLITS,
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the code with a small data/, pinned."""
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


@pytest.fixture(scope="module")
def opened(clone, tmp_path_factory):
    """The clone after the opening of its seal, with a nonce of these tests."""
    root = tmp_path_factory.mktemp("after") / "clone"
    shutil.copytree(clone, root)
    nonce, digest = "5e" * 32, "d1" * 32
    record = seal.Seal(
        seal.OPENED,
        hashlib.sha256(nonce.encode()).hexdigest(),
        digest,
        "c0" * 20,
        "2026-12-01",
        seal.method_hashes(root),
        "2026-12-02",
        nonce,
        seal.derive_seed(digest, nonce),
    )
    seal.write_seal(record, root / seal.RECORD)
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
    assert jobs["train"] == jobs["predict"] == 22
    assert jobs["render"] == 5 and jobs["encode_texts"] == 1
    # Sixteen baselines need no weights; chance and random_of_class run with both seeds.
    assert jobs["baseline"] == 18
    assert jobs["score"] == jobs["predict"] + jobs["baseline"]
    # One job scores both seeds of a method, one all controls.
    assert jobs["gate_scores"] == 11
    assert jobs["gate"] == jobs["gate_controls"] == jobs["gate_truth"] == 1


def test_the_gate_scores_train_and_val_alone(clone):
    jobs = job_counts(snakemake(clone, "-n", "gate", "--configfile", "config/smoke.yaml"))
    assert jobs["gate"] == jobs["gate_truth"] == 1 and jobs["gate_scores"] == 11
    assert not {"score", "compare", "controls"} & jobs.keys()
    rule = (REPOSITORY / "workflow" / "rules" / "gate.smk").read_text(encoding="utf-8")
    assert "SCORED" not in rule


def test_gate_thresholds_and_studies_read_no_test_room(opened):
    """No job that they rest on, directly or not, names a split of the sealed test."""
    call = ("-n", "gate", *STUDIES, "--configfile", "config/smoke.yaml", "--quiet", "host")
    done = snakemake(opened, *call)
    jobs = job_counts(done)
    assert all(jobs[name] == 1 for name in ("gate", *STUDIES))
    assert jobs["predict"] >= 22 and jobs["calibrate"] and jobs["evaluate"] and jobs["score"]
    text = done.stdout + done.stderr
    assert "thresholds.json" in text and "studies/scores/dev_scene" in text
    assert re.findall("|".join((*SEALED, "sealed")), text) == []


def test_an_opened_seal_adds_jobs_of_the_test_rooms_and_changes_no_other(clone, opened):
    before, after = (
        job_counts(snakemake(root, "-n", "--configfile", "config/smoke.yaml"))
        for root in (clone, opened)
    )
    after.pop("total")
    more = {name: count - before.get(name, 0) for name, count in after.items()}
    splits = ("render", "encode_images", "truth", "prepare_truth")
    assert {name: count for name, count in more.items() if count} == {
        **dict.fromkeys(("sealed_rooms", "sealed_texts", "encode_texts"), 1),
        **dict.fromkeys(splits, len(SEALED)),
        **{f"{name}_sealed": before[name] for name in ("predict", "baseline", "score")},
    }
    assert before.keys() < after.keys() | {"total"}


def test_a_baseline_with_a_rule_of_its_own_predicts_the_test_rooms(opened):
    new = opened / "baselines" / "mine"
    shutil.copytree(opened / "baselines" / "backprojection", new)
    (new / "rules.smk").write_text(OWN_RULE)
    target = "results/smoke/predictions/mine/0/test_shift/manifest.json"
    try:
        jobs = job_counts(snakemake(opened, "-n", target, "--configfile", "config/smoke.yaml"))
    finally:
        shutil.rmtree(new)
    assert jobs["mine_sealed"] == 1 and not {"mine", "predict"} & jobs.keys()


def test_without_captured_rooms_no_job_reads_them(clone):
    """data/ may be built without the captured rooms."""
    files = ("config/smoke.yaml", "config/without/real_rooms.yaml")
    jobs = job_counts(snakemake(clone, "-n", "--configfile", *files))
    assert jobs["truth"] == 3 and jobs["encode_images"] == 4


def test_a_new_baseline_is_found_by_its_folder(clone):
    before = job_counts(snakemake(clone, "-n", "--configfile", "config/smoke.yaml"))
    new = clone / "baselines" / "mine"
    shutil.copytree(clone / "baselines" / "backprojection", new)
    try:
        jobs = job_counts(snakemake(clone, "-n", "--configfile", "config/smoke.yaml"))
        own = ("-n", "results/smoke/predictions/mine/0/val/manifest.json")
        done = snakemake(clone, *own, "--configfile", "config/smoke.yaml")
        (new / "rules.smk").write_text(OWN_RULE)
        special = job_counts(snakemake(clone, "-n", "--configfile", "config/smoke.yaml"))
    finally:
        shutil.rmtree(new)
    more = {"baseline": 1, "score": 1, "total": 2}
    assert jobs == before | {name: before[name] + count for name, count in more.items()}
    assert job_counts(done)["baseline"] == 1
    assert special["mine"] == 1 and special["baseline"] == before["baseline"]


def test_a_pretrained_baseline_runs_where_its_weights_are_given(clone, tmp_path):
    without = job_counts(snakemake(clone, "-n", "--configfile", "config/smoke.yaml"))
    (tmp_path / "config.json").write_text("{}")
    given = f"pretrained={{hf_depth: {tmp_path}}}"
    call = ("-n", "--configfile", "config/smoke.yaml", "--config", given)
    jobs = job_counts(snakemake(clone, *call))
    assert jobs["baseline"] == without["baseline"] + 1
    assert jobs["score"] == without["score"] + 1


def test_tables_alone_need_no_figures(clone):
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
    for name in ("estimates.csv", "cells.parquet", "manifest.json"):
        (reference / name).write_text("{}\n")
    jobs = job_counts(snakemake(root, "-n", "report", "--configfile", "config/smoke.yaml"))
    assert jobs["verification"] == jobs["report"] == 1


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("echo 'sedes: 3' >> config/smoke.yaml", "config/smoke.yaml: unknown key `sedes`"),
        ("echo 'pretrained: {hf_vlm: gone}' >> config/smoke.yaml", "gone: no such folder; give"),
        ("echo 'pretrained: {hf_vml: .}' >> config/smoke.yaml", "did you mean `hf_vlm`?"),
        ("echo x >> data/models.csv", "data/models.csv: differs from data.manifest.json"),
        ("rm -r data", "data/: not built yet; run `make data`"),
        ("rm config/methods/full.yaml", "`methods` names the unknown trained method `full`"),
        (
            "sed -i 's/^seeds: 2/seeds: 0/' config/smoke.yaml",
            "error: config/smoke.yaml: `seeds`: 0 is less than the minimum of 1",
        ),
        (
            "echo 'seeds: 3' >> config/smoke.yaml",
            "error: config/smoke.yaml: row 26: key `seeds` is written twice",
        ),
        (
            "echo 'submissions: [{name: full, path: x}]' >> config/smoke.yaml",
            "config/smoke.yaml: `submissions.0.name` is full, also the name of config/methods/full",
        ),
        (
            "echo 'normals: false' > config/methods/full.yaml",
            "config/methods/full.yaml: switch `normals` is at the top; move it under `switches:`",
        ),
    ],
)
def test_an_error_is_one_line(clone, tmp_path, damage, words):
    root = tmp_path / "damaged"
    shutil.copytree(clone, root)
    subprocess.run(damage, shell=True, cwd=root, check=True)
    done = snakemake(root, "-n", "--configfile", "config/smoke.yaml")
    errors = [row for row in done.stderr.splitlines() if row.startswith("error: ")]
    assert done.returncode != 0 and len(errors) == 1 and words in errors[0]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--config", "seeds=0"), "error: --config on the command line: `seeds`: 0 is less than"),
        (
            ("--replace-workflow-config",),
            "error: config/cpu.yaml + config/smoke.yaml: Snakemake read",
        ),
    ],
)
def test_a_fault_of_the_command_line_is_one_line(clone, options, words):
    done = snakemake(clone, "-n", "--configfile", "config/smoke.yaml", *options)
    errors = [row for row in done.stderr.splitlines() if row.startswith("error: ")]
    assert done.returncode != 0 and len(errors) == 1 and errors[0].startswith(words)
    assert "Traceback" not in done.stderr


def test_a_dry_run_takes_no_lock_and_a_held_lock_refuses_a_run(clone):
    hold = "from g2vlm.run.session import lock; kept = lock('.snakemake/one-run.lock'); input()"
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
    assert f"another snakemake (process {holder.pid}) is running" in refused.stderr


def test_an_edit_reruns_the_jobs_that_import_the_file_and_no_others(clone, tmp_path):
    root = tmp_path / "edited"
    shutil.copytree(clone, root)
    # Too few scenes, so the experiment needs recipes of its own.
    (root / "data" / "splits.json").write_text('{"scenes": {}}\n')
    pin = "from g2vlm.run.data import write_manifest; write_manifest()"
    subprocess.run([sys.executable, "-c", pin], cwd=root, check=True)
    folder = root / "results" / "smoke" / "recipes"
    (folder / "real_rooms").mkdir(parents=True)
    for name in ("models.csv", "scenes.jsonl", "language.jsonl"):
        (folder / name).write_text("{}\n")
        (folder / "real_rooms" / name).write_text("{}\n")
    call = ("recipes", "--configfile", "config/smoke.yaml")
    touched = snakemake(root, "--touch", "--force", "--cores", "1", *call)
    assert touched.returncode == 0, touched.stderr
    assert "Nothing to be done" in snakemake(root, "-n", *call).stdout
    for unrelated in ("g2vlm/run/manifest.py", "g2vlm/run/job.py", "metrics/score.py"):
        with open(root / unrelated, "a") as file:
            file.write("# edited\n")
    assert "Nothing to be done" in snakemake(root, "-n", *call).stdout
    with open(root / "g2vlm" / "run" / "recipes.py", "a") as file:
        file.write("# edited\n")
    done = snakemake(root, "-n", *call)
    assert job_counts(done)["recipes"] == 1
    assert "params have changed" in (done.stdout + done.stderr).lower()
