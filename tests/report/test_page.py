"""The report page, in a browser where there is one."""

import html
import json
import re
from dataclasses import replace

import pandas as pd
import pytest

from metrics.statistics import compare
from report import gallery, page, verify
from tests.browser import CHROMIUM, REASON, browse, play
from tests.metrics.statistics import synthetic
from tests.report import rooms

HOSTILE = rooms.HOSTILE
FINDINGS = [
    {"text": "<b>F</b> is {a}." + HOSTILE, "values": {"a": "full fscore@5cm @ dev_scene"}},
    {"text": "Nothing is {a}.", "values": {"a": "full nothing @ dev_scene"}},
]
SHEET = f"# Data\n\n| a | b |\n|---|---|\n| 1 | {HOSTILE} |\n\n![x](http://x/y.png)\n"


@pytest.fixture(scope="module")
def study(config, tmp_path_factory):
    """Return the page of a study with a hostile method name, query, note and data sheet."""
    folder = tmp_path_factory.mktemp("study")
    table = synthetic.scores(scenes=6, queries=1, splits=("dev_scene", "dev_asset"))
    table["method"] = table["method"].replace("tsdf_fusion", HOSTILE)
    found = compare.compare(table, synthetic.CONFIG | {"deterministic": ["oracle", HOSTILE]})
    compare.write(found, folder / "statistics")
    submission = folder / "predictions" / "full" / "0" / "dev_scene"
    rooms.write(folder / "truth", folder / "scenes", submission, rooms.SCENES[:6])
    gallery.write_gallery(
        synthetic.write(table, "full", folder),
        folder / "truth",
        submission,
        folder / "scenes",
        folder / "gallery",
    )
    fresh = verify.load_fresh(folder / "statistics")
    reference = tuple(rows[rows["method"] != "oracle"].copy() for rows in fresh)
    reference[0].loc[reference[0]["method"] == HOSTILE, "mean"] += 1
    verify.verify(reference, fresh).to_csv(folder / "verification.csv", index=False)
    text = verify.summary(verify.verify(reference, fresh))
    (folder / "verification.txt").write_text(f"{text}\nsame origin\n", encoding="utf-8")
    (folder / "sheet.md").write_text(SHEET, encoding="utf-8")
    (folder / "findings.json").write_text(json.dumps({"findings": FINDINGS}), encoding="utf-8")
    (folder / "tables").mkdir()
    sources = page.Sources(
        statistics=folder / "statistics",
        tables=folder / "tables",
        gallery=folder / "gallery",
        verification=folder,
        datasheets=[folder / "sheet.md"],
    )
    manifest = {"git": {"commit": "abc123"}, "note": HOSTILE}
    page.write_report(
        sources,
        folder / "report.html",
        replace(config, experiment="example", findings=str(folder / "findings.json")),
        manifest,
    )
    return folder


def test_page_is_self_contained_and_escapes_text(study):
    text = (study / "report.html").read_text(encoding="utf-8")
    assert text.lstrip().startswith("<!doctype html>")
    assert not re.findall(r"""(?:src|href)=["'](?!data:|\#)""", text)
    linked = re.sub(r"data:[^\"']+|http://www.w3.org/2000/svg|!\[x\]\(http://x/y.png\)", "", text)
    assert "http" not in linked
    assert HOSTILE not in text and html.escape(HOSTILE, quote=False)[:20] in text
    assert "abc123" in text
    assert text.count("<script") == text.count("</script>") == 3


def test_page_says_which_findings_its_tables_do_not_bear_out(study):
    text = (study / "report.html").read_text(encoding="utf-8")
    section = text.split('id="findings"')[1].split("</section>")[0]
    assert section.count("<li>") == 2 and section.count("not borne out by this run") == 1
    assert "full nothing dev_scene" in section and HOSTILE not in section


def test_page_lists_the_cells_that_were_not_reproduced(study):
    text = (study / "report.html").read_text(encoding="utf-8")
    section = text.split('id="verification"')[1].split("</section>")[0]
    rows = pd.read_csv(study / "verification.csv")
    drifted = int((rows["status"] == "drifted").sum())
    assert drifted and f"{drifted} drifted" in section
    assert section.count("<tr>") == drifted + 1 and "deterministic" in section


