"""Measure what trainings of one seed have in common: `python -m benchmarks.seed_correlation RUN`.

Trainings of one seed and one code base share initial weights, the order of scenes and dropout.
Comparing them as pairs (`statistics.paired`) gains precision only where this makes their scores
rise and fall together. For each declared test of two trained methods, the table holds the
correlation of their means on val, which decide no claim, over the seeds of a finished run.
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metrics.controls import split_means
from metrics.files import InputError, run_main
from metrics.rows import ALL
from metrics.statistics.families import Claim, parse_families
from report.table import markdown_grid

# With fewer seeds a correlation says nothing.
FEWEST_SEEDS = 4

# {method: {seed: {(metric, subset): mean}}}
Means = Mapping[str, Mapping[int, Mapping[tuple[str, str], float]]]


@dataclass(frozen=True)
class SeedCorrelation:
    """The correlation of two methods' means on one metric.

    Attributes:
        a, b: the methods.
        metric: with its subset after a slash, unless that is all items.
        seeds: number of common seeds.
        r: Pearson's correlation over them.
    """

    a: str
    b: str
    metric: str
    seeds: int
    r: float


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.seed_correlation", description=__doc__
    )
    parser.add_argument("run", type=Path, help="folder of a finished run, such as results/cpu")
    run = parser.parse_args().run
    record = run / "manifest.json"
    if not record.is_file():
        raise InputError(f"{record}: not found; give the folder of a finished run")
    config = json.loads(record.read_text(encoding="utf-8"))["config"]
    claims = parse_families(config["statistics"]["families"])
    found = seed_correlations(claims, read_means(run, config["methods"]))
    if not found:
        raise InputError(f"{run}: no two methods of a declared test have {FEWEST_SEEDS} seeds")
    rows = [[row.a, row.b, row.metric, str(row.seeds), f"{row.r:+.2f}"] for row in found]
    print(markdown_grid(["method", "rival", "metric", "seeds", "correlation"], rows))
    print(f"\nmedian {np.median([row.r for row in found]):+.2f} of {len(found)}")
    return 0


def read_means(run: Path, methods: Iterable[str]) -> Means:
    """Return the means on val of every training of some methods, from the gate's scores."""
    folder = run / "gate" / "scores" / "val"
    return {
        name: {int(path.stem): split_means(path) for path in (folder / name).glob("*.parquet")}
        for name in methods
    }


def seed_correlations(claims: Iterable[Claim], means: Means) -> list[SeedCorrelation]:
    """Return the correlation of each declared test that two methods with enough seeds have.

    A test is left out where one of the two has no such score or the same in every training.
    """
    found: dict[tuple[str, str, str], SeedCorrelation] = {}
    for claim in claims:
        for _, _, test in claim.tests():
            seeds = sorted(means.get(test.a, {}).keys() & means.get(test.b, {}).keys())
            key = (test.metric, test.subset)
            scores = np.array(
                [
                    [means[name][seed].get(key, np.nan) for seed in seeds]
                    for name in (test.a, test.b)
                ]
            )  # (2, seeds)
            if len(seeds) < FEWEST_SEEDS or not (np.ptp(scores, axis=1) > 0).all():
                continue
            name = test.metric if test.subset == ALL else f"{test.metric}/{test.subset}"
            r = float(np.corrcoef(scores)[0, 1])
            found[test.a, test.b, name] = SeedCorrelation(test.a, test.b, name, len(seeds), r)
    return list(found.values())


if __name__ == "__main__":
    run_main(main)
