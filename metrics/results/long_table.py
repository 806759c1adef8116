"""The long table that every reader returns, and the rules by which its columns are found.

A table has one row for each (method, seed, cluster, item, metric). Names are text, seeds included.
A cluster holds the items that share a scene, a video or an image: only clusters are independent.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from metrics.files import InputError
from metrics.schemas import short_repr

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    import pandas as pd

NAMES = ("method", "seed", "cluster", "item", "metric")
COLUMNS = (*NAMES, "value")
# Columns of clusters and items; the first of a list that a file has is taken.
CLUSTER_COLUMNS = (
    *("cluster", "scene", "scene_id", "scene_name", "room", "room_id"),
    *("video", "video_id", "video_name", "video_path"),
    *("image_id", "image_name", "image", "image_path"),
)
ITEM_COLUMNS = (
    *("item", "item_id", "question_id", "query", "query_id", "sample_id", "doc_id"),
    *("index", "id", "qid"),
)
SEED_COLUMN = "seed"
# Per-item scores in the records of harnesses. Other fields are answers, categories and the like.
SCORE_FIELDS = (
    *("score", "accuracy", "acc", "exact_match", "is_correct", "correct", "hit"),
    *("f1", "anls", "iou", "mra", "MRA:.5:.95:.05"),
)
# The seed of results that state none.
UNSTATED = "unstated"
# Larger texts are no names: VLMEvalKit can hold whole images as base64.
LONGEST_NAME = 512
LARGEST_RESULTS = 1 << 34

_SEED = re.compile(
    r"(?:^|(?<=[/_.-]))seed(?:[_-]?(?P<number>[0-9]+)|=(?P<label>[A-Za-z0-9]+))(?=$|[/_.-])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Options:
    """What the user states about the columns of all files.

    Attributes:
        cluster: name of the column of clusters; None finds it by `CLUSTER_COLUMNS`.
        seed_column: name of the column of seeds; None takes `SEED_COLUMN`.
    """

    cluster: str | None = None
    seed_column: str | None = None


@dataclass(frozen=True)
class Source:
    """One file of results.

    Attributes:
        path: the file.
        method: name that the user gives its method; None where the file states it.
    """

    path: Path
    method: str | None = None


@dataclass(frozen=True)
class LongTable:
    """The results of one file.

    Attributes:
        file: its path, for messages.
        rows: the columns `COLUMNS`; names as text, values f64.
        cluster: column of the clusters; None where they are unknown and each item is one.
        higher: {metric: whether higher is better} where the file states it.
        notes: what was left out, one sentence each.
    """

    file: str
    rows: pd.DataFrame
    cluster: str | None
    higher: dict[str, bool] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def metrics(self) -> frozenset[str]:
        """The names of the metrics."""
        return frozenset(self.rows["metric"].unique())


class Reader(ABC):
    """How one kind of results file is recognised and read.

    A reader is one subclass in a module of its own in `metrics.results.readers`, which collects it.

    Attributes:
        name: of the kind, for messages.
        priority: readers with a smaller number are tried first.
    """

    name: ClassVar[str]
    priority: ClassVar[int]

    @abstractmethod
    def recognise(self, path: Path) -> bool:
        """Return whether a regular file is of this kind, judged by its content."""

    @abstractmethod
    def read(self, source: Source, options: Options) -> LongTable:
        """Return the table of a file of this kind.

        Raises:
            InputError: the file cannot be read as a whole.
        """


def find_column(names: Collection[str], rule: Iterable[str]) -> str | None:
    """Return the first name of a rule that is among the names, or None.

    Example:
        >>> find_column(["index", "video", "scene_name"], CLUSTER_COLUMNS)
        'scene_name'
    """
    return next((name for name in rule if name in names), None)


def require_columns(options: Options, columns: Collection[str], file: str) -> None:
    """Raise `InputError` for a column that the user named and the file lacks."""
    named = {"--cluster": options.cluster, "--seed-column": options.seed_column}
    for option, column in named.items():
        if column is not None and column not in columns:
            raise InputError(
                f"{file}: has no column {short_repr(column)}; name one of {', '.join(columns)} "
                f"by {option}"
            )


def begins_with(path: Path, magic: bytes) -> bool:
    """Return whether a file begins with these bytes."""
    with path.open("rb") as handle:
        return handle.read(len(magic)) == magic


def split_seed(text: str) -> tuple[str, str | None]:
    """Return a name without the part that states a seed, and the seed; None for no such part.

    A seed is stated by `seed` and a number (`seed3`, `seed_3`, `seed-3`) or by `seed=LABEL`, as a
    whole part between the ends of the name and its `/`, `_`, `.` and `-`.

    Example:
        >>> split_seed("runs/seed3/checkpoint")
        ('runs/checkpoint', '3')
        >>> split_seed("SEEDBench_IMG")
        ('SEEDBench_IMG', None)
    """
    found = _SEED.search(text)
    if found is None:
        return text, None
    before, after = text[: found.start()], text[found.end() :]
    # One of the two separators around the seed goes with it.
    rest = before + after[1:] if before else after.lstrip("/_.-")
    return rest.rstrip("/_.-"), found["number"] or found["label"]


def seed_of_path(path: Path) -> str | None:
    """Return the seed that a file's name, or else the nearest of its folders, states, or None.

    Example:
        >>> seed_of_path(Path("runs/seed3/results.csv"))
        '3'
    """
    for part in (path.stem, *(folder.name for folder in path.parents)):
        seed = split_seed(part)[1]
        if seed is not None:
            return seed
    return None


def is_name(value: object) -> bool:
    """Return whether a value can name a cluster or an item."""
    if isinstance(value, str):
        return 0 < len(value) <= LONGEST_NAME
    return isinstance(value, int)


def as_names(values: pd.Series, file: str) -> pd.Series:
    """Return a column of names as text; whole floats as integers.

    Raises:
        InputError: a name is missing, empty or too long.
    """
    import pandas as pd

    if pd.api.types.is_float_dtype(values):
        known = values.dropna()
        if (known % 1 == 0).all():
            values = values.astype("Int64")
    text = values.astype("str")
    wrong = values.isna() | text.isin(["", "<NA>"])
    if wrong.any():
        row = int(wrong.to_numpy().argmax()) + 1
        raise InputError(f"{file}: row {row} has no {values.name}; fill it in")
    long = text.str.len() > LONGEST_NAME
    if long.any():
        raise InputError(
            f"{file}: column {values.name} holds texts of more than {LONGEST_NAME} characters, "
            "which are no names; name the column of scenes by --cluster"
        )
    return text


def stack_metrics(names: pd.DataFrame, metrics: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Return one row for each row of `names` and metric, with the columns `metric` and `value`."""
    import pandas as pd

    parts = [names.assign(metric=name, value=values) for name, values in metrics.items()]
    return pd.concat(parts, ignore_index=True)


def as_values(values: pd.Series, names: pd.DataFrame, file: str) -> pd.Series:
    """Return a column of scores as f64.

    Args:
        values: the scores as read.
        names: the columns `NAMES` of the same rows.
        file: for messages.

    Raises:
        InputError: a score is missing, NaN, infinite or no number; the message names its row.
    """
    import numpy as np
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    wrong = ~np.isfinite(numbers.to_numpy())
    if wrong.any():
        place = int(wrong.argmax())
        row = names.iloc[place]
        raise InputError(
            f"{file}: {row['metric']} of {row['method']}, item {row['item']}, is "
            f"{str(values.iloc[place])[:40] or 'blank'}; score a failed item at the worst value, "
            "or leave its row out"
        )
    return numbers
