"""The interface that every folder under `baselines/` fulfils.

A baseline is a folder with a `method.py` that defines

    DESCRIPTION: str             one sentence for tables and `python -m baselines list`
    PRODUCES: tuple[str, ...]    the tasks it answers, names of the submission format
    predict(context) -> None     write one submission for every split in `context.splits`

and may define, with the defaults in `DEFAULTS`,

    STOCHASTIC: bool             whether the seed matters (then every seed is run)
    MESH_KIND: str | None        "solids" or "free_boundary" where it produces a mesh
    USES_TRUTH: bool             True only for controls: `context.truth` is empty otherwise
    REASONS: dict[str, str]      why it does not produce a task, where a task has its own reason
    DEFAULT_REASON: str          the reason for all other tasks that it does not produce
    PRETRAINED: bool             True if it needs a folder of weights; it runs only if the config's
                                 `pretrained` names one
    GEOMETRY_INPUTS: tuple[str, ...]  which of "depth", "poses" and "intrinsics" of the scene it
                                 reads: a method without them is not held to it as a control
    PIXELS: bool                 whether its points carry the pixels that they belong to
    THREADS: int                 threads of its job
    USES_GPU: bool               whether its job gets a GPU on a machine that has one

The declarations are literals: the workflow reads them without importing the module. Nothing else
is edited: `workflow/rules/baselines.smk` runs every folder. A baseline that needs an environment of
its own adds a `rules.smk` (docs/add-a-baseline.md).
"""

import importlib
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from g2vlm.run.memory import peak_memory_mb
from metrics.files import InputError
from metrics.submission.writer import TASKS, SubmissionWriter
from metrics.truth import Truth

DEFAULTS = {
    "STOCHASTIC": False,
    "MESH_KIND": None,
    "USES_TRUTH": False,
    "REASONS": {},
    "DEFAULT_REASON": "this method does not produce it",
    "PRETRAINED": False,
    "GEOMETRY_INPUTS": (),
    "PIXELS": False,
    "THREADS": 1,
    "USES_GPU": False,
}
# Inputs of a scene beside its images; names of switches in config/methods.
GEOMETRY = ("depth", "poses", "intrinsics")


class Inputs:
    """What a method may see of a split: scene names and inputs, no truth."""

    def __init__(self, store: Any) -> None:
        self._store = store

    @property
    def ids(self) -> list[str]:
        """Names of the split's scenes."""
        return list(self._store.ids)

    def inputs(self, scene: str) -> Any:
        """Return the scene's `SceneInputs`: four posed RGB-D views, object masks, sentences."""
        return self._store.inputs(scene)


@dataclass(frozen=True)
class SplitTruth:
    """Truth of one split to predict, only for controls (baselines with USES_TRUTH).

    Attributes:
        files: the truth as the metrics read it.
        scenes: the rendered `SceneStore`.
    """

    files: Truth
    scenes: Any

    def boxes(self, scene: str) -> dict[int, list[float]]:
        """Return the true box of each ground-truth object of a scene, by object index."""
        line = self.files.annotation(scene)
        by_index = {item["index"]: item["box"] for item in line["objects"]}
        return {index: by_index[index] for index in line["given"]}

    def gallery(self) -> tuple[list[str], list[str], list[str], list[str]]:
        """Return the names of the split's captions, scenes, phrases and objects, in file order."""
        lines = self.files.annotations
        texts = [f"{line['scene']}/{item['id']}" for line in lines for item in line["captions"]]
        phrases = [f"{line['scene']}/{item['id']}" for line in lines for item in line["phrases"]]
        objects = [f"{line['scene']}:{index}" for line in lines for index in line["given"]]
        return texts, self.files.scenes, phrases, objects


