"""Experiment configs: how files merge, the schema, and checks with every fault in one line.

``python -m g2vlm.run.config FILE...`` checks config files as `snakemake --configfile` would merge
them. It needs no Snakemake, which runs the code in a config that asks for it (`__use_yte__`), and
stops at some files with a traceback, before the workflow can check them.
"""

import argparse
import ast
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from g2vlm.features.names import MINILM, MOBILENET
from g2vlm.models.config import VARIANT_KEYS, ModelSizes, method_switches, model_sizes
from g2vlm.run.produced import lacks_metric, untrained_tasks
from g2vlm.run.studies import variant_trainings
from g2vlm.scenes.layout.settings import TwoZones
from g2vlm.scenes.render.settings import SensorModel
from g2vlm.settings import describe_fault, first_fault, section_schema, suggest
from g2vlm.training.settings import TrainSettings
from metrics.files import InputError, run_main
from metrics.schemas import printable
from metrics.yaml_file import read_yaml

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
BASELINES = ROOT / "baselines"
METHODS = ROOT / "config" / "methods"
# The file that every experiment is merged onto: the `configfile:` of the Snakefile.
DEFAULTS = "config/cpu.yaml"
COMMAND_LINE = "--config on the command line"
# {file, or the command line: what it sets}, in the order of merging.
Sources = Mapping[str, Mapping[str, Any]]
# The way to a value of a config.
Keys = Sequence[str | int]
# The way to a value, the ways to those that it does not fit, what is wrong and how to fix it.
Fault = tuple[Keys, Sequence[Keys], str]


def read_sources(
    files: Sequence[str | Path], command_line: Mapping[str, Any] | None = None
) -> Sources:
    """Return what `DEFAULTS`, the files and the command line set, in the order of merging.

    Args:
        files: what `--configfile` names, in that order.
        command_line: what `--config` sets.

    Raises:
        InputError: a file is missing or cannot be read (`metrics.yaml_file.read_yaml`).
    """
    here = Path.cwd()
    sources = {DEFAULTS: read_yaml(ROOT / DEFAULTS)}
    for path in map(Path, files):
        name = str(path.relative_to(here) if path.is_relative_to(here) else path)
        sources.pop(name, None)  # the last place counts
        sources[name] = read_yaml(name)
    return sources | ({COMMAND_LINE: dict(command_line)} if command_line else {})


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `changes`, as Snakemake merges config files."""
    result = dict(base)
    for key, value in changes.items():
        if isinstance(value, Mapping):
            below = result.get(key)
            value = merge(below if isinstance(below, Mapping) else {}, value)
        result[key] = value
    return result


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of a merged config.

    workflow/schemas/config.schema.yaml is completed by the sections that dataclasses describe, and
    by the names of the baselines that need weights.
    """
    schema = read_yaml(SCHEMA)
    sections = schema["properties"]
    sections["render"]["properties"]["sensor"] = section_schema(SensorModel)
    sections["sealed"]["properties"]["two_zones"] = section_schema(TwoZones)
    sections["model"] = section_schema(ModelSizes)
    sections["train"] = section_schema(TrainSettings)
    sections["pretrained"]["properties"] = {
        name: {"$ref": "#/$defs/folder"}
        for name, constants in declared_baselines().items()
        if constants.get("PRETRAINED")
    }
    return schema


def check_config(sources: Sources) -> dict[str, Any]:
    """Return the config that the sources merge to, after checking it.

    Raises:
        InputError: for the first fault: the file that holds the key, the key and how to fix it.
    """
    config: dict[str, Any] = {}
    for content in sources.values():
        config = merge(config, content)
    _refuse(_not_finite(config), sources)
    fault = first_fault(config_schema(), config)
    if fault is not None:
        keys = list(fault.absolute_path)
        if fault.validator == "additionalProperties":
            known = fault.schema.get("properties", {})
            keys.append(next(key for key in fault.instance if key not in known))
        raise InputError(f"{_setter(keys, sources)}: {describe_fault(fault)}")
    model_sizes(config, _source([["model", "hidden"], ["model", "heads"]], sources))
    steps = [["train", "stage1_steps"], ["train", "stage2_steps"]]
    TrainSettings.from_config(config["train"], _source(steps, sources))
    for check in (
        _unequal_shares,
        _wrong_splits,
        _reversed_ranges,
        _names_used_twice,
        _unknown_names,
        _without_rows,
        _unfair_controls,
        _wrong_families,
        _missing_reference,
        _missing_folders,
    ):
        _refuse(check(config), sources)
    return config


