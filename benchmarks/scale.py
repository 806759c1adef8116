"""Estimate the cost of a larger study from the manifests of finished runs.

    python -m benchmarks.scale results/smoke results/cpu --train 98000 --methods 50 --seeds 10

CPU seconds and peak memory of a job are fitted, stage by stage, as `fixed + slope * units` over the
jobs of all runs (least squares, nothing negative). The unit of a stage is what its work grows with:
scenes, scenes times pixels, training steps. Disk grows in proportion from the last run.
"""

import argparse
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from g2vlm.features.names import SHARDS_A_TEXT_PART
from metrics.files import InputError, read_json, run_main
from report.table import markdown_grid


@dataclass(frozen=True)
class Study:
    """The sizes of a study.

    Attributes:
        splits: {split: number of scenes}.
        shard: scenes a shard.
        pixels: of one image.
        methods: names.
        seeds: trainings of each method.
        steps: of one training.
        batch: scenes a step.
        answered: splits that methods predict.
        scored: splits that are scored.
    """

    splits: Mapping[str, int]
    shard: int
    pixels: int
    methods: Sequence[str]
    seeds: int
    steps: int
    batch: int
    answered: Sequence[str]
    scored: Sequence[str]

    @staticmethod
    def of(config: Mapping[str, Any]) -> "Study":
        """Return the sizes in an experiment's config."""
        train = config["train"]
        return Study(
            splits=dict(config["data"]["splits"]),
            shard=config["data"]["scenes_per_shard"],
            pixels=config["render"]["width"] * config["render"]["height"],
            methods=list(config["methods"]),
            seeds=config["seeds"],
            steps=train["stage1_steps"] + train["stage2_steps"],
            batch=train["batch_scenes"] * train["accumulation"],
            answered=config["predict"]["splits"],
            scored=config["score"]["splits"],
        )

    @property
    def runs(self) -> list[str]:
        """One name for each training; each is used for prediction and scored once."""
        return [f"{method}-{seed}" for method in self.methods for seed in range(self.seeds)]

    def scenes(self, splits: Iterable[str]) -> int:
        """Return the number of scenes of the splits."""
        return sum(self.splits[split] for split in splits)

    def shards(self) -> dict[str, int]:
        """Return {name of a shard's job: number of its scenes}."""
        return {
            f"{split}-{first // self.shard:03d}": min(self.shard, count - first)
            for split, count in self.splits.items()
            for first in range(0, count, self.shard)
        }

    def text_parts(self) -> dict[str, float]:
        """Return {name of a job that encodes texts: number of scenes whose texts it encodes}."""
        scenes = self.scenes(self.splits)
        count = math.ceil(scenes / (SHARDS_A_TEXT_PART * self.shard))
        return {f"encode/texts-{part:03d}": scenes / count for part in range(count)}


HEADS = ("stage", "jobs", "core hours", "longest job, h", "memory of a job, GB", "disk, GB")
Units = Callable[[Study], dict[str, float]]


@dataclass(frozen=True)
class Stage:
    """What the cost of one stage grows with.

    Attributes:
        work: {name of a job in a manifest: units that its CPU time grows with} for a study.
        memory: the same for its memory; None for the units of `work`.
        folder: of the stage's files.
        disk: units that the size of the folder grows with.
    """

    work: Units
    memory: Units | None = None
    folder: str = ""
    disk: Callable[[Study], float] | None = None


def _runs(stage: str, units: Callable[[Study], float]) -> Units:
    return lambda study: {f"{stage}/{run}": units(study) for run in study.runs}


STAGES = {
    "render": Stage(
        lambda study: {f"render/{k}": n * study.pixels for k, n in study.shards().items()},
        folder="scenes",
        disk=lambda study: study.scenes(study.splits) * study.pixels,
    ),
    "encode images": Stage(
        lambda study: {f"encode/images-{k}": n * study.pixels for k, n in study.shards().items()},
        folder="features",
        disk=lambda study: study.scenes(study.splits) * study.pixels,
    ),
    "collect texts": Stage(lambda study: {"encode/texts": study.scenes(study.splits)}),
    "encode texts": Stage(lambda study: study.text_parts()),
    "training arrays": Stage(
        lambda study: {
            f"training_arrays/{name.removeprefix('train-')}": scenes * study.pixels
            for name, scenes in study.shards().items()
            if name.startswith("train-")
        },
        folder="training",
        disk=lambda study: study.splits["train"] * study.pixels,
    ),
    "truth": Stage(
        lambda study: {f"truth/{split}": study.splits[split] for split in study.answered},
        folder="truth",
        disk=lambda study: study.scenes(study.answered),
    ),
    "prepare truth": Stage(
        lambda study: {f"prepare_truth/{split}": study.splits[split] for split in study.scored}
    ),
    "train": Stage(
        _runs("train", lambda study: study.steps * study.batch * study.pixels),
        # Annotations are read one by one; texts and pooled features of every scene are kept.
        memory=_runs("train", lambda study: study.splits["train"]),
        folder="models",
        disk=lambda study: len(study.runs),
    ),
    "predict": Stage(
        _runs("predict", lambda study: study.scenes(study.answered)),
        folder="predictions",
        disk=lambda study: len(study.runs) * study.scenes(study.answered),
    ),
    "score": Stage(
        _runs("score", lambda study: study.scenes(study.scored)),
        folder="scores",
        disk=lambda study: len(study.runs) * study.scenes(study.scored),
    ),
    "controls": Stage(lambda study: {"controls": study.scenes(study.scored)}),
    "compare": Stage(
        lambda study: {"compare": len(study.runs) * study.scenes(study.scored)},
        folder="statistics",
        disk=lambda study: len(study.runs),
    ),
    "present": Stage(lambda study: dict.fromkeys(("tables", "figures", "gallery", "report"), 1.0)),
}


