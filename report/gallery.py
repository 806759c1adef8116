"""Best, median and worst scenes, drawn; and what the report lets one turn and browse."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from metrics.files import atomic_path, write_json
from report import data, misses, style
from report.graphs import graph_figure
from report.groundings import grounding_figure
from report.reconstruction import reconstruction_figure
from report.scenes import Scene, Views, choose_scenes
from report.viewer import viewer_scene


def write_gallery(
    scores: Iterable[str | Path],
    truth_dir: str | Path,
    submission_dir: str | Path,
    scenes_dir: str | Path | None,
    out_dir: str | Path,
) -> list[Path]:
    """Write figures of three scenes as pdf and png, `viewer.json` and `misses.json`.

    `scores` are the method's tables on the submission's split, one a seed: they choose the scenes
    and give the pictures their stamp, so that other methods change nothing here.
    `truth_dir` and `scenes_dir` are those of the submission's split; without `scenes_dir` what
    needs the input views is left out. Returns the files. Raises InputError where the views of a
    scene are missing.
    """
    from metrics.submission.reader import Submission
    from metrics.truth import Truth

    submission, truth = Submission(submission_dir), Truth(truth_dir)
    views = Views(scenes_dir) if scenes_dir else None

    def scene(name: str) -> Scene:
        return Scene(name, truth, submission, views.inputs(name) if views else None)

    files = [Path(file) for file in scores]
    chosen, stamp = choose_scenes(files), data.stamp_of(files)
    turned = []
    with atomic_path(out_dir, folder=True) as folder:
        for place, name in chosen.items():
            one = scene(name)
            title = f"{place}: {name}"
            style.save(reconstruction_figure(one, title), folder, place, stamp)
            if {"objects", "graph"} <= submission.produces:
                style.save(graph_figure(one, title), folder, f"{place}_graph", stamp)
            grounded = grounding_figure(one, title)
            if grounded is not None:
                style.save(grounded, folder, f"{place}_grounding", stamp)
            turned.append(viewer_scene(one, f"{name} ({place})"))
        write_json(folder / "viewer.json", turned)
        data.write_stamp(folder, stamp)
        write_json(folder / "misses.json", misses.gather(map(scene, truth.scenes)))
    return sorted(Path(out_dir).iterdir())
