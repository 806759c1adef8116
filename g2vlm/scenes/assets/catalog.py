"""The reviewed table of models and the Sweet Home 3D catalogs it points into."""

import csv
import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from statistics import median_high

from g2vlm.scenes.assets.classes import CLASSES
from g2vlm.scenes.assets.objfile import FIX
from metrics.files import InputError, read_text
from metrics.zip_file import open_zip, read_entry

PROPERTIES = "PluginFurnitureCatalog.properties"
# The reviewed table of models; a build copies it into the data folder.
REVIEWED = Path(__file__).with_name("reviewed") / "models.csv"
_ENTRY = re.compile(r"^([A-Za-z]+)#(\d+)\s*=\s*(.*)$")


@dataclass(frozen=True)
class ModelRow:
    """One usable model of the reviewed table, without its columns for reviewers.

    Args:
        model: catalog#id.
        catalog: name of its catalog.
        path_in_zip: of its OBJ file.
        cls: class.
        colour: word of its colour.
        size_mm: width, depth and height at yaw 0 (front at -y).
        group: models of one group are on one side of the split.
        side: "train" or "held".
        placement: where it is placed: "floor", "top" (on other furniture), "wall" or "ceiling"; the
            column `stands` of the table.
        carries_mm: height of the top that carries other objects, -1 if it carries none.
        front: whether it has a front, None where that is unknown.
        licence: for the attribution.
        creator: for the attribution.
    """

    model: str
    catalog: str
    path_in_zip: str
    cls: str
    colour: str
    size_mm: tuple[int, int, int]
    group: str
    side: str
    placement: str
    carries_mm: int
    front: bool | None
    licence: str
    creator: str

    @property
    def kind(self) -> tuple[str, str, bool]:
        """What a model that replaces it must share: class, placement, whether it carries things."""
        return self.cls, self.placement, self.carries_mm >= 0


def read_models(path: Path) -> dict[str, ModelRow]:
    """Read models.csv as {model: row} in the file's order; raises `InputError` naming the row."""
    rows = {}
    text = read_text(path, "run `make data`")
    try:
        for number, fields in enumerate(csv.DictReader(io.StringIO(text, newline="")), 2):
            row = _row(path, number, fields)
            rows[row.model] = row
    except csv.Error as error:
        raise InputError(
            f"{path}: row {len(rows) + 2} is malformed ({error}); restore the file"
        ) from error
    return rows


def _row(path: Path, number: int, fields: dict[str, str]) -> ModelRow:
    try:
        row = ModelRow(
            model=fields["model"],
            catalog=fields["catalog"],
            path_in_zip=fields["path_in_zip"],
            cls=fields["class"],
            colour=fields["colour"],
            size_mm=tuple(int(fields[f"size_mm_{axis}"]) for axis in "wdh"),
            group=fields["group"],
            side=fields["split_side"],
            placement=fields["stands"],
            carries_mm=int(fields["carries_mm"]),
            front=fields["front"] == "1",
            licence=fields["licence"],
            creator=fields["creator"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: row {number} is malformed ({error}); restore the file"
        ) from error
    if row.cls not in CLASSES:
        raise InputError(
            f"{path}: row {number} has the unknown class {row.cls}; use one of CLASSES"
        )
    return row


class Catalog:
    """The models of a data folder and their archives.

    Args:
        data_dir: the data folder; `models` is its {model: ModelRow}.
    """

    def __init__(self, data_dir: str | Path) -> None:
        self.data_dir = Path(data_dir)
        self.models = read_models(self.data_dir / "models.csv")
        self._archive = cache(open_catalog)

    def open(self, model: str) -> tuple[zipfile.ZipFile, str]:
        """Return the open archive that holds `model`, and the path of its OBJ file inside.

        Raises:
            InputError: the model is unknown, or its archive is missing or corrupt.
        """
        row = self.models.get(model)
        if row is None:
            raise InputError(f"{self.data_dir}/models.csv: no model {model}; use one of its rows")
        path = self.data_dir / "sources" / "furniture" / f"{row.catalog}.sh3f"
        return self._archive(path), row.path_in_zip


def open_catalog(path: Path) -> zipfile.ZipFile:
    """Open a `.sh3f` file; raises `InputError` when it is missing or not such an archive."""
    archive = open_zip(path, str(path), FIX)
    if PROPERTIES not in archive.NameToInfo:
        archive.close()
        raise InputError(f"{path}: a catalog without {PROPERTIES}; {FIX}")
    return archive


def read_properties(archive: zipfile.ZipFile) -> dict[int, dict[str, str]]:
    """Return {entry number: fields} of a catalog's properties, in Latin-1.

    Other lines are skipped: fields of the catalog itself, and a malformed line that one has. Raises
    `InputError` where there are none that can be read.
    """
    entries: dict[int, dict[str, str]] = {}
    for line in read_entry(archive, PROPERTIES, FIX).decode("latin-1").splitlines():
        match = _ENTRY.match(line.strip())
        if match:
            entries.setdefault(int(match[2]), {})[match[1]] = match[3]
    return entries


@cache
def _medians() -> dict[str, tuple[int, int]]:
    """Return the median volume (mm³) and height (mm) of each class, over the reviewed models."""
    volumes, heights = defaultdict(list), defaultdict(list)
    for row in read_models(REVIEWED).values():
        volumes[row.cls].append(prod(row.size_mm))
        heights[row.cls].append(row.size_mm[2])
    return {cls: (median_high(volumes[cls]), median_high(heights[cls])) for cls in volumes}


def size_words(cls: str, size_mm: Sequence[int]) -> set[str]:
    """Return which of small, large and tall hold of an object, compared with its class.

    Small is under 0.6 of the class's median volume, large over 1.6, and tall over 1.3 of the median
    height. All numbers are integers, so every machine decides alike.

    Args:
        cls: class of the object.
        size_mm: width, depth and height.
    """
    volume, height = _medians()[cls]
    holds = {
        "small": 10 * prod(size_mm) < 6 * volume,
        "large": 10 * prod(size_mm) > 16 * volume,
        "tall": 10 * size_mm[2] > 13 * height,
    }
    return {word for word in holds if holds[word]}
