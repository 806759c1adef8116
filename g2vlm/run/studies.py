"""Trainings that only the extra studies need: fewer scenes, other loss weights or rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from g2vlm.run.config import merge
from metrics.files import InputError

Methods = dict[str, dict[str, Any]]


def trained_with(method: str, share: float) -> str:
    """Return the name under which a method is trained with a share of the scenes.

    >>> trained_with("full", 0.1), trained_with("full", 1)
    ('full_at_10', 'full')
    """
    return method if share >= 1 else f"{method}_at_{round(100 * share)}"


def shares(config: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return {condition: {method: trained name}} of the data-efficiency study, all scenes last."""
    said = config["studies"]["data_efficiency"]
    return {
        f"{round(100 * share)}% of the scenes": {m: trained_with(m, share) for m in said["methods"]}
        for share in (*sorted(said["shares"]), 1)
    }


def weights(config: Mapping[str, Any]) -> dict[str, str]:
    """Return {condition: trained name} of the loss-balance study, the configured weights first."""
    said = config["studies"]["loss_balance"]
    found = {"weights as configured": f"{said['method']}_balance"}
    for loss in config["train"]["loss_weights"]:
        for factor in said["factors"]:
            found[f"{loss} ×{factor:g}"] = f"{said['method']}_{loss}_x{_plain(factor)}"
    return found


def rates(config: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return {condition: {method: trained name}} of the tuning study, the configured rate first."""
    found = {"rate as configured": {name: name for name in config["methods"]}}
    for factor in config["studies"]["tuning"]["factors"]:
        found[f"rate ×{factor:g}"] = {name: _rated(name, factor) for name in config["methods"]}
    return found


def variants(config: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]]) -> Methods:
    """Return the methods that the studies train beside the experiment's own, by name.

    Each is its method with `based_on`, and with `scenes` (a share) or `train` (a whole section).
    Methods that the experiment leaves out are left out here. Raises `InputError` where a name is
    taken.
    """
    found: Methods = {}
    said = config["studies"]["data_efficiency"]
    for name in said["methods"]:
        for share in said["shares"] if name in methods else ():
            changed = {"based_on": name, "scenes": share}
            found[trained_with(name, share)] = {**methods[name], **changed}
    balance = config["studies"]["loss_balance"]
    if balance["method"] in methods:
        found |= _balanced(config, balance, methods[balance["method"]])
    for factor in config["studies"]["tuning"]["factors"]:
        rate = {"learning_rate": factor * config["train"]["learning_rate"]}
        train = merge(config["train"], rate)
        for name, method in methods.items():
            found[_rated(name, factor)] = {**method, "based_on": name, "train": train}
    if taken := sorted(set(found) & set(methods)):
        raise InputError(f"config: method {taken[0]!r} has the name of a study's; rename it")
    return found


def _balanced(
    config: Mapping[str, Any], said: Mapping[str, Any], method: Mapping[str, Any]
) -> Methods:
    steps = {
        name: max(1, round(said["steps"] * count))
        for name, count in config["train"].items()
        if name.endswith("_steps")
    }
    shorter = merge(config["train"], steps)
    names = weights(config)
    found = {}
    for condition, name in names.items():
        train = shorter
        if "×" in condition:
            loss, factor = condition.split(" ×")
            weight = config["train"]["loss_weights"][loss] * float(factor)
            train = merge(shorter, {"loss_weights": {loss: weight}})
        found[name] = {**method, "based_on": said["method"], "train": train}
    return found


def _rated(method: str, factor: float) -> str:
    return f"{method}_rate_x{_plain(factor)}"


def _plain(factor: float) -> str:
    return f"{factor:g}".replace(".", "_")
