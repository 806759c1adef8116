"""How many trainings and scenes a difference needs, planned from scores of a finished study."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from metrics.files import InputError
from metrics.statistics import detection, effects, moments, pairwise_differences, table

SEEDS = (2, 3, 5, 8, 10, 20)
SCENES = (20, 40, 80, 160, 300, 600, 1000)
COLUMNS = ["seeds", "scenes", "power", "detectable", "enough"]


@dataclass(frozen=True)
class Components:
    """Variance components of the difference of two methods, in the model of `moments`.

    Attributes:
        seed: variance of the training effects, summed over both methods.
        scene: variance of the difference of the methods' scene effects.
        cell: variance of what is left of a cell, queries included, summed over both methods.
    """

    seed: float
    scene: float
    cell: float


def components(a: moments.Cells, b: moments.Cells) -> Components:
    """Return the variance components of mean(a) - mean(b) by the method of moments.

    The mean squares are set equal to their expectations (see `metrics.statistics.moments`), and
    no component may be negative. A method with one training adds nothing to `seed`.

    Args:
        a: cells of the first method.
        b: cells of the second, over the same scenes in the same order.

    Raises:
        ValueError: the methods do not share two scenes or more.

    Source: Searle, Casella and McCulloch, Variance components, 1992.
    """
    if a.scenes != b.scenes or a.scenes < 2:
        raise ValueError("planning needs the same two scenes or more of both methods")
    # E[s2 of the training means] = seed + cell / N.
    seed = sum(
        max(float(m.seed_variance) - float(m.residual) / m.scenes, 0.0)
        for m in (a, b)
        if m.seeds > 1
    )
    # E[s2 of the scene gaps] = scene + cell_A / S_A + cell_B / S_B.
    gaps = float((a.scene_means - b.scene_means).var(ddof=1))
    inside = sum(float(m.residual) / m.seeds for m in (a, b))
    return Components(seed, max(gaps - inside, 0.0), float(a.residual) + float(b.residual))


def design_of(parts: Components, seeds: int, scenes: int) -> detection.Design:
    """Return the design of a study of that size with the expected mean squares of `moments`.

    Both methods have `seeds` trainings and half of each component.
    """
    rest = parts.cell / 2
    training = parts.seed / 2 + rest / scenes
    by_scene = parts.scene + parts.cell / seeds
    return detection.Design((seeds,) * 2, scenes, (training,) * 2, (rest,) * 2, by_scene)


def plan(
    gap: float,
    parts: Components,
    target_power: float = 0.8,
    tests: int = 1,
    seeds: tuple[int, ...] = SEEDS,
    scenes: tuple[int, ...] = SCENES,
) -> pd.DataFrame:
    """Return a row (`COLUMNS`) for each design, a number of trainings and a number of scenes.

    Power is simulated with the rule that decides in `compare` (`detection`).

    Args:
        gap: true difference, in the unit of the metric.
        parts: variance components.
        target_power: power to reach.
        tests: size of the family; the power is that of the first, strictest step of Holm's
            procedure.
        seeds: numbers of trainings of the designs.
        scenes: numbers of scenes of the designs.

    Returns:
        The power for `gap`, the difference that is detected with the target power (`detectable`),
        and whether the design reaches the target power for `gap` (`enough`).
    """
    alpha, rows = effects.ALPHA / tests, []
    for s, n in product(seeds, scenes):
        design = design_of(parts, s, n)
        reached = detection.power(gap, design, alpha)
        detectable = detection.detectable(design, alpha, target_power)
        rows.append((s, n, reached, detectable, bool(reached >= target_power)))
    return pd.DataFrame(rows, columns=COLUMNS)


def from_scores(
    source: str | Path | pd.DataFrame,
    metric: str,
    a: str,
    b: str,
    gap: float,
    split: str = "dev_scene",
    subset: str = "all",
    target_power: float = 0.8,
    tests: int = 1,
) -> tuple[Components, pd.DataFrame]:
    """Return the variance components of a vs b in a table of scores, and the `plan` for them.

    Args:
        source: as in `metrics.statistics.table.load`.
        metric: its name.
        a: name of the first method.
        b: name of the second.
        gap: true difference to detect, in the unit of the metric.
        split: of the scores.
        subset: of the scores.
        target_power: power to reach.
        tests: size of the family.

    Raises:
        InputError: the table lacks one of the names, fewer than two scenes are shared, or no
            training was repeated, so that the variance between trainings is unknown.
    """
    if not gap > 0 or not 0 < target_power < 1 or tests < 1:
        raise InputError("plan: the gap must be above 0, the power between 0 and 1, the tests >= 1")
    key = (split, subset, metric)
    blocks = next((found for k, found in table.blocks(table.load(source)) if k == key), None)
    if blocks is None:
        raise InputError(f"{source}: has no {metric} on {split} ({subset}); name one that it has")
    missing = [name for name in (a, b) if name not in blocks]
    if missing:
        raise InputError(f"{source}: {metric} has no {missing[0]}; choose from {', '.join(blocks)}")
    first, second = blocks[a], blocks[b]
    shared = pairwise_differences.shared_scenes(first, second)
    if len(shared) < 2:
        raise InputError(f"{source}: {a} and {b} share {len(shared)} scenes; planning needs two")
    cells = [block.summary(shared) for block in (first, second)]
    if any(m.stochastic for m in cells) and all(m.seeds < 2 for m in cells):
        raise InputError(f"{source}: one training each of {a} and {b}; train one of them twice")
    parts = components(*cells)
    return parts, plan(gap, parts, target_power, tests)


def format_plan(parts: Components, designs: pd.DataFrame, gap: float, target_power: float) -> str:
    """Return the components as standard deviations, and the power of every design, as text."""
    sizes = ", ".join(
        f"{name} {np.sqrt(getattr(parts, name)):.4f}" for name in ("seed", "scene", "cell")
    )
    grid = designs.pivot(index="seeds", columns="scenes", values="power")
    result = f"No design here reaches a power of {target_power:g}."
    for row in designs[designs["enough"]].sort_values(["seeds", "scenes"]).head(1).itertuples():
        fewest = f"{row.seeds}, with {row.scenes} scenes"
        result = f"Fewest trainings for a power of {target_power:g}: {fewest}."
    return (
        f"Standard deviations of the difference: {sizes}\n"
        f"Power to detect {gap:g}, by trainings (rows) and scenes (columns):\n"
        f"{grid.to_string(float_format=lambda value: f'{value:.2f}')}\n{result}"
    )
