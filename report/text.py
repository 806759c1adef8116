"""How metrics and numbers are written for people."""

import math
import re

from metrics.statistics.measures import higher_is_better

# Parts of metric names that a reader sees written differently.
_WORDS = {
    **{"fscore": "F-score", "iou": "IoU", "l1": "L1", "l2sq": "squared L2", "sim3": "after sim(3)"},
    **{"m": "(m)", "m2": "(m²)", "2.5cm": "2.5 cm", "5cm": "5 cm", "10cm": "10 cm"},
    **{"mae": "MAE", "absrel": "AbsRel", "delta1.25": "δ 1.25", "map": "mAP", "mrr": "MRR"},
    **{"spq": "SPQ", "pq": "PQ", "sg": "graph", "f1": "F1", "ref": "reference", "acc": "Acc"},
    **{"em": "exact match", "mra": "MRA", "medr": "MedR", "meanr": "MeanR"},
}


def metric_label(metric: str, subset: str = "all") -> str:
    """Return a metric's name in words, with its subset unless it is over all items.

    >>> metric_label("mesh_iou"), metric_label("ref_pick", "needs_geometry")
    ('Mesh IoU', 'Reference pick, needs geometry')
    >>> metric_label("fscore@2.5cm"), metric_label("recall_completion@10cm")
    ('F-score 2.5 cm', 'Recall completion 10 cm')
    >>> metric_label("triplet_recall@50"), metric_label("text_to_scene_r@1")
    ('Triplet recall@50', 'Text to scene R@1')
    >>> metric_label("sg_accuracy"), metric_label("grounding_retrieval_map")
    ('Graph accuracy', 'Phrase to object mAP')
    """
    # A rank keeps its sign, as in recall@5; a threshold is set apart.
    parts = re.split(r"_|@(?!\d+$)", metric.replace("grounding_retrieval", "phrase_to_object"))
    label = " ".join(_WORDS.get(part, part) for part in parts).replace("r@", "R@")
    label = label[0].upper() + label[1:]
    return label if subset == "all" else f"{label}, {subset.replace('_', ' ')}"


def metric_head(metric: str, subset: str = "all") -> str:
    """Return a metric's label with the arrow of its better direction."""
    return f"{metric_label(metric, subset)} {arrow(metric)}"


def arrow(metric: str) -> str:
    """Return the direction in which the metric is better."""
    return "↑" if higher_is_better(metric) else "↓"


def title(name: str) -> str:
    """Return a name of a file or a column as words.

    >>> title("not_produced")
    'Not produced'
    """
    return name.replace("_", " ").capitalize()


def number(value: float, digits: int = 3) -> str:
    """Return a rounded number, "" for NaN.

    >>> number(0.12345), number(float("nan")), number(-0.00004)
    ('0.123', '', '0.000')
    """
    if value is None or math.isnan(value):
        return ""
    return f"{value:z.{digits}f}"


def digits_for(width: float, digits: int = 3) -> int:
    """Return how many decimals a width needs to be visible, between `digits` and six.

    >>> digits_for(0.2), digits_for(0.00008), digits_for(float("nan"))
    (3, 5, 3)
    """
    return min(6, max(digits, math.ceil(-math.log10(width)))) if width > 0 else digits


def interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """Return "mean [low, high]", or the mean alone where there is no interval.

    A narrow interval gets as many decimals as its width needs to be visible.

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
    """Return a p-value with three decimals.

    >>> p_value(0.00002), p_value(0.0412)
    ('<0.001', '0.041')
    """
    if p is None or math.isnan(p):
        return ""
    return "<0.001" if p < 0.0005 else f"{p:.3f}"
