"""The five studies: which conditions each compares, and which differences it asks about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metrics.files import read_lines
from metrics.statistics import contrasts
from report.studies import study
from report.studies.facets import FACETS, groups_of
from report.studies.study import Study

ALL_SCENES = "100% of the scenes"
NOMINAL = "as rendered"
HALF = "weights as configured"
SHARED = "rate as configured"
# What subgroups look at: scores of one reference or phrase.
BY_REFERENCE = ("ref_pick", "ref_acc@0.25", "ref_acc@0.5")
BY_PHRASE = ("grounding_retrieval_map",)
# A group that fewer scenes speak of has no interval worth printing.
LEAST_SCENES = 8


def data_efficiency(
    scores: pd.DataFrame,
    shares: Mapping[str, Mapping[str, str]],
    reference: str,
    metrics: Sequence[str],
) -> Study:
    """Every method trained with parts of the scenes, for the same number of steps.

    `shares` maps a condition to {method: the name under which it was trained so}, the whole
    training set last. Differences: the reference minus each other method under each condition, and
    how that changes from all scenes to the fewest (an interaction, of the same scenes).
    """
    frames = {name: _renamed(scores, trained) for name, trained in shares.items()}
    blocks, methods = study.gather(frames, metrics)
    names = list(dict.fromkeys(name for found in methods.values() for name in found))
    others = [name for name in names if name != reference]
    rows = study.between_methods(blocks, reference, others)
    fewest, most = list(shares)[0], list(shares)[-1]
    for metric in metrics:
        here, there = (blocks.get((metric, name), {}) for name in (fewest, most))
        renamed = {f"{name} less": block for name, block in here.items()}
        kept = {("any", "all", metric): there | renamed}
        less = {name: f"{name} less" for name in names if name in here and name in there}
        if reference in less:
            config = {"less": less, "metrics": [metric], "split": "any"}
            change = f"{fewest}, minus the same with all"
            rows += [
                row | {"condition": change}
                for row in contrasts.data_efficiency(kept, reference, config)
            ]
    said = (
        "Nested parts of the training scenes, the same number of steps. The article says that "
        "geometry makes learning from few scenes possible: then the reference's lead would grow "
        "as scenes become fewer."
    )
    table = study.estimates(blocks, metrics)
    return Study("Data efficiency", said, list(shares), table, study.adjusted(rows))


def robustness(scores: Mapping[str, pd.DataFrame], metrics: Sequence[str]) -> Study:
    """Trained models on spoiled input: `scores` maps a condition to its scores, NOMINAL among them.

    Differences: each method's condition minus nominal, of the same trainings.
    """
    blocks, _ = study.gather(scores, metrics)
    said = (
        "Trained models on input that they were not trained on; thresholds stay as chosen on clean "
        "validation scenes. A difference is one method's score under a condition minus its own on "
        "the input as rendered."
    )
    rows = study.between_conditions(blocks, NOMINAL)
    table = study.estimates(blocks, metrics)
    return Study("Robustness to the input", said, list(scores), table, study.adjusted(rows))


def loss_balance(
    scores: pd.DataFrame, variants: Mapping[str, str], method: str, metrics: Sequence[str]
) -> Study:
    """One method with each loss weight changed: `variants` maps a condition to its trained name.

    The condition HALF has the weights as configured and the same, smaller number of steps.
    Differences: each variant minus that.
    """
    base = variants[HALF]
    frames = {name: _renamed(scores, {method: trained}) for name, trained in variants.items()}
    blocks, _ = study.gather(frames, metrics)
    whole, _ = study.gather({"": scores[scores["method"].isin(variants.values())]}, metrics)
    label = {trained: condition for condition, trained in variants.items()}
    rows = []
    for (metric, _), found in whole.items():
        for name in variants.values():
            if name != base and {name, base} <= found.keys():
                one = study.between_methods({(metric, label[name]): found}, name, [base])
                rows += one
    said = (
        "Each loss weight left out (×0) or doubled (×2), everything else as configured, at half "
        "the steps and with fewer seeds than the main comparison. A difference is a variant minus "
        "the configured weights."
    )
    table = study.estimates(blocks, metrics)
    return Study("Balance of the losses", said, list(variants), table, study.adjusted(rows))


def tuning(
    val: pd.DataFrame,
    test: pd.DataFrame,
    rates: Mapping[str, Mapping[str, str]],
    reference: str,
    metrics: Sequence[str],
) -> Study:
    """Every method with other learning rates: as many trials on validation for one as for another.

    `rates` maps a condition, SHARED first, to {method: the name under which it was trained so};
    `val` and `test` are scores of all of them on two splits. The rate that suits a method is the
    one of the highest mean of `metrics` on `val`. Differences: each condition minus SHARED, of one
    method on `val`; the reference minus each other method on `test`, all at SHARED and then each
    at the rate that suits it.
    """
    trials = {f"val, {name}": _renamed(val, trained) for name, trained in rates.items()}
    blocks, _ = study.gather(trials, metrics)
    scored = study.estimates(blocks, metrics)
    means = scored.groupby(["method", "condition"])["estimate"].mean().unstack()
    names = [name for name in rates[SHARED] if name in means.index]
    means = means.loc[names, list(trials)].set_axis(list(rates), axis=1)
    suits = means.idxmax(axis=1)
    own = {name: rates[suits[name]][name] for name in names}
    tests = {
        f"test, {SHARED}": _renamed(test, rates[SHARED]),
        "test, each at the rate that suits it": _renamed(test, own),
    }
    tested, _ = study.gather(tests, metrics)
    rows = study.between_conditions(blocks, f"val, {SHARED}")
    rows += study.between_methods(tested, reference, [name for name in names if name != reference])
    said = (
        "Every method at the learning rate of the experiment and at others, one training each "
        "unless the config says more. The first table is the mean of the metrics below on "
        "validation scenes: by it the rate that suits a method is chosen, by as many trials for "
        "one as for another. Where the lead over a method on test falls once each has the rate "
        "that suits it, the shared rate was unfair to that method."
    )
    overview = means.assign(suits=suits).reset_index().rename(columns={"method": "Mean on val"})
    return Study(
        "Tuning",
        said,
        [*trials, *tests],
        study.estimates(blocks | tested, metrics),
        study.adjusted(rows),
        overview,
    )


def subgroups(
    scores: pd.DataFrame,
    truth: str | Path,
    frequencies: Mapping[str, int],
    reference: str,
    others: Sequence[str],
) -> Study:
    """Scores of references and phrases by what they are about.

    `truth` is the split's annotations.jsonl, `frequencies` counts a class's objects in training.
    Differences: the reference minus each of `others` within each group.
    """
    groups = groups_of(read_lines(Path(truth)), frequencies)
    metrics = (*BY_REFERENCE, *BY_PHRASE)
    wanted = scores[
        scores["metric"].isin(metrics)
        & (scores["subset"] == "all")
        & (scores["query"] != "")
        & scores["method"].isin([reference, *others])
    ]
    frames: dict[str, pd.DataFrame] = {"all": wanted}
    joined = wanted.merge(groups, on=["scene", "query"])
    for facet in FACETS:
        of_facet = joined[joined["facet"] == facet]
        for group in FACETS[facet] or sorted(of_facet["group"].unique()):
            rows = of_facet[of_facet["group"] == group]
            if rows["scene"].nunique() >= LEAST_SCENES:
                frames[f"{facet}: {group}"] = rows.drop(columns=["facet", "group"])
    blocks, _ = study.gather(frames, metrics)
    said = (
        "References with one target, and phrases, by what they are about. Where the reference's "
        "lead over the model without alignment is smaller in one group than in another, alignment "
        "helps some things more than others. Groups that fewer than "
        f"{LEAST_SCENES} scenes speak of are left out."
    )
    rows = study.between_methods(blocks, reference, others)
    table = study.estimates(blocks, metrics)
    return Study("Subgroups", said, list(frames), table, study.adjusted(rows))


def _renamed(scores: pd.DataFrame, trained: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows of {method: trained name}, under the methods' names."""
    back: dict[Any, str] = {name: method for method, name in trained.items()}
    rows = scores[scores["method"].isin(list(back))]
    return rows.assign(method=np.array([back[name] for name in rows["method"]], dtype=object))
