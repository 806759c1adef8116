"""Does a trained method beat the controls of its task that see no scene?

The gate compares means on scenes of the training split and on val; it reads no test split. A method
that loses on train is under-fitted, and nothing should be concluded from its scores. One that wins
on train and loses on val is fitted and lacks the information.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from metrics.controls import split_means
from metrics.files import InputError
from metrics.registry import METRICS
from metrics.rows import ALL

Path = str | os.PathLike[str]
# The split that methods are fitted on, and the one that their thresholds are calibrated on.
SPLITS = ("train", "val")

UNFIT = "loses to the constant on train: under-fitted"
NO_INFORMATION = "beats the constant on train, not on val: lacks the information"
FIT = "beats the constant on train and val"


def gate(
    tasks: Mapping[str, Mapping[str, Any]],
    methods: Mapping[str, Collection[str]],
    tables: Mapping[tuple[str, str], Sequence[Path]],
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return what the gate says of each method and task.

    Args:
        tasks: {task: {"metric": name, "controls": names}}.
        methods: {trained method: the controls that use no more than its inputs}. The best of those
            that the task names is the constant of that method, on each split.
        tables: {(method or control, split of `SPLITS`): its score tables, one a seed}.

    Returns:
        {method: {task: {"fit", "reason", "metric", "train", "train_constant", "val",
        "val_constant"}}}, without the tasks that a method does not produce.

    Raises:
        InputError: a control does not produce its task, or none of them is fair to a method.
    """
    means = {key: mean_scores(paths) for key, paths in tables.items()}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for method, fair in methods.items():
        found[method] = {}
        for task, declared in tasks.items():
            metric = declared["metric"]
            own = [means[method, split].get(metric) for split in SPLITS]
            if None in own:
                continue
            controls = [name for name in declared["controls"] if name in fair]
            if not controls:
                raise InputError(
                    f"gate.tasks.{task}: every control uses inputs that {method} lacks; name one "
                    "that does not"
                )
            constants = [_constant(task, metric, controls, means, split) for split in SPLITS]
            found[method][task] = {"metric": metric} | _verdict(metric, own, constants)
    return found


def _constant(
    task: str,
    metric: str,
    controls: Sequence[str],
    means: Mapping[tuple[str, str], Mapping[str, float]],
    split: str,
) -> float:
    """Return the best score of a task's controls on a split.

    Raises:
        InputError: a control has no such score.
    """
    for control in controls:
        if metric not in means[control, split]:
            raise InputError(
                f"gate.tasks.{task}: control {control} has no {metric} on {split}; "
                "name one that produces it"
            )
    best = max if METRICS[metric].higher_is_better else min
    return best(means[control, split][metric] for control in controls)


def _verdict(metric: str, own: Sequence[Any], constants: Sequence[float]) -> dict[str, Any]:
    """Return the entry of one method and task; values are on train and val."""
    sign = 1 if METRICS[metric].higher_is_better else -1
    train, val = (sign * (a - b) > 0 for a, b in zip(own, constants, strict=True))
    reason = FIT if train and val else NO_INFORMATION if train else UNFIT
    return {
        "fit": train,
        "reason": reason,
        "train": own[0],
        "train_constant": constants[0],
        "val": own[1],
        "val_constant": constants[1],
    }


def mean_scores(paths: Sequence[Path]) -> dict[str, float]:
    """Return {metric: mean over the score tables of one method, one a seed}, over all items."""
    tables = [split_means(path) for path in paths]
    names = {metric for table in tables for metric, subset in table if subset == ALL}
    return {
        name: float(np.mean([table[name, ALL] for table in tables]))
        for name in sorted(names)
        if all((name, ALL) in table for table in tables)
    }
