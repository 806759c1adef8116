"""Which tasks a variant can hand in, and why not the others."""

from __future__ import annotations

from dataclasses import dataclass

from g2vlm.models.config import ModelConfig

_GEOMETRY = ("points", "mesh", "occupancy")
_OBJECTS = ("objects", "graph", "given_relations")
_PROBED = ("probed_retrieval",)
_LANGUAGE = ("grounding", "picks", "retrieval", "grounding_retrieval", "answers", "captions")


@dataclass(frozen=True)
class Capabilities:
    """produces: tasks of the submission format; reasons: why a task is not produced."""

    produces: tuple[str, ...]
    reasons: dict[str, str]
    mesh_kind: str | None


def capabilities(config: ModelConfig) -> Capabilities:
    """Return what a model of this configuration declares for every split."""
    reasons: dict[str, str] = {}
    if not config.votes:
        field = "the model has no occupancy field: it is trained without any 3D supervision"
        reasons |= {"mesh": field, "occupancy": field}
    if not config.language:
        why = "a reconstruction model: no language and no objects are trained"
        reasons |= dict.fromkeys((*_OBJECTS, *_LANGUAGE), why)
    produces = tuple(t for t in (*_GEOMETRY, *_OBJECTS, *_LANGUAGE, *_PROBED) if t not in reasons)
    return Capabilities(produces, reasons, "solids" if "mesh" in produces else None)
