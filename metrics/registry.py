"""Every metric by name: what it is, in which unit, which way is better, and its worst value."""

from __future__ import annotations

from dataclasses import dataclass

from metrics.language.answers import THETAS
from metrics.language.grounding import THRESHOLDS as BOX_THRESHOLDS
from metrics.language.retrieval import RANKS
from metrics.reconstruction.pointcloud import THRESHOLDS
from metrics.reconstruction.voxels import SIDES
from metrics.scene_graph.rule_baseline import RULES
from metrics.scene_graph.triplet_recall import GIVEN_RANKS
from metrics.scene_graph.triplet_recall import RANKS as TRIPLET_RANKS
from metrics.truth import FLOORS

DTU = "Jensen et al. 2014 (DTU)"
OCCUPANCY_NETWORKS = "Mescheder et al. 2019 (Occupancy Networks)"
OWN = "this project"
# Aligned variants of metrics whose floors are measured; alignment by pixels adds nothing to them.
SIM3_FLOORS = {"chamfer_l1_sim3_m": "chamfer_l1_m", "fscore@5cm_sim3": "fscore@5cm"}


@dataclass(frozen=True)
class Metric:
    """A metric: what stands in a table's column of its name.

    Attributes:
        name: says the variant; family: which group of tables it belongs to; unit.
        task: what a submission must produce for it.
        higher_is_better: direction.
        worst: value of a failed item; None where it depends on the size of what is judged (see
            `worst_in`).
        description: formula in words; source: where it comes from.
        pooled: computed over a split, with pseudo-values by scene.
    """

    name: str
    family: str
    unit: str
    task: str
    higher_is_better: bool
    worst: float | None
    description: str
    source: str
    pooled: bool = False

    def worst_in(self, size: float) -> float:
        """Return the worst value where the scene's true bounding box, or the gallery, is this big.

        `size` is the box's diagonal in metres, or how many items a gallery of ranks holds.
        """
        if self.worst is not None:
            return self.worst
        return 2 * size**2 if self.unit == "m2" else size

    @property
    def worst_said(self) -> str:
        """The worst value in words."""
        if self.worst is not None:
            return f"{self.worst:g}"
        return {"m": "scene diagonal", "m2": "2 diagonal^2", "rank": "gallery size"}[self.unit]

    @property
    def best(self) -> float:
        """The value that no answer can better."""
        if self.unit == "rank":
            return 1.0
        return 1.0 if self.higher_is_better else 0.0

    @property
    def floor(self) -> str:
        """What a perfect answer scores under the benchmark's sampling, in words."""
        if self.name in FLOORS or self.name in SIM3_FLOORS:
            return "measured on each split"
        return f"{self.best:g}"


def distance(name: str, description: str, source: str, unit: str = "m") -> Metric:
    """Return a distance between surfaces: lower is better, the scene's diagonal the worst."""
    return Metric(name, "reconstruction", unit, "points", False, None, description, source)


def score(
    name: str, family: str, task: str, description: str, source: str, pooled: bool = False
) -> Metric:
    """Return a score in [0, 1]: higher is better, 0 the worst."""
    return Metric(name, family, "", task, True, 0.0, description, source, pooled)


