"""A toy training that `accelerate launch` runs in several processes: STUDY OUT ACCUMULATION."""

import sys
from pathlib import Path

from g2vlm.training import train as loop
from metrics.files import run_main
from tests.g2vlm.models.build import CONFIG, CPU, read_method, train_set

SETTINGS = CPU["train"] | {
    "stage1_steps": 2,
    "stage2_steps": 3,
    "batch_scenes": 2,
    "queries_per_scene": 3,
    "occupancy_queries": 32,
    "box_head_steps": 60,
    "referring_head_steps": 4,
    "qa_head_steps": 4,
}


def main() -> int:
    """Train the toy; every process of the group runs this."""
    study, out, accumulation = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    loop.load_train_set = lambda *_: train_set()
    loop.train(
        CONFIG | {"train": SETTINGS | {"accumulation": accumulation}},
        read_method("full"),
        study,
        study / out,
        study / f"checkpoint-{out}",
        0,
    )
    return 0


if __name__ == "__main__":
    run_main(main)
