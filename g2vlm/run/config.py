"""Experiment configs: the schema, checks with every fault in one line, methods and baselines."""

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from g2vlm.models.config import VARIANT_KEYS, ModelSizes, method_switches, model_sizes
from g2vlm.scenes.render.settings import SensorModel
from g2vlm.settings import describe_fault, section_schema, suggest
from g2vlm.training.settings import TrainSettings
from metrics.files import InputError

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
BASELINES = ROOT / "baselines"
METHODS = ROOT / "config" / "methods"


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        InputError: the file is missing, not valid YAML, or holds no mapping.
    """
    try:
        value = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; name one under config/") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not valid YAML ({reason}); fix that row") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: must hold keys and values; see config/cpu.yaml")
    return value


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of a merged config.

    workflow/schemas/config.schema.yaml is completed by the sections that dataclasses describe, and
    by the names of the baselines that need weights.
    """
    schema = read_yaml(SCHEMA)
    sections = schema["properties"]
    sections["render"]["properties"]["sensor"] = section_schema(SensorModel)
    sections["model"] = section_schema(ModelSizes)
    sections["train"] = section_schema(TrainSettings)
    sections["pretrained"]["properties"] = {
        name: {"$ref": "#/$defs/folder"}
        for name, constants in declared_baselines().items()
        if constants.get("PRETRAINED")
    }
    return schema


def check_config(config: Mapping[str, Any], files: Sequence[str]) -> None:
    """Check a merged config against the schema.

    Args:
        config: the merged config.
        files: the config files in the order of their merging.

    Raises:
        InputError: for the first fault: the file, the key and how to fix it.
    """
    import jsonschema

    faults = jsonschema.Draft202012Validator(config_schema()).iter_errors(config)
    fault = min(faults, key=lambda one: list(map(str, one.absolute_path)), default=None)
    if fault is not None:
        keys = list(fault.absolute_path)
        if fault.validator == "additionalProperties":
            known = fault.schema.get("properties", {})
            keys.append(next(key for key in fault.instance if key not in known))
        raise InputError(f"{_source(keys, files)}: {describe_fault(fault)}")
    model_sizes(config, _source(["model"], files))
    _check_names(config, files)


def _check_names(config: Mapping[str, Any], files: Sequence[str]) -> None:
    """Raise `InputError` for a test or claim that names an unknown method, metric or family.

    A misspelt name would otherwise be reported as a comparison without scores. Methods that this
    experiment leaves out are allowed: their tests are reported as not tested.
    """
    from metrics.registry import METRICS

    methods = {path.stem for path in METHODS.glob("*.yaml")} | set(declared_baselines())
    methods |= {entry["name"] for entry in config.get("submissions", [])}
    methods |= set(config["methods"])  # `load_method` names the missing file of one of these
    families = config["statistics"].get("families", {})
    known = {"method": methods, "metric": set(METRICS), "family": set(families)}
    # (kind of name, name, path of keys to it)
    names = [("method", config["statistics"]["reference"], ["statistics", "reference"])]
    for family, declared in families.items():
        path = ["statistics", "families", family]
        for test in declared["tests"]:
            names += [("method", name, path) for name in (test["a"], *test["b"])]
            names += [("metric", name.partition("/")[0], path) for name in test["metrics"]]
    for key, section in (("headline", "report"), ("metrics", "studies")):
        names += [("metric", name, [section, key]) for name in config[section][key]]
    for claim in config["report"]["claims"]:
        path = ["report", "claims"]
        names += [("family", claim["family"], path), ("method", claim["method"], path)]
    for kind, name, path in names:
        if name not in known[kind]:
            hint = suggest(name, sorted(known[kind]), "known")
            place = f"{_source(path, files)}: `{'.'.join(path)}`"
            raise InputError(f"{place} names the unknown {kind} `{name}`; {hint}")


def _source(keys: Sequence[str | int], files: Iterable[str]) -> str:
    """Return the last file that holds a path of keys; for a path into a list, that of the list."""
    for path in reversed(list(files)):
        value: Any = read_yaml(path)
        for key in keys:
            if isinstance(value, list):
                return str(path)
            if not isinstance(value, Mapping) or key not in value:
                break
            value = value[key]
        else:
            return str(path)
    return "--config on the command line"


def load_method(name: str, folder: str | Path = METHODS) -> dict[str, Any]:
    """Return the content of config/methods/<name>.yaml.

    Raises:
        InputError: there is no such method, or its file has an unknown, missing or misplaced key.
    """
    path = Path(folder) / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(item.stem for item in Path(folder).glob("*.yaml"))) or "none yet"
        raise InputError(f"{path}: no such method; the config's `methods` may name {known}")
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
