"""The three descriptions of the environment agree."""

import re
import tomllib
from pathlib import Path

import yaml

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())["project"]
LOCK = Path("requirements.lock").read_text()


def normal(requirement):
    return re.sub(r"[\s-]+", "-", requirement.strip().lower())


def direct():
    extras = PROJECT["optional-dependencies"].values()
    return {normal(item) for group in (PROJECT["dependencies"], *extras) for item in group}


def test_conda_users_get_the_same_direct_dependencies():
    text = Path("environment.yml").read_text()
    parts = yaml.safe_load(text)["dependencies"]
    listed = {normal(item) for item in next(p["pip"] for p in parts if isinstance(p, dict))}
    apart = {normal(item) for item in re.findall(r"^#.*pip install --no-deps (\S+)$", text, re.M)}
    assert listed | apart == direct()


def test_the_lock_pins_every_direct_dependency_with_hashes():
    pins = dict(re.findall(r"^([a-z0-9._-]+)==(\S+) \\$", LOCK, re.M))
    names = {re.split(r"[<>=;]", item)[0] for item in direct()}
    assert names <= set(pins)
    blocks = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.M)[1:]
    assert all("--hash=sha256:" in block for block in blocks)


def test_the_lock_names_no_index():
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", LOCK)


def test_every_dependency_has_a_comment():
    text = Path("pyproject.toml").read_text()
    rows = [row for row in text.splitlines() if re.match(r'  "[a-z].*",', row)]
    assert len(rows) >= len(direct())
    listed = text.split("[tool.uv]")[0]
    assert all("#" in row for row in listed.splitlines() if re.match(r'  "[a-z]', row))


def test_scoring_installs_without_torch():
    names = {re.split(r"[<>=]", item)[0] for item in PROJECT["dependencies"]}
    assert not names & {"torch", "torchvision", "transformers", "snakemake", "dvc"}