def test_page_is_written_without_figures_gallery_or_reference(study, config, tmp_path):
    sources = page.Sources(study / "statistics")
    file = page.write_report(sources, tmp_path / "report.html", config)
    text = file.read_text(encoding="utf-8")
    assert "no committed reference" in text and 'id="board"' in text
    assert 'id="view"' not in text and 'id="misses"' not in text and 'id="datasheet"' not in text


def test_same_sources_give_the_same_page(study, config, tmp_path):
    sources = page.Sources(study / "statistics", gallery=study / "gallery")
    pages = [page.write_report(sources, tmp_path / f"{k}.html", config).read_bytes() for k in "ab"]
    assert pages[0] == pages[1]


SCRIPT = """
// The 3D view draws in the next frame; here at once.
window.requestAnimationFrame = (draw) => draw();
const change = (node, name) => node.dispatchEvent(new Event(name));
const body = document.querySelector("#board tbody");
const rows = () => [...body.rows].filter((r) => !r.hidden);
const names = () => rows().map((r) => r.cells[0].textContent);
said.all = names();
document.querySelectorAll("#board thead button")[2].click();
said.sorted = rows().map((r) => r.cells[2].dataset.value).filter((v) => v !== "").map(Number);
const split = document.getElementById("by-split");
split.value = "dev_asset"; change(split, "change");
said.other = rows().every((r) => r.dataset.split === "dev_asset");
const name = document.getElementById("by-name");
name.value = "geometry"; change(name, "input"); said.filtered = names();
const group = document.getElementById("by-group");
group.value = "Question answering"; change(group, "change");
said.heads = [...document.querySelectorAll("#board thead th")].filter((h) => !h.hidden).length;
const canvas = document.getElementById("canvas");
const still = canvas.toDataURL();
canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
said.turned = canvas.toDataURL() !== still;
const hover = document.getElementById("hover");
const frame = canvas.getBoundingClientRect();
for (let y = 0; y < frame.height && !hover.textContent; y += 8) {
  for (let x = 0; x < frame.width && !hover.textContent; x += 8) {
    const at = { clientX: frame.left + x, clientY: frame.top + y, pointerId: 1 };
    canvas.dispatchEvent(new PointerEvent("pointermove", at));
  }
}
said.hover = hover.textContent;
const place = document.getElementById("miss-place");
said.misses = place.textContent;
const kind = document.getElementById("miss-kind");
kind.value = "reference"; change(kind, "change");
said.references = place.textContent;
said.query = document.querySelector("#miss-details dd").textContent;
said.lines = document.querySelectorAll("#miss-view line").length;
document.getElementById("miss-next").click();
said.second = place.textContent;
said.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
dispatchEvent(new Event("beforeprint"));
said.folded = document.querySelectorAll("details:not([open])").length;
said.title = document.title;
"""


@pytest.mark.skipif(CHROMIUM is None, reason=REASON)
def test_page_in_a_browser(study, tmp_path):
    """Sort, filter, turn, hover and browse at 400 px; read the outcome from the page."""
    said, console = play(study / "report.html", SCRIPT, tmp_path)
    # Reading the canvas back makes the WebGL driver write a note on speed.
    assert not [line for line in console if "GL Driver Message" not in line]
    assert len(said["all"]) == len(synthetic.METHODS) and HOSTILE in said["all"]
    assert said["sorted"] == sorted(said["sorted"], reverse=True) and len(said["sorted"]) > 3
    assert said["other"]
    assert said["filtered"] and all("geometry" in name for name in said["filtered"])
    assert said["heads"] == 2 and said["turned"] and said["wide"] <= 0
    assert re.fullmatch(r"(table|cupboard) \((true|predicted)\)", said["hover"])
    assert said["misses"] == "1 of 12" and said["references"] == "1 of 6"
    assert said["second"] == "2 of 6" and said["query"] == HOSTILE and said["lines"] > 0
    assert said["folded"] == 0 and said["title"] == "G2VLM: example"


@pytest.mark.skipif(CHROMIUM is None, reason=REASON)
def test_page_prints(study, tmp_path):
    pdf = tmp_path / "page.pdf"
    done = browse(study / "report.html", tmp_path, f"--print-to-pdf={pdf}")
    assert pdf.exists(), done.stderr[-500:]
    assert pdf.read_bytes().startswith(b"%PDF") and pdf.stat().st_size > 20_000
