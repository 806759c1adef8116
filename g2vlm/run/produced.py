"""What metrics a method can be scored on, told from its declarations before anything runs."""

from collections.abc import Mapping
from typing import Any

from metrics.registry import METRICS

_SOLIDS = ("mesh", "occupancy")
_LANGUAGE = (
    "grounding",
    "picks",
    "retrieval",
    "grounding_retrieval",
    "answers",
    "captions",
)
_EMBEDDINGS = ("retrieval", "grounding_retrieval")


def untrained_tasks(switches: Mapping[str, Any]) -> dict[str, str]:
    """Return {task: reason} of the tasks that a method with these switches is not trained for.

    It holds every task that `g2vlm.inference.predict.missing_tasks` leaves out, and the scores of
    embeddings that no loss trains.
    """
    reasons: dict[str, str] = {}
    if not switches["align_loss"]:
        reasons |= dict.fromkeys(_EMBEDDINGS, "it has no contrastive loss (`align_loss`)")
    if not switches["supervision_3d"]:
        reasons |= dict.fromkeys(_SOLIDS, "it learns no solids (`supervision_3d` is 0)")
    if not switches["language"]:
        reasons |= dict.fromkeys(_LANGUAGE, "it has no language (`language`)")
    return reasons


def lacks_metric(constants: Mapping[str, Any], metric: str) -> str:
    """Return why a baseline has no rows of a metric, "" if it has them.

    Args:
        constants: the declarations of its method.py.
        metric: a name of the registry.
    """
    found = METRICS[metric]
    produced = set(constants["PRODUCES"])
    if "mesh" in produced:  # A mesh is sampled and filled where there is nothing else.
        produced |= {"points", "occupancy"}
    if found.task not in produced:
        return f"it does not produce {found.task}"
    if found.input == "surface" and found.reason and not constants.get("PIXELS"):
        return found.reason
    return ""
