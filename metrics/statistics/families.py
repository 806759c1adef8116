"""Families of tests declared before training, and their correction for multiplicity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from metrics.files import InputError

RECONSTRUCTION = ["chamfer_l1_m", "fscore@5cm", "mesh_iou", "occupancy_iou"]
REASONING = ["spq@0.5", "sg_accuracy"]
LANGUAGE = ["probed_text_to_scene_mrr", "ref_acc@0.25", "grounding_retrieval_map"]

ARTICLE_ROWS = {
    "no_geometry": ["chamfer_l1_m", "fscore@5cm", "mesh_iou", *REASONING],
    "no_alignment": LANGUAGE,
    "geometry_free_vlm": [*REASONING, *LANGUAGE],
    "reconstruction_only": RECONSTRUCTION,
    "minimal_3d_vlm": [*RECONSTRUCTION, *LANGUAGE],
}

DEFAULT: dict[str, Any] = {
    "article": {
        "split": "test_scene",
        "tests": [
            {"a": "full", "b": [name], "metrics": metrics} for name, metrics in ARTICLE_ROWS.items()
        ],
    },
    "contrasts": {
        "split": "test_scene",
        "tests": [
            {"a": "minimal_3d_vlm", "b": ["geometry_free_vlm"], "metrics": REASONING + LANGUAGE},
            {
                "a": "reconstruction_only",
                "b": ["geometry_free_vlm", "minimal_3d_vlm"],
                "metrics": RECONSTRUCTION,
            },
        ],
    },
    "causes": {
        "split": "test_scene",
        "tests": [
            {
                "a": "full",
                "b": ["no_depth", "no_geometry_module"],
                "metrics": ["fscore@5cm", "spq@0.5", "ref_acc@0.25/needs_geometry", "answer_mra"],
            },
            {
                "a": "full",
                "b": ["no_align_loss", "no_cross_attention"],
                "metrics": ["probed_text_to_scene_mrr", "ref_acc@0.25"],
            },
        ],
    },
}


@dataclass(frozen=True)
class Test:
    """One declared comparison: a against b on one metric of one split and subset."""

    family: str
    split: str
    subset: str
    metric: str
    a: str
    b: str


def declared(families: dict[str, Any] | None) -> list[Test]:
    """Expand the config's families ({name: {split, tests: [{a, b, metrics}]}}) into tests.

    A metric is written `name` or `name/subset`. None gives the project's own families. Raises
    InputError for a family that is not of that form.
    """
    tests = []
    for family, said in (DEFAULT if families is None else families).items():
        try:
            for group in said["tests"]:
                others = [group["b"]] if isinstance(group["b"], str) else group["b"]
                for b in others:
                    for written in group["metrics"]:
                        metric, _, subset = written.partition("/")
                        split = said.get("split", "test_scene")
                        tests.append(Test(family, split, subset or "all", metric, group["a"], b))
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"config: statistics.families.{family} is not {{split, tests: [{{a, b, metrics}}]}}"
                f" ({error})"
            ) from error
    return list(dict.fromkeys(tests))


def drop_untrained(tests: list[Test], methods: set[str]) -> list[Test]:
    """Leave out families none of whose tests has both methods in the experiment.

    A family that has some keeps all of its tests, so that its size stays as declared.
    """
    alive = {t.family for t in tests if {t.a, t.b} <= methods}
    return [t for t in tests if t.family in alive]


def adjust(p: np.ndarray, how: str) -> np.ndarray:
    """Return p adjusted by "holm" or "fdr_bh" (statsmodels).

    A declared test that could not be run keeps its place in a Holm family with p = 1 and gets NaN;
    for Benjamini-Hochberg, which runs over what was done, it is left out.
    """
    p = np.asarray(p, dtype=np.float64)
    lacking = np.isnan(p)
    out = np.full(p.shape, np.nan)
    if lacking.all():
        return out
    if how == "holm":
        out = multipletests(np.where(lacking, 1.0, p), method="holm")[1]
        return np.where(lacking, np.nan, out)
    out[~lacking] = multipletests(p[~lacking], method=how)[1]
    return out


def holm(p: np.ndarray) -> np.ndarray:
    """Return Holm-adjusted p; NaN counts as 1 and stays NaN.

    The same as `adjust(p, "holm")` without the garbage collection that statsmodels runs in every
    call, which would dominate where there is one small family a metric.
    """
    filled = np.where(np.isnan(p), 1.0, p)
    order = np.argsort(filled, kind="stable")
    steps = np.minimum(np.maximum.accumulate(filled[order] * np.arange(len(p), 0, -1)), 1.0)
    out = np.empty(len(p))
    out[order] = steps
    return np.where(np.isnan(p), np.nan, out)


def adjust_families(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with p_adjusted and adjustment: Holm per family, BH for "exploratory"."""
    rows = rows.copy()
    rows["p_adjusted"], rows["adjustment"] = np.nan, ""
    for family, index in rows.groupby("family").groups.items():
        how = "fdr_bh" if family == "exploratory" else "holm"
        rows.loc[index, "p_adjusted"] = adjust(rows.loc[index, "p"].to_numpy(np.float64), how)
        rows.loc[index, "adjustment"] = "Benjamini-Hochberg" if how == "fdr_bh" else "Holm"
    return rows