def _reconstruction() -> list[Metric]:
    found = [
        distance("accuracy_m", "mean distance, prediction to all true surface", DTU),
        distance("completeness_m", "mean distance, observed true surface to prediction", DTU),
        distance(
            "completeness_completion_m",
            "mean distance, true surface seen by held-out cameras alone to prediction",
            DTU,
        ),
        distance("chamfer_l1_m", "(accuracy + completeness) / 2", OCCUPANCY_NETWORKS),
        distance(
            "chamfer_l2sq_m2",
            "sum of both mean squared distances",
            "pytorch3d.loss.chamfer_distance",
            "m2",
        ),
        distance(
            "chamfer_l1_sim3_m",
            "chamfer_l1_m after Umeyama sim3 on pixel correspondences",
            OCCUPANCY_NETWORKS,
        ),
    ]
    tanks = "in the style of Knapitsch et al. 2017 (Tanks and Temples), no registration"
    for threshold in THRESHOLDS:
        tag = f"{threshold * 100:g}cm"
        cells = f"one point per {threshold * 50:g} cm cell"
        for name, what in (
            ("fscore", "harmonic mean of precision and recall"),
            ("precision", "share of predicted points near true surface"),
            ("recall", "share of observed true surface near a predicted point"),
            ("recall_completion", "share of completion surface near a predicted point"),
        ):
            text = f"{what}, d < {tag}, {cells}"
            found.append(score(f"{name}@{tag}", "reconstruction", "points", text, tanks))
    found += [
        score(
            "fscore@5cm_sim3",
            "reconstruction",
            "points",
            "fscore@5cm after Umeyama sim3 on pixel correspondences",
            tanks,
        ),
        score(
            "normal_consistency",
            "reconstruction",
            "points",
            "mean absolute dot of normals at nearest neighbours, both directions averaged; "
            "points without a mesh take the plane of 12 neighbours",
            OCCUPANCY_NETWORKS,
        ),
        Metric(
            "colour_mae",
            "reconstruction",
            "sRGB/255",
            "points",
            False,
            1.0,
            "mean absolute sRGB difference at nearest neighbours within 5 cm",
            OWN,
        ),
    ]
    return found + _solid()


def _solid() -> list[Metric]:
    found = [
        score(
            f"voxel_iou@{side * 100:g}cm",
            "reconstruction",
            "points",
            "surface voxels, over voxels that an input ray crossed or hit",
            "Song et al. 2017 (scene completion practice)",
        )
        for side in SIDES
    ]
    return [
        *found,
        score(
            "occupancy_iou",
            "reconstruction",
            "occupancy",
            "solids at uniform points of the room; from the mesh where no grid is produced",
            OCCUPANCY_NETWORKS,
        ),
        score(
            "mesh_iou",
            "reconstruction",
            "mesh",
            "the same points, generalized winding number of the mesh > .5",
            f"{OCCUPANCY_NETWORKS}; Barill et al. 2018",
        ),
        Metric(
            "novel_depth_absrel",
            "reconstruction",
            "",
            "points",
            False,
            1.0,
            "mean |p-g|/g in the held-out cameras, each pixel at most 1, empty pixels 1",
            "Eigen et al. 2014",
        ),
        score(
            "novel_depth_delta1.25",
            "reconstruction",
            "points",
            "share of held-out pixels with max(p/g, g/p) < 1.25",
            "Eigen et al. 2014",
        ),
    ]


def _graph() -> list[Metric]:
    found = []
    for threshold in (0.25, 0.5):
        at = f"@{threshold:g}"
        found += [
            score(
                f"spq{at}",
                "graph",
                "graph",
                f"sum of sqrt(IoU_s IoU_o) over TP + FP/2 + FN/2 at IoU > {threshold:g}, mean over "
                "view-independent predicates",
                OWN,
                True,
            ),
            score(f"spq_view{at}", "graph", "graph", "the same over the side family", OWN, True),
            score(f"spq_micro{at}", "graph", "graph", "the same, predicates pooled", OWN, True),
            score(
                f"object_map{at}",
                "graph",
                "objects",
                f"mean over classes of all-point average precision, IoU > {threshold:g}",
                "Everingham et al. 2010 (VOC)",
                True,
            ),
        ]
    return [
        *found,
        *(
            score(
                f"oriented_map@{threshold:g}",
                "graph",
                "objects",
                f"object_map of upright boxes with a heading, IoU > {threshold:g}",
                "Everingham et al. 2010 (VOC); Ravi et al. 2020 (box3d_overlap)",
                True,
            )
            for threshold in (0.25, 0.5)
        ),
        score(
            "box_pq@0.5",
            "graph",
            "objects",
            "sum of IoU over TP + FP/2 + FN/2, mean over classes",
            "Kirillov et al. 2019",
            True,
        ),
        score(
            "predicate_f1",
            "graph",
            "graph",
            "F1 of triplets between matched objects (IoU > .5), mean over predicates",
            OWN,
            True,
        ),
        *(
            score(
                name,
                "graph",
                "objects",
                f"{which} of relation rules read off the method's own boxes (rules_pred)",
                OWN,
                True,
            )
            for which, name in RULES.items()
        ),
        score(
            "sg_accuracy",
            "graph",
            "given_relations",
            'balanced accuracy of given-object relations with "none" as a label, mean over '
            "families",
            "Brodersen et al. 2010",
            True,
        ),
        *(
            score(
                name,
                "graph",
                "given_relations",
                f"sum of hits over TP + FP/2 + FN/2 with objects given, mean over {which}",
                OWN,
                True,
            )
            for name, which in (
                ("spq_given", "view-independent predicates"),
                ("spq_given_view", "the side family"),
            )
        ),
        *(
            score(
                f"triplet_recall@{k}",
                "graph",
                "graph",
                f"share of true triplets among the {k} best, of min({k}, true), IoU > .5",
                "Lu et al. 2016 (Recall@K)",
            )
            for k in TRIPLET_RANKS
        ),
        *(
            score(
                f"triplet_recall_given@{k}",
                "graph",
                "given_relations",
                f"share of true triplets among the {k} best of given objects, of min({k}, true), "
                "no graph constraint",
                "in the style of Wald et al. 2020 (3DSSG)",
            )
            for k in GIVEN_RANKS
        ),
        *(
            score(
                f"triplet_mean_recall@{k}",
                "graph",
                "graph",
                f"the same by predicate, hits and min({k}, true) pooled, mean over predicates",
                "Tang et al. 2019 (mean Recall@K)",
                True,
            )
            for k in TRIPLET_RANKS
        ),
    ]


