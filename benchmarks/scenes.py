"""Cost of the recipes and language of scenes, for the committed data and for five times as many."""

import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.clouds import peak_mb
from benchmarks.timing import Requirement, at_most, measure

TIMES = 5
REPEATS = 2
MOST_CHANGE = 0.05
MOST_SECONDS = 90.0
# Memory may grow a little: the name of each scene and the counts of its answers are kept.
MOST_MEMORY = 1.25


def growth() -> list[Requirement]:
    """Compare core seconds and memory a scene of the committed sizes and of five times as many.

    Each size is built `REPEATS` times in turn, each time in a process of its own; the best counts.
    """
    from g2vlm.scenes.layout.splits import COUNTS

    sizes = [COUNTS, {split: TIMES * count for split, count in COUNTS.items()}]
    calls = [[sys.executable, "-m", "benchmarks.scenes", json.dumps(counts)] for counts in sizes]
    runs = [[measure(call) for call in calls] for _ in range(REPEATS)]
    small, large = (
        {key: min(run[place][key] for run in runs) for key in ("seconds", "wall", "peak_mb")}
        for place in range(len(sizes))
    )
    count = sum(COUNTS.values())
    small_cost, large_cost = small["seconds"] / count, large["seconds"] / (TIMES * count)
    change = large_cost / small_cost - 1
    return [
        at_most(f"recipes and language of {count:,} scenes", small["wall"], MOST_SECONDS, " s"),
        Requirement(
            f"their cost a scene, {TIMES * count:,} vs {count:,} scenes",
            f"{change:+.1%} ({large_cost:.4f} vs {small_cost:.4f} core-s)",
            f"within {MOST_CHANGE:.0%}",
            abs(change) <= MOST_CHANGE,
        ),
        at_most(
            f"their memory, {TIMES * count:,} / {count:,} scenes",
            large["peak_mb"] / small["peak_mb"],
            MOST_MEMORY,
            detail=f"{large['peak_mb']:.0f} vs {small['peak_mb']:.0f} MB",
        ),
    ]


def main() -> None:
    """Print the cost of building the numbers of scenes that the argument gives as JSON by split."""
    from g2vlm.scenes.assets.catalog import REVIEWED, read_models
    from g2vlm.scenes.build import draw_scenes, write_scenes
    from g2vlm.scenes.layout.splits import SEED

    start, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        models = read_models(REVIEWED)
        write_scenes(draw_scenes(models, json.loads(sys.argv[1])), models, Path(folder), SEED)
    seconds, wall = time.process_time() - cpu, time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "wall": wall, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
