"""Best, median and worst scenes as figures, and the data of the page's 3D view and its misses."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from metrics.files import atomic_path, write_json
from metrics.submission.reader import Submission
from metrics.truth import Truth
from report.misses import gather_misses
from report.room_view import room_view
from report.scene_figures import FIGURES
from report.scenes import Scene, Views
from report.statistics import read_parquet, stamp_of, write_stamp

# Scenes are chosen by this metric.
CHOSEN_BY = "fscore@5cm"
PLACES = ("best", "median", "worst")


def write_gallery(
    scores: Iterable[str | Path],
    truth_dir: str | Path,
    submission_dir: str | Path,
    scenes_dir: str | Path,
    out_dir: str | Path,
) -> list[Path]:
    """Write figures of three scenes as pdf and png, viewer.json and misses.json.

    Args:
        scores: the method's score tables on the submission's split, one a seed. They choose the
            scenes and stamp the figures, so that other methods change nothing here.
        truth_dir: truth of that split.
        submission_dir: predictions of the method.
        scenes_dir: rendered scenes of that split, for the input views.
        out_dir: folder, replaced whole.

    Returns:
        The files.

    Raises:
        InputError: a score table is damaged, or no shard holds the views of a scene.
    """
    submission, truth, views = Submission(submission_dir), Truth(truth_dir), Views(scenes_dir)

    def scene(name: str) -> Scene:
        return Scene(name, truth, submission, views.inputs(name))

    files = [Path(file) for file in scores]
    stamp = stamp_of(files)
    rooms = []
    with atomic_path(out_dir, folder=True) as folder:
        for place, name in choose_scenes(files).items():
            chosen = scene(name)
            FIGURES.save(folder, stamp, chosen, f"{place}: {name}", prefix=place)
            rooms.append(room_view(chosen, f"{name} ({place})"))
        write_json(folder / "viewer.json", rooms)
        write_json(folder / "misses.json", gather_misses(map(scene, truth.scenes)))
        write_stamp(folder, stamp)
    return sorted(Path(out_dir).iterdir())


def choose_scenes(scores: Iterable[Path]) -> dict[str, str]:
    """Return {"best", "median", "worst": scene} by the mean F-score over seeds.

    Raises:
        InputError: one of the score tables is damaged.
    """
    rows = pd.concat(
        read_parquet(file, ["scene", "subset", "metric", "value"], "score") for file in scores
    )
    rows = rows[(rows["subset"] == "all") & (rows["metric"] == CHOSEN_BY)]
    means = rows.groupby("scene")["value"].mean()
    if means.empty:
        return {}
    order = means.sort_values(kind="stable").index
    return dict(zip(PLACES, (order[-1], order[len(order) // 2], order[0]), strict=True))
