"""What the report knows of a study's methods, metrics and claims, read from the config."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from report.seal import SealedTest


@dataclass(frozen=True)
class DeclaredClaim:
    """A claim of the statistics, by its family and name, and the sentence that readers see."""

    family: str
    name: str
    claim: str


@dataclass(frozen=True)
class ReportConfig:
    """The parts of an experiment's config that tables, figures and the page depend on.

    Attributes:
        experiment: name of the experiment.
        reference: the method that all others are compared with.
        methods: the study's methods in the order of rows and columns, controls left out.
        controls: the controls in that order.
        lower_bound, upper_bound: the controls that bound the scale of every metric.
        main_split: the split that tables and figures show.
        captured_split: the split of captured rooms.
        generalisation_splits: (held-out, known) furniture.
        headline: metrics of the main table and the leaderboard, in their order.
        short_names: names of headline metrics for a terminal's narrow columns.
        families: {family of claims or contrast: title} in the order of their tables.
        claims: the study's claims in their order.
        findings: file of the findings that the page checks on the run's tables; "" for none.
        sealed: the sealed test, once it is opened.
    """

    experiment: str
    reference: str
    methods: tuple[str, ...]
    controls: tuple[str, ...]
    lower_bound: str
    upper_bound: str
    main_split: str
    captured_split: str
    generalisation_splits: tuple[str, str]
    headline: tuple[str, ...]
    short_names: Mapping[str, str]
    families: Mapping[str, str]
    claims: tuple[DeclaredClaim, ...]
    findings: str
    sealed: SealedTest = SealedTest()

    @classmethod
    def from_experiment(cls, config: Mapping[str, Any]) -> "ReportConfig":
        """Return the report's part of an experiment's config.

        Args:
            config: `experiment`, `methods`, `statistics` and `report` of config/<experiment>.yaml,
                and `seal` once the sealed test is opened.
        """
        statistics, report = config["statistics"], config["report"]
        return cls(
            experiment=config["experiment"],
            reference=statistics["reference"],
            methods=(*config["methods"], *report["baselines"]),
            controls=tuple(statistics["controls"]),
            lower_bound=statistics["lower_bound"],
            upper_bound=statistics["upper_bound"],
            main_split=report["main_split"],
            captured_split=report["captured_split"],
            generalisation_splits=tuple(statistics["generalisation"]["splits"]),
            headline=tuple(report["headline"]),
            short_names=report["short_names"],
            families=report["families"],
            claims=tuple(DeclaredClaim(**claim) for claim in report["claims"]),
            findings=report["findings"],
            sealed=SealedTest.from_config(config.get("seal", {})),
        )

    def sentence(self, family: str, name: str) -> str:
        """Return the sentence of a claim; its name in words where the config has none."""
        sentences = {(claim.family, claim.name): claim.claim for claim in self.claims}
        return sentences.get((family, name), name.replace("_", " ").capitalize())

    def order_methods(self, methods: Iterable[str]) -> list[str]:
        """Return methods in the order of rows: the study's, then others by name, then controls."""
        rank = {name: place for place, name in enumerate(self.methods)}
        others = len(rank)
        rank |= {name: others + 1 + place for place, name in enumerate(self.controls)}
        return sorted(set(methods), key=lambda name: (rank.get(name, others), name))

    def order_metrics(self, metrics: Iterable[str]) -> list[str]:
        """Return metrics in the order of columns: the headline's, then others by name."""
        rank = {name: place for place, name in enumerate(self.headline)}
        return sorted(set(metrics), key=lambda name: (rank.get(name, len(rank)), name))

    def order_splits(self, splits: Iterable[str]) -> list[str]:
        """Return splits in the order of columns: the main one first, captured rooms last."""
        last, first = self.captured_split, self.main_split
        return sorted(set(splits), key=lambda name: (name != first, name == last, name))
