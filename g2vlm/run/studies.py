"""Trainings that only the extra studies need: fewer scenes, other loss weights or learning rates.

Every function takes a whole experiment config; `config["studies"]` holds what the studies vary.
"""

from collections.abc import Mapping
from typing import Any

# A name and a method with what a study changes.
Training = tuple[str, dict[str, Any]]


def data_efficiency_trainings(config: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return {condition: {method: trained name}} of the data-efficiency study, all scenes last."""
    study = config["studies"]["data_efficiency"]
    return {
        f"{round(100 * share)}% of the scenes": {
            method: _with_share(method, share) for method in study["methods"]
        }
        for share in (*sorted(study["shares"]), 1)
    }


def loss_balance_trainings(config: Mapping[str, Any]) -> dict[str, str]:
    """Return {condition: trained name} of the loss-balance study, the configured weights first."""
    study = config["studies"]["loss_balance"]
    trainings = {"weights as configured": _with_weights(study["method"])}
    for loss in config["train"]["loss_weights"]:
        for factor in study["factors"]:
            trainings[f"{loss} ×{factor:g}"] = _with_weights(study["method"], loss, factor)
    return trainings


def tuning_trainings(config: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return {condition: {method: trained name}} of the tuning study, the configured rate first."""
    trainings = {"rate as configured": {name: name for name in config["methods"]}}
    for factor in config["studies"]["tuning"]["factors"]:
        trainings[f"rate ×{factor:g}"] = {
            name: _with_rate(name, factor) for name in config["methods"]
        }
    return trainings


def variant_trainings(
    config: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]]
) -> list[Training]:
    """Return (name, method) of what the studies train in addition to the experiment's methods.

    A variant is its method with `based_on` (the method's name) and with `scenes` (the share of the
    training scenes) or `train` (a complete `train` section). Methods that are not in `methods` have
    no variants.
    """
    result: list[Training] = []
    study = config["studies"]["data_efficiency"]
    for name in study["methods"]:
        if name in methods:
            for share in study["shares"]:
                changes = {"based_on": name, "scenes": share}
                result.append((_with_share(name, share), {**methods[name], **changes}))
    balance = config["studies"]["loss_balance"]
    if balance["method"] in methods:
        result += _loss_balance_variants(config, methods[balance["method"]])
    for factor in config["studies"]["tuning"]["factors"]:
        train = config["train"]
        train = train | {"learning_rate": factor * train["learning_rate"]}
        for name, method in methods.items():
            result.append((_with_rate(name, factor), {**method, "based_on": name, "train": train}))
    return result


def _loss_balance_variants(config: Mapping[str, Any], method: Mapping[str, Any]) -> list[Training]:
    """Return the variants with fewer steps and one changed loss weight each."""
    study = config["studies"]["loss_balance"]
    steps = {
        name: max(1, round(study["steps"] * count))
        for name, count in config["train"].items()
        if name.endswith("_steps")
    }
    shorter = config["train"] | steps
    weights = shorter["loss_weights"]
    trainings = [(_with_weights(study["method"]), shorter)]
    for loss, weight in weights.items():
        for factor in study["factors"]:
            name = _with_weights(study["method"], loss, factor)
            changed = shorter | {"loss_weights": weights | {loss: weight * float(factor)}}
            trainings.append((name, changed))
    return [
        (name, {**method, "based_on": study["method"], "train": train}) for name, train in trainings
    ]


def _with_share(method: str, share: float) -> str:
    return method if share >= 1 else f"{method}_at_{round(100 * share)}"


def _with_weights(method: str, loss: str | None = None, factor: float = 1) -> str:
    return f"{method}_{loss}_x{_in_name(factor)}" if loss else f"{method}_balance"


def _with_rate(method: str, factor: float) -> str:
    return f"{method}_rate_x{_in_name(factor)}"


def _in_name(factor: float) -> str:
    return f"{factor:g}".replace(".", "_")
