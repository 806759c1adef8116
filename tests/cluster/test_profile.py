"""Resources that rules request, and the profile of a cluster."""

import re
from pathlib import Path

import yaml

PROFILE = Path("profiles/slurm")


def test_every_rule_requests_memory_and_time():
    for path in sorted(Path("workflow/rules").glob("*.smk")):
        for rule in re.split(r"^ *(?=rule \w+:)", path.read_text(), flags=re.M)[1:]:
            if "script:" in rule:
                name = re.match(r"rule (\w+)", rule)[1]
                assert "mem_mb=" in rule and "runtime=" in rule, f"{path}: {name}"


def test_the_executor_is_pinned_with_hashes_outside_the_lock():
    wanted = set(re.findall(r"^[\w-]+==[\d.]+", (PROFILE / "requirements.in").read_text(), re.M))
    lock = (PROFILE / "requirements.lock").read_text()
    assert set(re.findall(r"^([\w-]+==[\d.]+) \\\n    --hash=sha256:", lock, re.M)) == wanted
    assert len(wanted) == 2 and "\nsnakemake-executor" not in Path("requirements.lock").read_text()


def test_the_profile_sets_the_resources_that_rules_leave_open():
    profile = yaml.safe_load((PROFILE / "config.yaml").read_text())
    assert profile["executor"] == "slurm"
    assert set(profile["default-resources"]) == {"mem_mb", "runtime"}
    text = "".join(path.read_text() for path in Path("workflow/rules").glob("*.smk"))
    names = re.findall(r"rule (\w+):(?:(?!\brule ).)*?gpu=(?:one_gpu|training_gpus)", text, re.S)
    assert profile["set-resources"] == {rule: {"gpu": 1} for rule in names}
