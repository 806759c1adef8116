"""The five studies: the conditions that each compares and the differences that it asks about."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metrics.files import read_lines
from metrics.statistics import contrasts
from report.studies.facets import FACETS, groups_of
from report.studies.study import (
    Study,
    between_conditions,
    between_methods,
    estimates,
    gather,
    summarise,
)

NOMINAL = "as rendered"
# Metrics of one reference or phrase, which subgroups are about.
ITEM_METRICS = ("ref_pick", "ref_acc@0.25", "ref_acc@0.5", "grounding_retrieval_map")
# A group in fewer scenes has too wide an interval to print.
FEWEST_SCENES = 8


def data_efficiency(
    scores: pd.DataFrame,
    shares: Mapping[str, Mapping[str, str]],
    reference: str,
    metrics: Sequence[str],
) -> Study:
    """Compare methods that were trained with parts of the scenes for the same number of steps.

    Differences: the reference minus each other method under each condition, and how that changes
    from all scenes to the fewest (an interaction, of the same scenes).

    Args:
        scores: score tables of all trainings.
        shares: {condition: {method: name of its training}}, the fewest scenes first, all last.
        reference: the method that others are compared with.
        metrics: metrics to compare.
    """
    frames = {condition: _of_trainings(scores, trained) for condition, trained in shares.items()}
    blocks = gather(frames, metrics)
    names = list(dict.fromkeys(n for f in frames.values() for n in sorted(f["method"].unique())))
    rows = between_methods(blocks, reference, [name for name in names if name != reference])
    fewest, most = list(shares)[0], list(shares)[-1]
    for metric in metrics:
        few, all_scenes = (blocks.get((metric, condition), {}) for condition in (fewest, most))
        renamed = {f"{name} less": block for name, block in few.items()}
        less = {name: f"{name} less" for name in names if name in few and name in all_scenes}
        if reference in less:
            both = {("any", "all", metric): all_scenes | renamed}
            config = {"less": less, "metrics": [metric], "split": "any"}
            for row in contrasts.data_efficiency(both, reference, config):
                rows.append(row | {"condition": f"{fewest}, minus the same with all"})
    return summarise(
        "Data efficiency",
        "Nested parts of the training scenes, the same number of steps. If geometry makes learning "
        "from few scenes possible, as the article claims, the reference's lead grows as scenes "
        "become fewer.",
        shares,
        blocks,
        rows,
        metrics,
    )


def robustness(scores: Mapping[str, pd.DataFrame], metrics: Sequence[str]) -> Study:
    """Compare trained models on corrupted input with the same models on the input as rendered.

    Args:
        scores: {condition: score tables}, NOMINAL among them.
        metrics: metrics to compare.
    """
    blocks = gather(scores, metrics)
    return summarise(
        "Robustness to the input",
        "Trained models on input that they were not trained on; thresholds stay as calibrated on "
        "clean validation scenes. A difference is one method's score under a condition minus its "
        "own on the input as rendered.",
        scores,
        blocks,
        between_conditions(blocks, NOMINAL),
        metrics,
    )


def loss_balance(
    scores: pd.DataFrame, variants: Mapping[str, str], method: str, metrics: Sequence[str]
) -> Study:
    """Compare a method with each loss weight changed with its weights as configured.

    Args:
        scores: score tables of all variants.
        variants: {condition: name of its training}, the weights as configured first. All have the
            same, smaller number of steps.
        method: the method whose weights are changed.
        metrics: metrics to compare.
    """
    blocks = gather(
        {condition: _of_trainings(scores, {method: name}) for condition, name in variants.items()},
        metrics,
    )
    together = gather({"": scores[scores["method"].isin(variants.values())]}, metrics)
    (_, base), *changed = variants.items()
    rows = []
    for (metric, _), trained in together.items():
        for condition, name in changed:
            if {name, base} <= trained.keys():
                rows += between_methods({(metric, condition): trained}, name, [base])
    return summarise(
        "Balance of the losses",
        "Each loss weight left out (×0) or doubled (×2), everything else as configured, at half "
        "the steps and with fewer seeds than the main comparison. A difference is a variant minus "
        "the configured weights.",
        variants,
        blocks,
        rows,
        metrics,
    )


def tuning(
    scores: Mapping[str, pd.DataFrame],
    rates: Mapping[str, Mapping[str, str]],
    reference: str,
    metrics: Sequence[str],
) -> Study:
    """Compare methods at the shared learning rate and each at the rate that suits it.

    The rate that suits a method has the highest mean of `metrics` on validation scenes, of as many
    trials for one method as for another. Differences: each rate minus the shared one, of one method
    on validation; the reference minus each other method on the judged split, all at the shared rate
    and then each at the rate that suits it.

    Args:
        scores: {split: score table of all trainings}, of `val` and of the judged split.
        rates: {condition: {method: name of its training}}, the shared rate first.
        reference: the method that others are compared with.
        metrics: metrics to compare.
    """
    shared = next(iter(rates))
    judged = next(split for split in scores if split != "val")
    trials = {
        f"val, {rate}": _of_trainings(scores["val"], trained) for rate, trained in rates.items()
    }
    on_val = gather(trials, metrics)
    means = estimates(on_val, metrics).groupby(["method", "condition"])["estimate"].mean().unstack()
    names = [name for name in rates[shared] if name in means.index]
    means = means.loc[names, list(trials)].set_axis(list(rates), axis=1)
    suits = means.idxmax(axis=1)
    tests = {
        f"{judged}, {shared}": _of_trainings(scores[judged], rates[shared]),
        f"{judged}, each at the rate that suits it": _of_trainings(
            scores[judged], {name: rates[suits[name]][name] for name in names}
        ),
    }
    on_judged = gather(tests, metrics)
    rows = between_conditions(on_val, f"val, {shared}")
    rows += between_methods(on_judged, reference, [name for name in names if name != reference])
    return summarise(
        "Tuning",
        "Every method at the learning rate of the experiment and at others, one training each "
        "unless the config asks for more. The first table is the mean of the metrics below on "
        "validation scenes: the rate that suits a method is chosen by it, with as many trials for "
        "one as for another. Where the lead over a method falls once each has the rate that suits "
        "it, the shared rate was unfair to that method.",
        [*trials, *tests],
        on_val | on_judged,
        rows,
        metrics,
        means.assign(suits=suits).reset_index().rename(columns={"method": "Mean on val"}),
    )


def subgroups(
    scores: pd.DataFrame,
    truth: str | Path,
    frequencies: Mapping[str, int],
    reference: str,
    others: Sequence[str],
) -> Study:
    """Compare methods on groups of references and phrases.

    Differences: the reference minus each other method within each group.

    Args:
        scores: score tables of the methods.
        truth: annotations.jsonl of their split.
        frequencies: {class: number of its objects in training}.
        reference: the method that `others` are compared with.
        others: methods to compare.
    """
    keep = scores["metric"].isin(ITEM_METRICS) & (scores["subset"] == "all")
    keep &= (scores["query"] != "") & scores["method"].isin([reference, *others])
    frames: dict[str, pd.DataFrame] = {"all": scores[keep]}
    groups = groups_of(read_lines(Path(truth)), frequencies)
    joined = scores[keep].merge(groups, on=["scene", "query"])
    for facet, order in FACETS.items():
        of_facet = joined[joined["facet"] == facet]
        for group in order or sorted(of_facet["group"].unique()):
            rows = of_facet[of_facet["group"] == group]
            if rows["scene"].nunique() >= FEWEST_SCENES:
                frames[f"{facet}: {group}"] = rows.drop(columns=["facet", "group"])
    blocks = gather(frames, ITEM_METRICS)
    return summarise(
        "Subgroups",
        "References with one target, and phrases, by their subject. Where the reference's lead "
        "over the model without alignment is smaller in one group than in another, alignment "
        "helps some things more than others. Groups that occur in fewer than "
        f"{FEWEST_SCENES} scenes are left out.",
        frames,
        blocks,
        between_methods(blocks, reference, others),
        ITEM_METRICS,
    )


def _of_trainings(scores: pd.DataFrame, trained: Mapping[str, str]) -> pd.DataFrame:
    """Return the scores of {method: name of its training}, under the names of the methods."""
    method_of: dict[Any, str] = {name: method for method, name in trained.items()}
    rows = scores[scores["method"].isin(list(method_of))]
    return rows.assign(method=np.array([method_of[n] for n in rows["method"]], dtype=object))
