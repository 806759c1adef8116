"""What a metric is: one object that names a quantity and computes it.

Metrics are declared next to their functions, in a module's tuple ``METRICS``; `metrics.registry`
collects them. Adding one therefore touches one module. A metric names its input, the comparison
that its `compute` function reads:

- "surface": `metrics.reconstruction.surfaces.SurfaceComparison`, a scene's predicted surface;
- "solids": `metrics.reconstruction.occupancy.SolidComparison`, a scene's mesh and grid;
- "graphs": `metrics.scene_graph.spq.GraphComparison`, objects and triplets of a split;
- "relations": `metrics.scene_graph.spq.RelationComparison`, relations of given objects of a split;
- "ranked_scene", "ranked_given_scene": `metrics.scene_graph.triplet_recall.RankedScene`;
- "reference": `metrics.language.grounding.ReferenceComparison`, one referring expression;
- "text_to_scene" and the other directions of retrieval: `metrics.language.retrieval.QueryRanking`,
  one query; with "_ranks" behind, `metrics.language.retrieval.SplitRanks`, the ranks of all
  queries of a split;
- "question": `metrics.language.answers.AnswerComparison`, one question.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from metrics.chance import ChanceFunction

# Place of a metric that does not name its own: behind all others of its family.
LAST = 1000


class Comparison:
    """A prediction next to its truth: what the `compute` function of a metric reads.

    Work that several metrics share is done through `once`, so that a new metric can bring
    shared work of its own without a change here.
    """

    def once(self, work: Callable[..., Any], *arguments: Hashable) -> Any:
        """Return ``work(self, *arguments)``, computed on the first call and kept."""
        kept: dict[Hashable, Any] = self.__dict__.setdefault("_kept", {})
        key = (work, *arguments)
        if key not in kept:
            kept[key] = work(self, *arguments)
        return kept[key]


def always(comparison: Any) -> bool:
    """Return True: the default of `Metric.applies`."""
    return True


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Definition of one metric: one name in the column ``metric`` of a score table.

    Attributes:
        name: identifies the metric and its variant, such as "fscore@5cm".
        family: group of tables that lists it.
        task: what a submission must produce to be scored on it.
        input: name of the comparison that `compute` reads; the scorer of the domain makes it.
        compute: takes that comparison. A metric of a query or a scene returns a float, or None
            for an answer that cannot be used, which then counts as the worst value. A pooled
            metric returns a `PooledValue`, or None where the truth of the split defines none.
        description: the formula in words.
        source: where it was published and, in the words "differs from", where it departs from it.
        query_mean: the source averages over queries, so tables print that mean too.
        unit: "" for a share.
        higher_is_better: direction.
        low, high: range of values. `high` is None where it depends on the scene or the gallery
            (see `worst_in`).
        pooled: computed over a whole split, with one pseudo-value a scene.
        smooth: pseudo-values give an interval. False for a median, whose jackknife variance does
            not converge (Miller 1974): its tables hold no interval and no test.
        gallery: its queries search the items of the whole split. Intervals are for queries from new
            scenes to this gallery; a new gallery would vary more.
        applies: takes the comparison and returns whether the truth defines the metric there;
            where it does not, there is no row.
        reason: why a submission that declares the task can lack the metric altogether.
        floor_of: name of the sampled metric whose measured floor holds for this one; "" where a
            perfect answer scores `best`.
        computed_ceiling: the truth itself does not score `best`, so its score is computed.
        perfect_bound: where a perfect answer is rounded on its way through the submission
            format: the value that it must still reach.
        optional: valid truth can leave the metric without rows.
        chance: takes the annotations of a split and returns {subset: expected score of random
            answers}; None without a closed form.
        subsets: of a question, the subsets its row goes to: "all", or "type" for its own type.
        place: sort key within the family in tables and lists; equal places keep their order.
    """

    name: str
    family: str
    task: str
    input: str
    compute: Callable[[Any], Any]
    description: str
    source: str
    query_mean: bool = False
    unit: str = ""
    higher_is_better: bool = True
    low: float = 0.0
    high: float | None = 1.0
    pooled: bool = False
    smooth: bool = True
    gallery: bool = False
    applies: Callable[[Any], bool] = always
    reason: str = ""
    floor_of: str = ""
    computed_ceiling: bool = False
    perfect_bound: float | None = None
    optional: bool = False
    chance: ChanceFunction | None = None
    subsets: tuple[str, ...] = ("all",)
    place: int = LAST

    @property
    def best(self) -> float:
        """The value that no answer can exceed: the upper end of the range for a score."""
        end = self.high if self.higher_is_better else self.low
        assert end is not None, f"{self.name}: a score needs an upper end"
        return end

    @property
    def worst(self) -> float | None:
        """Value of a failed item; None where it depends on the scene or the gallery."""
        return self.low if self.higher_is_better else self.high

    def worst_in(self, size: float) -> float:
        """Return the value of a failed item.

        Args:
            size: diagonal of the scene's true bounding box in metres; for a rank, the number of
                items in the gallery.
        """
        if self.worst is not None:
            return self.worst
        return 2 * size**2 if self.unit == "m2" else size

    @property
    def worst_text(self) -> str:
        """The value of a failed item in words."""
        if self.worst is not None:
            return f"{self.worst:g}"
        return {"m": "scene diagonal", "m2": "2 diagonal^2", "rank": "gallery size"}[self.unit]

    @property
    def floor(self) -> str:
        """What a perfect answer scores under the benchmark's sampling, in words."""
        return "measured on each split" if self.floor_of else f"{self.best:g}"

    def facts(self) -> dict[str, Any]:
        """Return what can be written as JSON: everything but functions."""
        names = (
            *("name", "family", "unit", "task", "higher_is_better", "low", "high", "worst"),
            *("description", "source", "pooled", "floor"),
        )
        return {name: getattr(self, name) for name in names}
