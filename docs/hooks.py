"""Parts of the site that are written from the project itself, where a page says `{{ name }}`."""

import re
from functools import partial
from pathlib import Path
from typing import Any

from report.table import markdown_grid

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "results" / "reference" / "cpu"


def on_files(files: Any, config: Any) -> Any:
    """Add the reference's pictures to the site as `reference/<folder>/*.png`."""
    from mkdocs.structure.files import File

    for picture in sorted(REFERENCE.rglob("*.png")):
        place = f"reference/{picture.relative_to(REFERENCE).as_posix()}"
        files.append(File.generated(config, place, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Replace each `{{ name }}` of a page by the text of that part of the project."""
    from g2vlm.models.config import ModelSizes
    from g2vlm.scenes.layout.settings import TwoZones
    from g2vlm.scenes.render.settings import SensorModel
    from g2vlm.training.settings import TrainSettings

    parts = {
        "metrics": metrics,
        "relations": relations,
        "results": results,
        "studies": studies,
        "data": data_card,
        "switches": switches,
        "methods": methods,
        "train": partial(_settings, TrainSettings, "train"),
        "losses": losses,
        "model": partial(_settings, ModelSizes, "model"),
        "sensor": partial(_settings, SensorModel, "render", "sensor"),
        "two_zones": partial(_settings, TwoZones, "sealed", "two_zones"),
    }
    marks = re.compile(r"\{\{ (" + "|".join(parts) + r") \}\}")
    return marks.sub(lambda mark: parts[mark[1]](), markdown)


def metrics() -> str:
    """Every metric of the registry, a table a family."""
    from metrics.registry import METRICS

    families: dict[str, list[list[str]]] = {}
    for name, one in METRICS.items():
        unit = one.unit + (" ↑" if one.higher_is_better else " ↓")
        row = [f"`{name}`", f"{one.description} (*{one.source}*)", unit, one.worst_text]
        families.setdefault(one.family, []).append(row)
    heads = ["metric", "what it is", "unit", "worst"]
    return "\n".join(
        f"## {family.capitalize()}\n\n{markdown_grid(heads, rows)}\n"
        for family, rows in families.items()
    )


def relations() -> str:
    """Every relation of the predicate table, one row per family."""
    from metrics.scene_graph.predicates import DEFINITIONS, FAMILIES

    return markdown_grid(
        ["family", "predicates", "definition"],
        [
            [f"`{family}`", ", ".join(f"`{name}`" for name in names), DEFINITIONS[family]]
            for family, names in FAMILIES.items()
        ],
    )


def switches() -> str:
    """Every switch of a method."""
    from g2vlm.models.config import Switches
    from g2vlm.settings import setting_rows

    return markdown_grid(["switch", "meaning"], setting_rows(Switches))


def losses() -> str:
    """Every loss of the training objective, in the order of summation."""
    from g2vlm.training.losses import LOSSES

    return markdown_grid(
        ["loss", "from stage", "meaning", "parts"],
        [
            [
                f"`{loss.name}`",
                str(loss.stage),
                loss.description,
                ", ".join(part.name for part in loss.parts),
            ]
            for loss in LOSSES
        ],
    )


def methods() -> str:
    """What every trained method reads, computes and learns from, off its switches."""
    from g2vlm.models.config import Switches, method_switches
    from g2vlm.training.method_table import method_table
    from metrics.yaml_file import read_yaml

    listed = {}
    for name in read_yaml(ROOT / "config" / "cpu.yaml")["methods"]:
        path = ROOT / "config" / "methods" / f"{name}.yaml"
        listed[name] = Switches(**method_switches(read_yaml(path), str(path)))
    return markdown_grid(*method_table(listed))


def _settings(described: type, *section: str) -> str:
    """Every setting of a dataclass, with its default in that section of config/cpu.yaml."""
    from g2vlm.settings import setting_rows
    from metrics.yaml_file import read_yaml

    values = read_yaml(ROOT / "config" / "cpu.yaml")
    for key in section:
        values = values[key]
    rows = []
    for name, meaning in setting_rows(described):
        value = values[name.strip("`")]
        if isinstance(value, dict):
            value = ", ".join(f"{key} {number}" for key, number in value.items())
        rows.append([name, str(value), meaning])
    return markdown_grid(["setting", "default", "meaning"], rows)


def results() -> str:
    """The reference's tables and pictures, as `make reference` kept them."""
    if not (REFERENCE / "tables").is_dir():
        return "No reference run of the default experiment is kept in this checkout."
    headline = (REFERENCE / "headline.txt").read_text(encoding="utf-8").strip()
    # A claim of several lines is indented from its second line on.
    lines = headline.rsplit("\n\n", 1)[1].replace("\n  ", " ").splitlines()
    claims = "\n- ".join(["", *lines])
    parts = [f"## Claims\n{claims}", "## Tables"]
    files = (REFERENCE / "tables").glob("*.md")
    for file in sorted(files, key=lambda file: (file.stem != "main", file)):
        table = file.read_text(encoding="utf-8")
        title = table.removeprefix("**").partition(".**")[0]
        parts.append(f'<details markdown="1"><summary>{title}</summary>\n\n{table}\n</details>')
    for picture in sorted(REFERENCE.glob("*/*.png")):
        title = picture.stem.replace("_", " ")
        place = f"reference/{picture.parent.name}/{picture.name}"
        parts.append(f"## {title.capitalize()}\n\n![{title}]({place})\n")
    return "\n\n".join(parts)


def studies() -> str:
    """The studies of the reference: the explanation, the figure and the tables of each."""
    parts = []
    for page in sorted(REFERENCE.glob("studies/*/tables.md")):
        name = page.parent.name
        deeper = re.sub("^#", "###", page.read_text(encoding="utf-8").rstrip("\n"), flags=re.M)
        title, explanation, tables = deeper.split("\n\n", 2)
        parts += [title, explanation]
        if (page.parent / "figure.png").exists():
            parts.append(f"![{name}](reference/studies/{name}/figure.png)")
        parts.append(f'<details markdown="1"><summary>tables</summary>\n\n{tables}\n</details>')
    return "\n\n".join(parts) or "None of them was run beside the reference."


def data_card() -> str:
    """The data sheet that `make data` wrote, without its title: the page has one."""
    sheet = ROOT / "data" / "DATASHEET.md"
    if not sheet.exists():
        return "`make data` writes `data/DATASHEET.md`; this site was built without it."
    return sheet.read_text(encoding="utf-8").partition("\n")[2]
