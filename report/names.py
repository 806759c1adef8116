"""How methods, metrics and numbers are written for people."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Shown:
    """A metric as printed: `label`, the submission `task` that it needs, its `group`."""

    label: str
    task: str
    group: str


RECONSTRUCTION, GRAPH, LANGUAGE, ANSWERS = "Reconstruction", "Scene graph", "Grounding", "Answers"

# The split of captured rooms: too few for a test, and without colour.
REAL_ROOMS = "real_rooms"
HEADLINE = {
    "chamfer_l1_m": Shown("Chamfer L1 (m)", "points", RECONSTRUCTION),
    "fscore@5cm": Shown("F-score 5 cm", "points", RECONSTRUCTION),
    "mesh_iou": Shown("Mesh IoU", "mesh", RECONSTRUCTION),
    "occupancy_iou": Shown("Occupancy IoU", "occupancy", RECONSTRUCTION),
    "spq@0.5": Shown("SPQ 0.5", "graph", GRAPH),
    "sg_accuracy": Shown("Graph accuracy", "given_relations", GRAPH),
    "ref_acc@0.25": Shown("Reference Acc 0.25", "grounding", LANGUAGE),
    "ref_pick": Shown("Reference pick", "picks", LANGUAGE),
    "text_to_scene_mrr": Shown("Text to scene MRR", "retrieval", LANGUAGE),
    "probed_text_to_scene_mrr": Shown("Probed text to scene MRR", "probed_retrieval", LANGUAGE),
    "grounding_retrieval_map": Shown("Phrase to object mAP", "grounding_retrieval", LANGUAGE),
    "answer_score": Shown("Answer score", "answers", ANSWERS),
}

# Parts of the keys of metrics that are written otherwise.
_WORDS = {
    **{"fscore": "F-score", "iou": "IoU", "l1": "L1", "l2sq": "squared L2", "sim3": "after sim(3)"},
    **{"m": "(m)", "m2": "(m²)", "2.5cm": "2.5 cm", "5cm": "5 cm", "10cm": "10 cm"},
    **{"mae": "MAE", "absrel": "AbsRel", "delta1.25": "δ 1.25", "map": "mAP", "mrr": "MRR"},
    **{"spq": "SPQ", "pq": "PQ", "f1": "F1", "ref": "reference", "acc": "Acc"},
    **{"em": "exact match", "mra": "MRA"},
}

ARTICLE_ITEMS = {
    "no_geometry": "Ablation: without geometry grounding",
    "no_alignment": "Ablation: without language alignment",
    "geometry_free_vlm": "Baseline: geometry-free model, same frozen encoders",
    "reconstruction_only": "Baseline: 3D reconstruction without language",
    "minimal_3d_vlm": "Baseline: VLM with minimal 3D supervision",
}

METHOD_ORDER = (
    "full",
    *ARTICLE_ITEMS,
    "no_depth",
    "no_geometry_module",
    "no_align_loss",
    "no_cross_attention",
    "hf_vlm",
    "hf_depth",
    "clip_retrieval",
    "tsdf_fusion",
    "backprojection",
    "text_only",
    "majority",
    "rules_gt",
    "rules_pred",
    "chance",
    "oracle",
)


def method_order(methods: list[str]) -> list[str]:
    """Return methods in the project's order, strangers by name before the controls."""
    rank = {name: place for place, name in enumerate(METHOD_ORDER)}
    stranger = rank["text_only"] - 0.5
    return sorted(set(methods), key=lambda name: (rank.get(name, stranger), name))


def metric_label(metric: str, subset: str = "all") -> str:
    """Return a metric's printed name, with its subset where it is not the whole.

    >>> metric_label("mesh_iou"), metric_label("ref_pick", "needs_geometry")
    ('Mesh IoU', 'Reference pick, needs geometry')
    >>> metric_label("fscore@2.5cm"), metric_label("recall_completion@10cm")
    ('F-score 2.5 cm', 'Recall completion 10 cm')
    >>> metric_label("triplet_recall@50"), metric_label("text_to_scene_r@1")
    ('Triplet recall@50', 'Text to scene R@1')
    """
    label = HEADLINE[metric].label if metric in HEADLINE else _spelled(metric)
    return label if subset == "all" else f"{label}, {subset.replace('_', ' ')}"


def _spelled(metric: str) -> str:
    """Return a metric's key as words."""
    key = metric.replace("grounding_retrieval", "phrase_to_object")
    # A rank stays with its sign, as in recall@5; a threshold stands apart.
    words = [_WORDS.get(word, word) for word in re.split(r"_|@(?!\d+$)", key)]
    label = " ".join(words).replace("r@", "R@")
    return label[0].upper() + label[1:]


def metric_head(metric: str, subset: str = "all") -> str:
    """Return a metric's label with the arrow of its better direction."""
    return f"{metric_label(metric, subset)} {arrow(metric)}"


def title(name: str) -> str:
    """Return a file's stem or a column's name as words.

    >>> title("not_produced")
    'Not produced'
    """
    return name.replace("_", " ").capitalize()


def arrow(metric: str) -> str:
    """Return the direction in which the metric is better."""
    from metrics.statistics.measures import higher_is_better

    return "↑" if higher_is_better(metric) else "↓"


def number(value: float, digits: int = 3) -> str:
    """Return a plainly rounded number; nothing for NaN.

    >>> number(0.12345), number(float("nan")), number(-0.00004)
    ('0.123', '', '0.000')
    """
    if value is None or math.isnan(value):
        return ""
    text = f"{value:.{digits}f}"
    return text[1:] if float(text) == 0 and text.startswith("-") else text


def digits_for(width: float, digits: int = 3) -> int:
    """Return how many decimals show a width, `digits` at least and six at most.

    >>> digits_for(0.2), digits_for(0.00008), digits_for(float("nan"))
    (3, 5, 3)
    """
    return min(6, max(digits, math.ceil(-math.log10(width)))) if width > 0 else digits


def interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """Return "mean [low, high]", or the mean alone where there is no interval.

    A narrow interval gets as many digits as its width needs to be seen.

    >>> interval(0.5, 0.4, 0.6), interval(0.00012, 0.00008, 0.00016)
    ('0.500 [0.400, 0.600]', '0.00012 [0.00008, 0.00016]')
    """
    if value is None or math.isnan(value):
        return ""
    if low is None or math.isnan(low):
        return number(value, digits)
    digits = digits_for(high - low, digits)
    return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"


def p_value(p: float) -> str:
    """Return a p-value at three decimals.

    >>> p_value(0.00002), p_value(0.0412)
    ('<0.001', '0.041')
    """
    if p is None or math.isnan(p):
        return ""
    return "<0.001" if p < 0.0005 else f"{p:.3f}"