def _language() -> list[Metric]:
    found = []
    for threshold in BOX_THRESHOLDS:
        found += [
            score(
                f"ref_acc@{threshold:g}",
                "grounding",
                "grounding",
                f"first box has IoU >= {threshold:g} with the target",
                "Chen et al. 2020 (ScanRefer)",
            ),
            score(
                f"ref_f1@{threshold:g}",
                "grounding",
                "grounding",
                f"F1 of boxes on multi- and zero-target references, IoU >= {threshold:g}",
                "Zhang et al. 2023 (Multi3DRefer)",
            ),
        ]
    found.append(
        score(
            "ref_pick",
            "grounding",
            "picks",
            "the right one among given objects",
            "Achlioptas et al. 2020 (ReferIt3D)",
        )
    )
    for name, task in (
        ("text_to_scene", "retrieval"),
        ("scene_to_text", "retrieval"),
        ("probed_text_to_scene", "probed_retrieval"),
        ("grounding_retrieval", "grounding_retrieval"),
    ):
        text = "1 / rank of the first relevant item, ties behind"
        found.append(score(f"{name}_mrr", "retrieval", task, text, "Voorhees 1999"))
        text = "median over a scene's queries of the rank of the first relevant item, ties behind"
        found.append(
            Metric(
                f"{name}_median_rank",
                "retrieval",
                "rank",
                task,
                False,
                None,
                text,
                "Karpathy et al. 2015",
            )
        )
        for k in RANKS:
            text = f"a relevant item among the first {k}, ties behind"
            found.append(score(f"{name}_r@{k}", "retrieval", task, text, "Karpathy et al. 2015"))
    text = "mean over relevant objects of precision at their rank, ties behind"
    source = "Manning et al. 2008"
    found.append(score("grounding_retrieval_map", "retrieval", "grounding_retrieval", text, source))
    return found + _answers()


def _answers() -> list[Metric]:
    relative = f"mean over {len(THETAS)} tolerances of 1[|p-g|/|g| <= 1-theta], theta .50 to .95"
    return [
        score(
            "answer_score",
            "answers",
            "answers",
            "exact match for words and choices, MRA for numbers; mean over question types",
            OWN,
        ),
        score("answer_em", "answers", "answers", "exact match of words and choices", OWN),
        score("answer_mra", "answers", "answers", relative, "Yang et al. 2024 (VSI-Bench)"),
        Metric(
            "answer_unparsed",
            "answers",
            "",
            "answers",
            False,
            1.0,
            "share of answers that are missing, empty, or hold no number where one is asked",
            OWN,
        ),
    ]


METRICS: dict[str, Metric] = {
    metric.name: metric for metric in (*_reconstruction(), *_graph(), *_language())
}
