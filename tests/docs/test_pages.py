"""What the pages say is there: commands, modules, links, code that is run, a clean site."""

import importlib.util
import json
import re
import subprocess
import sys

import pytest
import yaml

from tests.paths import REPOSITORY

ROOT = REPOSITORY
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# Pages whose Python is run as it is written, and the test that does it.
RUN = {
    "use.md": "tests/g2vlm/use/test_run.py",
    "submission-format.md": "tests/metrics/submission/test_submission_docs.py",
    "add-a-baseline.md": "tests/baselines/test_contract.py",
}


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)


def by_name(page):
    return page.name


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_commands_that_a_page_names_are_there(page):
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for line in re.findall(r"(?:^|`)make ([a-z-]+(?: [a-z-]+)*)", text, re.M):
        assert set(line.split()) <= targets, f"make {line}"
    for module in re.findall(r"python -m ([a-z0-9_.]+)", text):
        assert importlib.util.find_spec(module.rstrip(".")), module


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_code_on_a_page_is_read_or_run(page):
    for text in blocks(page, "json"):
        json.loads(text)
    for text in blocks(page, "yaml"):
        yaml.safe_load(text)
    for text in blocks(page, "python"):
        compile(text, page.name, "exec")
        if page.name == "README.md":
            assert text in blocks(ROOT / "docs" / "use.md", "python")
        else:
            assert page.name in (ROOT / RUN[page.name]).read_text(encoding="utf-8")


def test_the_readme_links_to_what_there_is():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http)([^)#]+)", text)
    assert links and [link for link in links if not (ROOT / link).exists()] == []


def test_the_readme_shows_what_the_reference_says():
    headline = ROOT / "results" / "reference" / "cpu" / "headline.txt"
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert headline.read_text(encoding="utf-8").strip("\n") in text


def test_the_site_is_built_without_a_warning(tmp_path):
    call = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    from metrics.registry import METRICS

    page = (tmp_path / "metrics.html").read_text(encoding="utf-8")
    assert all(f"<code>{name}</code>" in page for name in METRICS)
    for name in re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M):
        html = (tmp_path / name).with_suffix(".html").read_text(encoding="utf-8")
        assert "{{" not in re.sub(r"<(script|style|code).*?</\1>", "", html, flags=re.S), name
