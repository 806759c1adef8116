"""The page of a capture, in a browser where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from g2vlm.captures import Capture
from g2vlm.use import G2VLMModel
from tests.browser import CHROMIUM, REASON, play

SCRIPT = """
said.facts = document.getElementById("facts").textContent;
const listed = [...document.querySelectorAll("#objects [data-name]")];
said.objects = listed.map((item) => item.dataset.name);
listed[0].click();
said.chosen = document.querySelector("#chosen h1").textContent;
said.pressed = document.querySelectorAll("#objects [aria-pressed=true]").length;
const alike = [...document.querySelectorAll("#chosen button")].pop();
said.next = alike.querySelector("span").textContent;
alike.click();
said.moved = document.querySelector("#chosen h1").textContent;
for (const id of ["points", "solids", "boxes", "names", "cameras"]) {
  document.getElementById("show-" + id).click();
}
const canvas = document.getElementById("canvas");
canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
said.answers = document.getElementById("said").textContent;
said.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
"""


@pytest.mark.skipif(CHROMIUM is None, reason=REASON)
def test_objects_are_listed_selected_and_link_to_similar_ones(
    model_folder: Path, capture: Capture, tmp_path: Path
) -> None:
    """Click an object and its nearest by descriptor, switch every layer, at 400 px."""
    model = G2VLMModel.from_pretrained(model_folder, threads=1)
    result = model.run(capture, questions=["How many chairs are there?"])
    result.save(tmp_path / "out")
    said, console = play(tmp_path / "out" / "viewer.html", SCRIPT, tmp_path)
    assert not [line for line in console if "ERROR" in line or "Uncaught" in line], console
    names = [item.name for item in result.objects]
    assert sorted(said["objects"]) == sorted(names) and len(names) > 1
    assert f"{len(names)} objects" in said["facts"]
    assert said["chosen"] in names and said["pressed"] == 1
    assert said["moved"] == said["next"] != said["chosen"]
    assert "How many chairs are there?" in said["answers"]
    assert said["wide"] <= 0