def _refuse(faults: Iterator[Fault], sources: Sources) -> None:
    """Raise `InputError` for the first fault, if there is one."""
    for keys, others, what in faults:
        place = _source([keys, *others], sources)
        raise InputError(f"{place}: `{'.'.join(printable(str(key)) for key in keys)}` {what}")


def _source(ways: Sequence[Keys], sources: Sources) -> str:
    """Return the last source that sets any of the values, which do not fit each other."""
    order = list(sources)
    return max((_setter(keys, sources) for keys in ways), key=order.index)


def _setter(keys: Keys, sources: Sources) -> str:
    """Return the last source that sets the value at the keys; for an item of a list, the list."""
    for name, content in reversed(sources.items()):
        value: Any = content
        for key in keys:
            if isinstance(value, list):
                return name
            if not isinstance(value, Mapping) or key not in value:
                break
            value = value[key]
        else:
            return name
    # The key is missing everywhere.
    return _setter(keys[:-1], sources) if keys else next(reversed(sources))


def _not_finite(value: Any, keys: tuple[str | int, ...] = ()) -> Iterator[Fault]:
    """Find NaN and infinities: NaN is within every bound of a JSON Schema."""
    if isinstance(value, float) and not math.isfinite(value):
        yield keys, [], f"is {value}; give a finite number"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _not_finite(item, (*keys, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _not_finite(item, (*keys, place))


def _unequal_shares(config: Mapping[str, Any]) -> Iterator[Fault]:
    """Find batches that the processes of a training cannot share equally."""
    batches, processes = config["train"]["accumulation"], config["train"]["processes"]
    if batches % processes:
        what = f"is {batches}, not a multiple of `train.processes` {processes}; change one of them"
        yield ["train", "accumulation"], [["train", "processes"]], what


def _wrong_splits(config: Mapping[str, Any]) -> Iterator[Fault]:
    """Find splits that a stage needs and the stage before it leaves out."""
    predicted, scored = config["predict"]["splits"], config["score"]["splits"]
    for stage, key, wanted, before, splits in (
        ("report", "main_split", [config["report"]["main_split"]], "score", scored),
        ("studies", "split", [config["studies"]["split"]], "score", scored),
        ("score", "splits", scored, "predict", predicted),
    ):
        for split in wanted:
            if split not in splits:
                what = f"names {split}, which `{before}.splits` lacks; add it there"
                yield [stage, key], [[before, "splits"]], what


def _reversed_ranges(config: Mapping[str, Any]) -> Iterator[Fault]:
    """Find ranges of the second layout grammar whose lower bound is above the upper one."""
    zones = config["sealed"]["two_zones"]
    for low, high in (
        ("shortest_mm", "longest_mm"),
        ("narrowest_mm", "widest_mm"),
        ("fewest", "most"),
    ):
        if zones[low] > zones[high]:
            what = f"is {zones[low]}, above `{high}` {zones[high]}; change one of them"
            yield ["sealed", "two_zones", low], [["sealed", "two_zones", high]], what


def _names_used_twice(config: Mapping[str, Any]) -> Iterator[Fault]:
    """Find names that two methods, baselines, trainings of studies or submissions share.

    Results are kept by name, so that one of the two would be lost or scored as the other.
    """
    owners = {path.stem: f"config/methods/{path.name}" for path in METHODS.glob("*.yaml")}
    for name in declared_baselines():
        if name in owners:
            yield ["methods"], [], f"has {owners[name]}, also a baseline's name; rename that file"
        owners[name] = f"the baseline {name}"
    trained = [name for name, _ in variant_trainings(config, dict.fromkeys(config["methods"], {}))]
    for name, count in Counter(trained).items():
        if count > 1:
            yield ["studies"], [], f"trains {name} twice; give shares and factors that differ more"
        if name in owners:
            what = f"trains {name}, also the name of {owners[name]}; rename that one"
            yield ["studies"], [], what
        owners[name] = f"a training of `studies`, {name}"
    for place, entry in enumerate(config["submissions"]):
        name = entry["name"]
        if name in owners:
            keys = ["submissions", place, "name"]
            yield keys, [], f"is {name}, also the name of {owners[name]}; choose another"
        owners[name] = f"the submission {name}"


def _unknown_names(config: Mapping[str, Any]) -> Iterator[Fault]:
    """Find unknown methods, metrics and families of tests.

    A misspelt name would be reported as a comparison without scores, or fail hours later. Methods
    that this experiment leaves out are allowed in tests, which are reported as not tested.
    """
    from metrics.registry import METRICS

    statistics, studies, report = config["statistics"], config["studies"], config["report"]
    baselines = declared_baselines()
    files = {path.stem for path in METHODS.glob("*.yaml")}
    outside = {entry["name"] for entry in config["submissions"]}
    trained = {name for name, _ in variant_trainings(config, dict.fromkeys(files, {}))}
    runs = {name for name, constants in baselines.items() if not constants.get("PRETRAINED")}
    known = {
        "scored split": set(config["score"]["splits"]),
        "trained method": files,
        "method": files | set(baselines) | outside | trained,
        "method of this experiment": {*config["methods"], *runs, *config["pretrained"], *outside},
        "baseline": set(baselines),
        "metric": set(METRICS),
        "family": {*statistics["families"], "generalisation", "data_efficiency"},
        "claim": {
            f"{family}.{claim}"
            for family, declared in statistics["families"].items()
            for claim in declared["claims"]
        },
    }
    for keys, kind, names in _names(statistics, studies, report, config["gate"], config["methods"]):
        for name in names:
            if name not in known[kind]:
                hint = suggest(name, sorted(known[kind] - trained), "known")
                # A second key decides as well.
                others = {
                    "method of this experiment": [["methods"]],
                    "scored split": [["score", "splits"]],
                }.get(kind, [])
                yield keys, others, f"names the unknown {kind} `{printable(name)}`; {hint}"


def _names(
    statistics: Mapping[str, Any],
    studies: Mapping[str, Any],
    report: Mapping[str, Any],
    gate: Mapping[str, Any],
    methods: Sequence[str],
) -> Iterator[tuple[Keys, str, Sequence[str]]]:
    """Yield the way to names, their kind (a key of `_unknown_names`'s table) and the names."""
    yield ["methods"], "trained method", methods
    for task, declared in gate["tasks"].items():
        yield ["gate", "tasks", task], "metric", [declared["metric"]]
        yield ["gate", "tasks", task], "method of this experiment", declared["controls"]
    yield ["studies", "metrics"], "metric", studies["metrics"]
    for study in ("data_efficiency", "robustness", "subgroups"):
        yield ["studies", study, "methods"], "trained method", studies[study]["methods"]
    yield (
        ["studies", "loss_balance", "method"],
        "trained method",
        [studies["loss_balance"]["method"]],
    )
    for key in ("reference", "lower_bound", "upper_bound"):
        yield ["statistics", key], "method of this experiment", [statistics[key]]
    yield ["statistics", "controls"], "method", statistics["controls"]
    yield ["statistics", "smallest_effect"], "metric", list(statistics["smallest_effect"])
    for family, declared in statistics["families"].items():
        yield ["statistics", "families", family, "split"], "scored split", [declared["split"]]
        for name, claim in declared["claims"].items():
            keys = ["statistics", "families", family, "claims", name]
            yield keys, "method", [claim["a"], *claim["against"]]
            for facet_name, facet in claim["facets"].items():
                of_facet = [*keys, "facets", facet_name]
                # A control that needs weights need not run: its tests are then "not tested".
                yield [*of_facet, "controls"], "method", facet.get("controls", [])
                for role, metrics in _facet_metrics(facet):
                    yield [*of_facet, role], "metric", metrics
    for contrast in ("generalisation", "data_efficiency"):
        declared = statistics.get(contrast, {})
        less = declared.get("less", {})
        names = [*declared.get("methods", []), *less, *less.values()]
        yield ["statistics", contrast], "method", names
        yield ["statistics", contrast], "metric", declared.get("metrics", [])
    yield ["report", "baselines"], "baseline", report["baselines"]
    yield ["report", "headline"], "metric", report["headline"]
    yield ["report", "short_names"], "metric", list(report["short_names"])
    yield ["report", "families"], "family", list(report["families"])
    for claim in report["claims"]:
        yield ["report", "claims"], "claim", [f"{claim['family']}.{claim['name']}"]


def _facet_metrics(facet: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield (key, names of metrics without their subsets) of a facet's primary and secondaries."""
    for key, metrics in (
        ("primary", [facet["primary"]]),
        ("secondary", facet.get("secondary", [])),
    ):
        yield key, [metric.partition("/")[0] for metric in metrics]


def _facets(
    config: Mapping[str, Any],
) -> Iterator[tuple[list[str], Mapping[str, Any], Mapping[str, Any]]]:
    """Yield the way to each facet of a claim, the claim and the facet."""
    for family, declared in config["statistics"]["families"].items():
        for name, claim in declared["claims"].items():
            for facet, parts in claim["facets"].items():
                keys = ["statistics", "families", family, "claims", name, "facets", facet]
                yield keys, claim, parts


def _without_rows(config: Mapping[str, Any]) -> Iterator[Fault]:
    """Find metrics that a control or a method of a claim, or a control of the gate, cannot have.

    Otherwise the test would be reported as untested, or as a win over a head that nothing trains.
    """
    for keys, claim, facet in _facets(config):
        for role, metrics in _facet_metrics(facet):
            for metric in metrics:
                for name in (claim["a"], *claim["against"]):
                    reason = _no_rows(name, metric)
                    if reason:
                        what = f"names {metric}, which {name} is not scored on: {reason}"
                        yield [*keys, role], [], f"{what}; name another metric or method"
        for name in facet.get("controls", []):
            metric = facet["primary"].partition("/")[0]
            reason = _no_rows(name, metric)
            if reason:
                what = f"names {name}, which has no {metric}: {reason}"
                yield [*keys, "controls"], [[*keys, "primary"]], f"{what}; name another control"
    for task, declared in config["gate"]["tasks"].items():
        for name in declared["controls"]:
            reason = _no_rows(name, declared["metric"])
            if reason:
                what = f"names {name}, which has no {declared['metric']}: {reason}"
                keys = ["gate", "tasks", task]
                yield [*keys, "controls"], [[*keys, "metric"]], f"{what}; name another control"


def _no_rows(name: str, metric: str) -> str:
    """Return why a method has no score of a metric, "" if it has one or nobody can tell."""
    baselines = declared_baselines()
    if name in baselines:
        return lacks_metric(baselines[name], metric)
    if (METHODS / f"{name}.yaml").is_file():
        from metrics.registry import METRICS

        return untrained_tasks(load_method(name)["switches"]).get(METRICS[metric].task, "")
    return ""


def _unfair_controls(config: Mapping[str, Any]) -> Iterator[Fault]:
    """Find controls that read geometry which the method that they test does without."""
    from metrics.registry import METRICS

    switches = {path.stem: load_method(path.stem)["switches"] for path in METHODS.glob("*.yaml")}
    for keys, claim, facet in _facets(config):
        if claim["a"] not in switches:
            continue
        fair = fair_controls(switches[claim["a"]], facet.get("controls", []))
        for name in facet.get("controls", []):
            if name not in fair:
                what = f"names {name}, which reads geometry that {claim['a']} lacks"
                yield [*keys, "controls"], [], f"{what}; name another control"
    for task, declared in config["gate"]["tasks"].items():
        for method in config["methods"]:
            produced = METRICS[declared["metric"]].task not in untrained_tasks(switches[method])
            if produced and not fair_controls(switches[method], declared["controls"]):
                what = f"names only controls that read geometry which {method} lacks"
                keys = ["gate", "tasks", task, "controls"]
                yield keys, [["methods"]], f"{what}; add one that reads none"


def _wrong_families(config: Mapping[str, Any]) -> Iterator[Fault]:
    """Find differences that are declared twice, and primary metrics without a smallest effect."""
    from metrics.statistics.settings import check_families

    try:
        check_families(config["statistics"], "statistics")
    except InputError as error:
        keys = [["statistics", "smallest_effect"]]
        yield ["statistics", "families"], keys, f"are wrong: {str(error).partition(': ')[2]}"


def _missing_reference(config: Mapping[str, Any]) -> Iterator[Fault]:
    """Find a data-efficiency contrast without the method that the others are compared with."""
    reference = config["statistics"]["reference"]
    less = config["statistics"].get("data_efficiency", {}).get("less")
    if less is not None and reference not in less:
        keys = ["statistics", "data_efficiency", "less"]
        yield keys, [["statistics", "reference"]], f"lacks the reference {reference}; add it"


def _missing_folders(config: Mapping[str, Any]) -> Iterator[Fault]:
    """Find folders of encoders, weights and submissions that are not there."""
    for kind, known in (("image", MOBILENET), ("text", MINILM)):
        name = config["encode"][kind]
        if name != known and not Path(name, "config.json").is_file():
            fix = f"give {known}, or the folder of a `transformers` model"
            yield ["encode", kind], [], f"is {name!r}, which holds no config.json; {fix}"
    for name in config["pretrained"]:
        try:
            pretrained_folder(config, name)
        except InputError as error:
            yield ["pretrained", name], [], f"cannot be used: {error}"
    counts = config["data"]["splits"]
    for place, entry in enumerate(config["submissions"]):
        for split in config["score"]["splits"]:
            manifest = Path(entry["path"], split, "manifest.json")
            if counts[split] and not manifest.is_file():
                what = f"holds no {split}/manifest.json; give a submission of each scored split"
                yield ["submissions", place, "path"], [], what


def load_method(name: str, folder: str | Path = METHODS) -> dict[str, Any]:
    """Return the content of config/methods/<name>.yaml.

    Raises:
        InputError: there is no such method, or its file has an unknown, missing or misplaced key.
    """
    path = Path(folder) / f"{name}.yaml"
    method = read_yaml(path)
    for key in VARIANT_KEYS:
        if key in method:
            raise InputError(
                f"{path}: key `{key}` is reserved for the studies' variants; remove it"
            )
    method_switches(method, str(path))
    return method


def declared_baselines(folder: str | Path = BASELINES) -> dict[str, dict[str, Any]]:
    """Return {name: constants} of every baseline, read from its method.py without importing it.

    Constants are names in capitals that a literal is assigned to at the top of the file.
    """
    baselines = {}
    for path in sorted(Path(folder).glob("*/method.py")):
        constants = baselines[path.parent.name] = {}
        for node in ast.parse(path.read_bytes()).body:
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                continue
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id.isupper():
                with suppress(ValueError):  # not a literal
                    constants[target.id] = ast.literal_eval(node.value)
    return baselines


def fair_controls(switches: Mapping[str, Any], controls: Sequence[str]) -> list[str]:
    """Return the controls that read no geometry of a scene that a method does without.

    Args:
        switches: of the method.
        controls: names of baselines; any other name counts as one that reads no geometry.
    """
    declared = declared_baselines()
    return [
        name
        for name in controls
        if all(switches[key] for key in declared.get(name, {}).get("GEOMETRY_INPUTS", ()))
    ]


def pretrained_folder(config: Mapping[str, Any], name: str) -> Path:
    """Return the `transformers` folder that a config's `pretrained` names for a baseline.

    Raises:
        InputError: it names none, or not the folder of a model.
    """
    value = config.get("pretrained", {}).get(name)
    if not value:
        raise InputError(
            f"baseline {name}: no weights; name a model's folder in the config: "
            f"pretrained: {{{name}: folder}}"
        )
    folder = Path(str(value)).expanduser()
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give pretrained.{name} a local model's folder")
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{folder}: holds no config.json; give pretrained.{name} the folder that a model was "
            f"saved to with save_pretrained"
        )
    return folder


def digest(*values: Any, length: int = 16) -> str:
    """Return a short sha256 of JSON-like values, independent of key order."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:length]


def main() -> int:
    """Check the config files that the command line names."""
    parser = argparse.ArgumentParser(prog="g2vlm.run.config", description=__doc__)
    parser.add_argument("files", metavar="FILE", nargs="*", help="as after --configfile, in order")
    check_config(read_sources(parser.parse_args().files))
    return 0


if __name__ == "__main__":
    run_main(main)