def fit_line(points: Sequence[tuple[float, float]]) -> np.poly1d:
    """Return the line fixed + slope * units through (units, value) pairs, with neither negative.

    With one size, the fixed part is unknown and taken as 0.
    """
    units, values = np.array(points, float).T
    # Scaled, since units may be 1e9 times the fixed part's column of ones. Where all units are
    # equal, the two columns are too, and the solver takes the first.
    largest = units.max()
    (slope, fixed), _ = nnls(np.stack([units / largest, np.ones(len(units))], axis=1), values)
    return np.poly1d([slope / largest, fixed])


def estimate(manifests: Sequence[Mapping[str, Any]], target: Study) -> pd.DataFrame:
    """Return the cost of every stage of `target`, a row a stage, from manifests of finished runs.

    Columns: number of `jobs`, CPU `hours` of all of them and of the longest (`longest_hours`), peak
    memory of the largest (`memory_gb`), size of the folder (`disk_gb`), and whether the hours are
    an upper `bound`: with runs of one smaller size, the fixed part counts as growing.
    """
    costs = {}
    for name, stage in STAGES.items():
        points = _measured(name, stage.work, "cpu_seconds", manifests)
        memory_units = stage.memory or stage.work
        seconds = fit_line(points)
        memory = fit_line(_measured(name, memory_units, "peak_memory_mb", manifests))
        sizes = {size for size, _ in points}
        work = stage.work(target).values()
        disk = 0.0
        if stage.disk is not None:
            grown = stage.disk(target) / stage.disk(Study.of(manifests[-1]["config"]))
            disk = manifests[-1]["sizes"].get(stage.folder, 0) * grown
        costs[name] = {
            "jobs": len(work),
            "hours": sum(map(seconds, work)) / 3600,
            "longest_hours": max(map(seconds, work)) / 3600,
            "memory_gb": max(map(memory, memory_units(target).values())) / 1024,
            "disk_gb": disk / 1e9,
            "bound": len(sizes) == 1 and max(work) > max(sizes),
        }
    return pd.DataFrame.from_dict(costs, orient="index")


def _measured(
    name: str, units: Units, column: str, manifests: Sequence[Mapping[str, Any]]
) -> list[tuple[float, float]]:
    """Return (units, value of the column) for each of a stage's measured jobs."""
    points = [
        (size, manifest["jobs"][job][column] or 0.0)
        for manifest in manifests
        for job, size in units(Study.of(manifest["config"])).items()
        if job in manifest["jobs"]
    ]
    if not points:
        raise InputError(f"manifest.json: no job of the stage `{name}`; give a finished run")
    return points


def table(costs: pd.DataFrame) -> str:
    """Return the costs as a Markdown table with a row of sums; a dagger marks upper bounds."""
    largest = dict.fromkeys(("longest_hours", "memory_gb"), "max")
    total = costs.agg(dict.fromkeys(costs, "sum") | largest).rename("all")
    rows = [
        [
            f"{row.Index} †" if row.bound else row.Index,
            f"{row.jobs:,.0f}",
            *map(_short, (row.hours, row.longest_hours, row.memory_gb, row.disk_gb)),
        ]
        for row in pd.concat([costs, total.to_frame().T.assign(bound=False)]).itertuples()
    ]
    return markdown_grid(HEADS, rows)


def _short(value: float) -> str:
    """Return a number with two significant digits and at most two decimals."""
    if value <= 0:
        return "0"
    places = min(2, max(0, 1 - math.floor(math.log10(value))))
    return f"{value:,.{places}f}"


def main() -> None:
    """Print the estimated cost as a Markdown table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", nargs="+", type=Path, help="folders of finished runs")
    for name, words in (("train", "training"), ("val", "validation"), ("dev", "scenes a dev")):
        parser.add_argument(f"--{name}", type=int, help=f"{words} scenes (default: the last run's)")
    for name in ("methods", "seeds", "steps"):
        parser.add_argument(f"--{name}", type=int, help=f"{name} (default: the last run's)")
    options = parser.parse_args()
    manifests = [read_json(folder / "manifest.json") for folder in options.results]
    print(table(estimate(manifests, resized(Study.of(manifests[-1]["config"]), options))))


def resized(study: Study, options: argparse.Namespace) -> Study:
    """Return the study with the sizes given on the command line."""
    splits = {
        # The number of captured rooms is fixed, so there is no option for them.
        split: getattr(options, split.split("_")[0], None) or count
        for split, count in study.splits.items()
    }
    chosen = {"splits": splits}
    if options.methods:
        chosen["methods"] = [f"method_{number}" for number in range(options.methods)]
    chosen |= {
        name: getattr(options, name) for name in ("seeds", "steps") if getattr(options, name)
    }
    return Study(**vars(study) | chosen)


if __name__ == "__main__":
    run_main(main)
