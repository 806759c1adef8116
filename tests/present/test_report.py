"""The report page and the gallery, in a browser where there is one."""

import html
import json
import os
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from metrics.files import InputError
from metrics.present import gallery, report, splat
from metrics.statistics import compare
from tests.statistics import rooms, synthetic

HOSTILE = '</script><img src=x onerror="document.title=1">'
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return the page of a study in which one method has a hostile name."""
    folder = tmp_path_factory.mktemp("study")
    table = synthetic.scores(scenes=6, queries=1, splits=("test_scene", "test_asset"))
    table["method"] = table["method"].replace("tsdf_fusion", HOSTILE)
    found = compare.compare(table, {"deterministic": ["oracle", HOSTILE]})
    compare.write(found, folder / "statistics")
    scenes = rooms.SCENES[:6]
    submission = folder / "predictions" / "full" / "0" / "test_scene"
    rooms.write(folder / "truth", folder / "scenes", submission, scenes)
    gallery.write_gallery(
        folder / "statistics", folder / "truth", submission, folder / "scenes", folder / "gallery"
    )
    report.write_report(
        folder / "statistics",
        folder / "report.html",
        gallery_dir=folder / "gallery",
        manifest={"git": {"commit": "abc123"}, "note": HOSTILE},
        config={"experiment": "example"},
    )
    return folder


def test_page_is_self_contained_and_text_is_text(study):
    page = (study / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)=["'](?!data:|\#)""", page)
    assert "http" not in re.sub(r"data:[^\"']+", "", page)
    assert HOSTILE not in page and html.escape(HOSTILE, quote=False)[:20] in page
    assert "abc123" in page
    assert page.count("<script") == page.count("</script>") == 2


def test_gallery_shows_best_median_and_worst(study):
    files = {f.name for f in (study / "gallery").iterdir()}
    assert {"best.png", "median.pdf", "worst.png", "viewer.json"} <= files
    views = json.loads((study / "gallery" / "viewer.json").read_text())
    cells = pd.read_parquet(study / "statistics" / "cells.parquet")
    keep = (cells["method"] == "full") & (cells["metric"] == "fscore@5cm")
    keep &= cells["split"] == "test_scene"
    best = cells[keep].groupby("scene")["value"].mean().idxmax()
    assert views[0]["scene"] == best and len(views) == 3
    assert views[0]["boxes"]["prediction"][0]["name"] == "table"


def test_gallery_without_its_scene_names_the_folder(tmp_path):
    with pytest.raises(InputError, match="no shard holds scene"):
        gallery.read_inputs(tmp_path, "test_scene-0001")


def test_nearer_points_cover_farther_ones():
    corners = np.array([[x, y, z] for x in (0, 4) for y in (0, 3) for z in (0, 2.5)], np.float32)
    look = splat.look_at_room(corners)
    middle = np.array([2.0, 1.5, 0.5])
    behind = middle + 0.4 * look.axes[2]
    points = np.stack([middle, behind]).astype(np.float32)
    colours = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    for order in ([0, 1], [1, 0]):
        image = splat.render(look, points[order], colours[order])
        shown = image[(image != 255).any(-1)]
        assert len(shown) and (shown == [255, 0, 0]).all()
    above = np.array([[2.0, 1.5, 2.45]], np.float32)
    assert (splat.render(look, above, colours[:1]) == 255).all()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
def test_page_in_a_browser(study, tmp_path):
    """Sort, filter and turn; what came of it is written into the page and read back."""
    script = """<script>
    const said = {};
    const body = document.querySelector("#board tbody");
    const names = () => [...body.rows].filter((r) => !r.hidden).map((r) => r.cells[0].textContent);
    said.all = names();
    document.querySelectorAll("#board thead button")[2].click();
    said.sorted = [...body.rows].filter((r) => !r.hidden)
      .map((r) => r.cells[2].dataset.value).filter((v) => v !== "").map(Number);
    const name = document.getElementById("by-name");
    name.value = "geometry"; name.dispatchEvent(new Event("input")); said.filtered = names();
    const group = document.getElementById("by-group");
    group.value = "Answers"; group.dispatchEvent(new Event("change"));
    said.heads = [...document.querySelectorAll("#board thead th")].filter((h) => !h.hidden).length;
    const canvas = document.getElementById("canvas");
    const before = canvas.toDataURL();
    canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
    said.turned = canvas.toDataURL() !== before;
    said.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    said.title = document.title;
    document.body.textContent = "SAID" + JSON.stringify(said) + "DIAS";
    </script></body>"""
    page = (study / "report.html").read_text(encoding="utf-8").replace("</body>", script)
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run"
    flags += " --disable-background-networking --disable-component-update --disable-sync"
    done = subprocess.run(
        [CHROMIUM, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
        + ["--window-size=400,900", "--enable-logging=stderr", (tmp_path / "page.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"HOME": str(tmp_path)},
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r"SAID(.*)DIAS", done.stdout, re.S)
    assert found, done.stdout[-500:] + done.stderr[-500:]
    said = json.loads(html.unescape(found.group(1)))
    assert len(said["all"]) == len(synthetic.METHODS) and HOSTILE in said["all"]
    assert said["sorted"] == sorted(said["sorted"], reverse=True)
    assert said["filtered"] and all("geometry" in name for name in said["filtered"])
    assert said["heads"] == 2 and said["turned"] and said["wide"] <= 0
    assert said["title"] == "G2VLM: example"