@dataclass(frozen=True)
class Context:
    """The inputs of one run of a baseline.

    Attributes:
        name: the baseline's name.
        seed: the run's seed.
        out: folder that receives one submission per split.
        splits: inputs of the splits to predict.
        train: the training split with its truth, a `SceneStore`.
        truth: `SplitTruth` of each split to predict; empty except for controls.
        text: cached sentence features.
        config: the experiment's `seed` and `pretrained`.
    """

    name: str
    seed: int
    out: Path
    splits: Mapping[str, Inputs]
    train: Any = None
    truth: Mapping[str, SplitTruth] = field(default_factory=dict)
    text: Any = None
    config: Mapping[str, Any] = field(default_factory=dict)

    @contextmanager
    def writer(
        self, split: str, fit_seconds: float = 0.0, compact: bool = True
    ) -> Iterator[SubmissionWriter]:
        """Open the submission of a split, with the baseline's declarations filled in.

        The seconds from opening to closing, divided by the number of scenes, become the cost
        `seconds_per_scene`. The baseline itself sets `writer.cost["parameters"]`.

        Args:
            split: name of the split.
            fit_seconds: seconds that fitting on the training split took.
            compact: whether geometry is stored in whole millimetres (`SubmissionWriter`).
        """
        method = load(self.name)
        cost = {"parameters": 0, "train_seconds": fit_seconds}
        start = time.perf_counter()
        with SubmissionWriter(
            self.out / split,
            self.name,
            self.seed,
            split,
            method.STOCHASTIC,
            list(method.PRODUCES),
            reasons(method),
            method.MESH_KIND,
            cost,
            compact,
        ) as writer:
            yield writer
            seconds = time.perf_counter() - start
            count = len(self.splits[split].ids)
            writer.cost |= {
                "seconds_per_scene": seconds / max(count, 1),
                "peak_memory_mb": peak_memory_mb(),
            }
        print(
            f"{self.name} {split}: {count} scenes in {seconds:.1f} s", file=sys.stderr, flush=True
        )

    def need(self, what: str) -> Any:
        """Return the context's `train`, `truth` or `text`.

        Raises:
            InputError: the experiment does not have it yet.
        """
        value = getattr(self, what)
        if not value:
            raise InputError(
                f"baseline {self.name}: needs the {what} of the experiment; run its stages first"
            )
        return value


def names() -> list[str]:
    """Return the names of all baselines, sorted."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/method.py"))


def load(name: str) -> ModuleType:
    """Import a baseline by the name of its folder and fill in the defaults of its declarations.

    Raises:
        InputError: there is no such baseline, or it does not fulfil the contract.
    """
    if name not in names():
        raise InputError(f"baseline {name}: no such folder; choose from {', '.join(names())}")
    method = importlib.import_module(f"baselines.{name}.method")
    vars(method).update(DEFAULTS | vars(method))
    faults = contract_faults(method)
    if faults:
        raise InputError(f"baselines/{name}/method.py: {faults[0]}; see baselines/contract.py")
    return method


def reasons(method: ModuleType) -> dict[str, str]:
    """Return why a baseline does not produce a task, for every task that it does not produce."""
    missing = [task for task in TASKS if task not in method.PRODUCES]
    return {task: method.REASONS.get(task, method.DEFAULT_REASON) for task in missing}


def contract_faults(method: ModuleType) -> list[str]:
    """Return the ways in which a module breaks the contract, [] for none."""
    missing = [name for name in ("DESCRIPTION", "PRODUCES", "predict") if not hasattr(method, name)]
    if missing:
        return [f"{name} is missing" for name in missing]
    tasks = (*method.PRODUCES, *method.REASONS)
    faults = [f"unknown task {task!r}" for task in tasks if task not in TASKS]
    both = set(method.PRODUCES) & set(method.REASONS)
    faults += [f"task {task!r} is produced and has a reason" for task in sorted(both)]
    geometry = getattr(method, "GEOMETRY_INPUTS", ())
    faults += [f"unknown geometry input {name!r}" for name in geometry if name not in GEOMETRY]
    if ("mesh" in method.PRODUCES) != (method.MESH_KIND is not None):
        faults.append("MESH_KIND must be set exactly when a mesh is produced")
    return faults
