"""Experiment configs: merged, checked against the schema, every fault in one line."""

from __future__ import annotations

import ast
import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from g2vlm.models.config import model_sizes
from metrics.files import InputError

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
BASE = ROOT / "config" / "cpu.yaml"
BASELINES = ROOT / "baselines"
METHODS = ROOT / "config" / "methods"


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Parse a YAML mapping; raises `InputError` naming the file and the row."""
    try:
        value = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; name one under config/") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not valid YAML ({reason}); mend that row") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: must hold keys and values; see config/cpu.yaml")
    return value


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over` laid on top, mapping by mapping."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both else value
    return result


def load_config(path: str | Path = BASE) -> dict[str, Any]:
    """Return a checked experiment config: the file on top of config/cpu.yaml."""
    config = merge(read_yaml(BASE), read_yaml(path))
    check_config(config, [str(BASE), str(path)])
    return config


def remove_empty_splits(config: dict[str, Any]) -> None:
    """Remove splits without scenes from a config: `data/` may lack the captured rooms."""
    counts = {split: n for split, n in config["data"]["splits"].items() if n}
    config["data"]["splits"] = counts
    for stage in ("predict", "score"):
        config[stage]["splits"] = [s for s in config[stage]["splits"] if s in counts]


def load_method(name: str, folder: str | Path = METHODS) -> dict[str, Any]:
    """Return config/methods/<name>.yaml; an unknown name lists those there are."""
    path = Path(folder) / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(item.stem for item in Path(folder).glob("*.yaml"))) or "none yet"
        raise InputError(f"{path}: no such method; the config's `methods` may name {known}")
    return read_yaml(path)


def declared_baselines(folder: str | Path = BASELINES) -> dict[str, dict[str, Any]]:
    """Return {name: constants} of every baseline, read from its method.py without importing it.

    Constants are names in capitals that a literal is assigned to at the top of the file.
    """
    found = {}
    for path in sorted(Path(folder).glob("*/method.py")):
        constants = found[path.parent.name] = {}
        for node in ast.parse(path.read_bytes()).body:
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                continue
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id.isupper():
                with suppress(ValueError):  # not a literal
                    constants[target.id] = ast.literal_eval(node.value)
    return found


def pretrained_folder(config: Mapping[str, Any], name: str) -> Path:
    """Return the `transformers` folder that a config's `pretrained` gives the baseline `name`.

    Raises `InputError` where it gives none, or where what it gives is no such folder.
    """
    named = config.get("pretrained", {}).get(name)
    if not named:
        raise InputError(
            f"baseline {name}: no weights; name a model's folder in the config: "
            f"pretrained: {{{name}: folder}}"
        )
    folder = Path(str(named)).expanduser()
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give pretrained.{name} a local model's folder")
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{folder}: holds no config.json; give pretrained.{name} the folder that a model was "
            f"saved to with save_pretrained"
        )
    return folder


def check_config(config: Mapping[str, Any], files: Sequence[str], schema: Path = SCHEMA) -> None:
    """Raise `InputError` with the first fault of a merged config: its file, key and mend.

    `files` are the config files in the order they were laid on one another.
    """
    import jsonschema

    validator = jsonschema.Draft202012Validator(read_yaml(schema))
    faults = sorted(validator.iter_errors(config), key=lambda fault: list(map(str, fault.path)))
    if faults:
        keys, message = _describe(faults[0])
        raise InputError(f"{_source(keys, files)}: {message}")
    model_sizes(config, _source(["model"], files))


def _describe(fault: Any) -> tuple[list[str], str]:
    """Return the path of keys to the fault and a sentence about it."""
    path = [str(part) for part in fault.absolute_path]
    if fault.validator == "additionalProperties" and isinstance(fault.schema, Mapping):
        known = list(fault.schema.get("properties", {}))
        stray = next(key for key in fault.instance if key not in known)
        near = difflib.get_close_matches(str(stray), known, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
        keys = [*path, str(stray)]
        return keys, f"unknown key `{'.'.join(keys)}`; {hint}"
    where = ".".join(path) or "the top level"
    if fault.validator == "required":
        return path, f"{where}: {fault.message}; see config/cpu.yaml"
    return path, f"`{where}`: {fault.message}; see workflow/schemas/config.schema.yaml"


def _source(keys: Sequence[str], files: Iterable[str]) -> str:
    """Return the last file that holds the path of keys, or the command line."""
    for path in reversed(list(files)):
        value: Any = read_yaml(path)
        for key in keys:
            if not isinstance(value, Mapping) or key not in value:
                break
            value = value[key]
        else:
            return str(path)
    return "--config on the command line"


def digest(*values: Any, length: int = 16) -> str:
    """Return a short sha256 of JSON-like values, independent of key order."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:length]
