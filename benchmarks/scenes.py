"""What a scene's recipe and language cost, in a small and in a five times larger data set."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.clouds import peak_mb
from benchmarks.timing import Bar, measure

TIMES = 5
REPEATS = 2
MOST_CHANGE = 0.10
MOST_SECONDS = 90.0
# What is kept of a scene is its name and what its questions' words gave away.
MOST_MEMORY = 1.25


def growth() -> list[Bar]:
    """Core seconds and memory of drawing and describing cpu's scenes, and five times as many.

    Each size is built `REPEATS` times in turn, every time in a process of its own; the best counts.
    """
    from g2vlm.scenes.layout.splits import COUNTS

    sizes = [COUNTS, {split: TIMES * count for split, count in COUNTS.items()}]
    call = [sys.executable, "-m", "benchmarks.scenes"]
    runs = [[measure([*call, json.dumps(counts)]) for counts in sizes] for _ in range(REPEATS)]
    small, large = (
        {key: min(run[place][key] for run in runs) for key in ("seconds", "wall", "peak_mb")}
        for place in range(len(sizes))
    )
    count = sum(COUNTS.values())
    each, more = small["seconds"] / count, large["seconds"] / (TIMES * count)
    change, memory = more / each - 1, large["peak_mb"] / small["peak_mb"]
    return [
        Bar(
            f"recipes and language of {count:,} scenes",
            f"{small['wall']:.0f} s",
            f"<= {MOST_SECONDS:.0f} s",
            small["wall"] <= MOST_SECONDS,
        ),
        Bar(
            f"their cost a scene, {TIMES * count:,} scenes over {count:,}",
            f"{change:+.1%} ({more:.4f} and {each:.4f} core-s)",
            f"within {MOST_CHANGE:.0%}",
            abs(change) <= MOST_CHANGE,
        ),
        Bar(
            "their memory, the same",
            f"{memory:.2f} times ({large['peak_mb']:.0f} and {small['peak_mb']:.0f} MB)",
            f"<= {MOST_MEMORY} times",
            memory <= MOST_MEMORY,
        ),
    ]


def main() -> None:
    """Print what it costs to build the scenes of one size, given as JSON by split."""
    from g2vlm.scenes.assets.catalog import REVIEWED, read_models
    from g2vlm.scenes.build import write_scenes

    start, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        write_scenes(read_models(REVIEWED), json.loads(sys.argv[1]), Path(folder))
    cost = {
        "seconds": time.process_time() - cpu,
        "wall": time.perf_counter() - start,
        "peak_mb": peak_mb(),
    }
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
