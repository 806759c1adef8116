"""Requirements of the statistics: bootstrap of means vs scipy, and whole tables of scores."""

import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.clouds import peak_mb
from benchmarks.timing import Requirement, at_most
from metrics.files import rng

TIMES_FASTER = 50
MOST_SECONDS = 5.0  # all statistics of the cpu experiment


def bootstrap_of_means(
    rows: int = 96, scenes: int = 80, draws: int = 10_000
) -> tuple[float, float]:
    """Return core seconds of this project's bootstrap of `rows` means and of scipy's, row by row.

    Raises:
        AssertionError: a limit differs by more than six times the Monte-Carlo error of a 2.5%
            quantile, which is 0.027 standard errors of the mean for 10,000 draws.
    """
    from scipy import stats

    from metrics.statistics import resampling

    x = rng(0, "benchmark", "means").gamma(2.0, 0.1, (rows, scenes))
    start = time.process_time()
    ours = np.stack(resampling.bootstrap_means(x, draws), axis=-1)
    middle = time.process_time()
    limits = [
        stats.bootstrap((row,), np.mean, n_resamples=draws, rng=rng(k, "benchmark", "scipy"))
        for k, row in enumerate(x)
    ]
    end = time.process_time()
    theirs = np.array([found.confidence_interval for found in limits])
    error = x.std(-1, ddof=1) / np.sqrt(scenes)
    tolerance = 6 * np.sqrt(2) * 0.027 * np.sqrt(10_000 / draws)
    if np.abs((ours - theirs) / error[:, None]).max() > tolerance:
        raise AssertionError("the two bootstraps differ by more than the Monte-Carlo error")
    return middle - start, end - middle


def write_scores(
    folder: Path, methods: int, seeds: int, splits: dict[str, int], metrics: list[str]
) -> None:
    """Write a scores folder (method/seed/split.parquet) of random items, one file a training."""
    random = rng(0, "benchmark", "scores")
    names = ["reference", *(f"method_{k:03d}" for k in range(1, methods))]
    for split, scenes in splits.items():
        scene = np.repeat([f"{split}-{k:04d}" for k in range(scenes)], len(metrics))
        common = random.normal(0, 0.1, (scenes, len(metrics)))
        frame = pd.DataFrame({"split": split, "scene": scene, "query": "", "subset": "all"})
        frame = frame.assign(metric=np.tile(metrics, scenes), kind="item", succeeded=True)
        for place, name in enumerate(names):
            level = 0.5 + 0.01 * (place % 7) + common + random.normal(0, 0.03, common.shape)
            for seed in range(seeds):
                shift = random.normal(0, 0.02, len(metrics))
                values = np.clip(level + shift + random.normal(0, 0.05, level.shape), 0, 1)
                file = folder / name / str(seed) / f"{split}.parquet"
                file.parent.mkdir(parents=True, exist_ok=True)
                frame.assign(method=name, seed=seed, value=values.ravel()).to_parquet(file)


def whole_study(
    methods: int, seeds: int, splits: dict[str, int], metrics: int
) -> tuple[float, float]:
    """Return core seconds from a scores folder to written statistics, and the process's peak GB."""
    from metrics.registry import METRICS

    items = [name for name, metric in METRICS.items() if not metric.pooled][:metrics]
    items += [f"extra_{k}" for k in range(metrics - len(items))]
    facets = {"one": {"primary": items[0], "secondary": items[1:5]}}
    rivals = [f"method_{k:03d}" for k in range(1, 6)]
    claims = {"better": {"a": "reference", "against": rivals, "facets": facets}}
    config = {
        "reference": "reference",
        "families": {"declared": {"split": next(iter(splits)), "claims": claims}},
        "smallest_effect": {items[0]: 0.01},
    }
    with tempfile.TemporaryDirectory() as folder:
        write_scores(Path(folder, "scores"), methods, seeds, splits, items)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            return process.submit(_compare, folder, config).result()


def _compare(folder: str, config: dict[str, Any]) -> tuple[float, float]:
    from metrics.statistics import compare

    start = time.process_time()
    compare.write(compare.compare(Path(folder, "scores"), config), Path(folder, "statistics"))
    seconds = time.process_time() - start
    return seconds, peak_mb() / 1024


def requirements(large: bool = False) -> list[Requirement]:
    """Measure the statistics; `large` adds a study that takes minutes and has 1 GB of scores."""
    ours, theirs = bootstrap_of_means()
    times = f"{theirs / ours:.1f} ({theirs:.2f} vs {ours:.3f} core-s)"
    task = "10,000 draws of 96 means, scipy's time / this project's"
    found = [Requirement(task, times, f">= {TIMES_FASTER}", theirs >= TIMES_FASTER * ours)]
    seconds, _ = whole_study(16, 3, {"dev_scene": 80, "dev_asset": 80, "real_rooms": 5}, 40)
    task = "statistics of 16 methods, 3 trainings, 165 scenes, 40 metrics"
    found.append(at_most(task, seconds, MOST_SECONDS, " core-s"))
    if large:
        seconds, memory = whole_study(100, 10, {"dev_scene": 1000}, 30)
        task = "statistics of 100 methods, 10 trainings, 1,000 scenes, 30 metrics"
        found += [
            at_most(task, seconds, 300, " core-s"),
            at_most(f"{task}, memory", memory, 4, " GB"),
        ]
    return found
