"""The three descriptions of the environment agree."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())["project"]
LOCK = Path("requirements.lock").read_text()


def normal(requirement):
    return re.sub(r"[\s-]+", "-", requirement.strip().lower())


# Extras for files of users; neither the study nor its environment needs them.
USERS_EXTRAS = {"xlsx"}


def direct():
    extras = (p for name, p in PROJECT["optional-dependencies"].items() if name not in USERS_EXTRAS)
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


PINNED = re.search(r"uv==(\S+)", Path("workflow/uv/requirements.lock").read_text())[1]
# Stand-ins for the commands that make_env.sh calls; each notes its call.
NOTE = '#!/bin/sh\necho "$(basename "$0") $*" >> "$CALLS"\n'
SPACE = "#!/bin/sh\nprintf 'head\\n/ 1 1 99999999 1 /\\n'\n"
# A Python of Debian without its package for environments.
BARE_PYTHON = f"""
case "$1 $2" in
  -c*executable*) echo "$0" ;;
  -c*) exec {sys.executable} "$@" ;;
  --version*) echo Python 3.11.2 ;;
  *) echo "ensurepip is not available"; exit 1 ;;
esac
"""


@pytest.fixture
def make_env(tmp_path):
    """Return a function that runs make_env.sh with stand-ins and returns the noted calls too."""
    root, commands = tmp_path / "clone", tmp_path / "bin"
    shutil.copytree("workflow/uv", root / "workflow" / "uv")
    shutil.copy("workflow/make_env.sh", root / "workflow")
    (root / "requirements.lock").write_text("")
    commands.mkdir()

    def run(**scripts):
        for name, text in {"df": SPACE, **scripts}.items():
            (commands / name).write_text(text)
            (commands / name).chmod(0o755)
        calls = tmp_path / "calls"
        calls.write_text("")
        names = {"PATH": f"{commands}:/usr/bin:/bin", "CALLS": str(calls), "HOME": str(tmp_path)}
        names["PYTHON"] = str(commands / "python") if "python" in scripts else sys.executable
        script = ["bash", str(root / "workflow" / "make_env.sh")]
        done = subprocess.run(script, capture_output=True, text=True, env=os.environ | names)
        return done, calls.read_text().splitlines()

    return run


def uv(version):
    return NOTE + f'[ "$1" = --version ] && echo "uv {version} (linux)"\nexit 0\n'


def test_the_pinned_uv_at_hand_is_used(make_env):
    done, calls = make_env(uv=uv(PINNED))
    assert done.returncode == 0, done.stderr
    assert [call.split()[1] for call in calls] == ["--version", "venv", "pip"]
    assert " requirements.lock" in calls[-1] and "--require-hashes" in calls[-1]


@pytest.mark.parametrize("version", ["0.0.1", PINNED + "0"])
def test_another_uv_is_not_used_and_the_system_is_left_alone(make_env, version):
    done, calls = make_env(uv=uv(version), python=NOTE + BARE_PYTHON)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(
        "error: could not make an environment for uv: ensurepip is not ava"
    )
    installs = [call for call in calls if " -m " in call]
    assert installs == ["python -m venv --clear .venv/.uv"]
