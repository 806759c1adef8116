"""A toy training that `accelerate launch` runs in several processes: STUDY OUT ACCUMULATION."""

import sys
from dataclasses import replace
from pathlib import Path

from build import CONFIG, SMALL, read_method, train_set

from g2vlm.training import train as loop
from metrics.files import run_main

SETTINGS = {
    "stage1_steps": 2,
    "stage2_steps": 3,
    "batch_scenes": 2,
    "queries_per_scene": 3,
    "occupancy_queries": 32,
    "refit_steps": 60,
    "reader_steps": 4,
    "answer_steps": 4,
}


def main() -> int:
    """Train the toy; every process of the team runs this."""
    study, out, accumulation = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    configure = loop.configure
    loop.load_train_set = lambda *_: train_set()
    loop.configure = lambda *given: replace(configure(*given), **SMALL)
    loop.train(
        CONFIG | {"train": SETTINGS | {"accumulation": accumulation}},
        read_method("full"),
        study / "scenes",
        study / "features",
        study / out,
        study / f"checkpoint-{out}",
        0,
    )
    return 0


if __name__ == "__main__":
    run_main(main)
