"""The image is the lock's environment: its recipe is read, since an engine is seldom at hand."""

import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest


def instructions(text):
    """Return the Dockerfile's (instruction, arguments), continued rows joined, comments dropped."""
    rows = re.sub(r"^\s*#.*\n", "", text, flags=re.M).replace("\\\n", " ").splitlines()
    pairs = [row.split(None, 1) for row in rows if row.strip()]
    return [(word.upper(), " ".join(rest.split())) for word, rest in pairs]


STEPS = instructions(Path("Dockerfile").read_text())
VERSIONS = dict(value.split("=") for word, value in STEPS if word == "ARG")
RUNS = " && ".join(value for word, value in STEPS if word == "RUN")
COPIES = [
    [source for source in value.split()[:-1] if not source.startswith("--")]
    for word, value in STEPS
    if word == "COPY" and "--from" not in value
]


def test_python_is_the_one_that_the_lock_is_made_for():
    locked = re.search(r"uv pip compile pyproject.toml[^@]*", Path("Makefile").read_text())[0]
    minor = VERSIONS["PYTHON"].rpartition(".")[0]
    assert re.search(r"--python-version (\S+)", locked)[1] == minor
    assert f"python={minor}" in Path("environment.yml").read_text()
    bounds = tomllib.loads(Path("pyproject.toml").read_text())["project"]["requires-python"]
    low, high = (tuple(map(int, part.split("."))) for part in re.findall(r"[\d.]+", bounds))
    assert low <= tuple(map(int, VERSIONS["PYTHON"].split("."))) < high
    assert [value for word, value in STEPS if word == "FROM"] == [
        "ghcr.io/astral-sh/uv:${UV} AS uv",
        "python:${PYTHON}-slim-bookworm",
    ]


def test_images_are_named_by_exact_versions():
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in VERSIONS.values())


def test_uv_is_the_version_that_make_env_pins_with_hashes():
    lock = Path("workflow/uv/requirements.lock").read_text()
    assert re.findall(r"^(uv==\S+)", lock, re.M) == [f"uv=={VERSIONS['UV']}"]
    assert Path("workflow/uv/requirements.in").read_text() == f"uv=={VERSIONS['UV']}\n"
    assert "--hash=sha256:" in lock and "://" not in lock


def test_jobs_do_not_run_as_root_and_cannot_change_the_environment():
    words = [word for word, _ in STEPS]
    made = next(n for n, (_, value) in enumerate(STEPS) if value.endswith("make_env.sh"))
    users = [n for n, word in enumerate(words) if word == "USER"]
    assert [STEPS[n][1] for n in users] == ["g2vlm"]
    assert made < users[0] and "useradd --uid 1000 --create-home g2vlm" in RUNS
    assert not {"RUN", "COPY"} & set(words[users[0] :])


def test_packages_come_only_from_the_lock_by_the_script_of_make_env():
    assert "bash workflow/make_env.sh" in RUNS
    assert not re.search(r"\b(pip|conda|wget|curl)\b|https?://|index-url|find-links", RUNS)
    script = Path("workflow/make_env.sh").read_text()
    for install in re.findall(r"pip (?:sync|install) .*", script):
        assert "--require-hashes" in install
    assert re.search(r"pip sync .* requirements\.lock", script)


def test_make_env_leaves_the_machine_s_python_alone():
    script = Path("workflow/make_env.sh").read_text()
    assert not re.search(r"--user|--break-system-packages|--system|sudo", script)
    targets = re.findall(r"^\s*(\S+) -m pip install", script, re.M)
    assert targets == [".venv/.uv/bin/python"]


def test_the_environment_is_made_before_the_code_is_copied():
    order = [(word, value) for word, value in STEPS if word in ("COPY", "RUN")]
    made = next(n for n, (_, value) in enumerate(order) if "make_env.sh" in value and _ == "RUN")
    before = [source for _, value in order[:made] for source in value.split()[:-1]]
    assert "requirements.lock" in before and "workflow/make_env.sh" in before
    assert order[-1] == ("COPY", "--chown=g2vlm . .")


@pytest.fixture
def ignored():
    """The patterns of .dockerignore as a test of a path; a later one overrules an earlier one."""
    rows = Path(".dockerignore").read_text().splitlines()
    patterns = [row for row in rows if row and not row.startswith("#")]

    def decide(path):
        held = False
        heads = ["/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 2)]
        for pattern in patterns:
            bare = pattern.removeprefix("!").replace("**/", "*")
            if any(fnmatch(head, bare) for head in heads):
                held = not pattern.startswith("!")
        return held

    return decide


def test_what_is_copied_is_there_and_what_is_large_is_not(ignored):
    for source in (source for sources in COPIES for source in sources):
        assert Path(source).exists() and (source == "." or not ignored(source))
    for path in ("data/scenes.jsonl", ".venv/bin/python", "results/cpu/manifest.json", "g2vlm.sif"):
        assert ignored(path)
    assert ignored("g2vlm/run/__pycache__/job.cpython-311.pyc")


@pytest.mark.parametrize(
    "path",
    [".env", "id_rsa", "notes/plan.md", "wandb/run.log", ".dvc/config.local", ".git/config"]
    + [".aws/credentials", "docs/.env", "results/gpu/report.html", "my_room/capture.json"],
)
def test_what_nobody_named_stays_outside(ignored, path):
    assert ignored(path)


def test_the_image_holds_every_tracked_file(ignored):
    done = subprocess.run(["git", "ls-files"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("needs a git clone to know which files are tracked")
    assert not [path for path in done.stdout.splitlines() if ignored(path)]


def test_the_workflow_names_the_image_that_the_page_builds():
    named = re.search(r'^container: "(.+)"$', Path("Snakefile").read_text(), re.M)[1]
    assert f"apptainer build {named} " in Path("docs/containers.md").read_text()
    assert f"/{named}\n" in Path(".gitignore").read_text()
