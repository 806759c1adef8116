"""Checkpoints of an unfinished training: safetensors and JSON, keyed by config and data."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from g2vlm.models.checkpoint import load_weights, read_tensors
from g2vlm.training.optimizer import Optimizer
from metrics.files import InputError, atomic_path, read_json, sha256_file

STATE, NOTES = "state.safetensors", "progress.json"


def training_key(parts: Mapping[str, Any], files: list[Path]) -> str:
    """Return a hash of everything that a training depends on.

    Args:
        parts: settings as JSON values.
        files: input files.

    Raises:
        InputError: for a missing file.
    """
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for path in files:
        if not path.is_file():
            raise InputError(f"{path}: no such file; run the stage that writes it")
        digest.update(f"{path.name} {sha256_file(path)}\n".encode())
    return digest.hexdigest()


@dataclass
class Checkpoint:
    """The folder of one training's checkpoint and the key that it must have."""

    folder: Path
    key: str

    def save(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        step: int,
        log: list[dict],
        seconds: float,
    ) -> None:
        """Write model, optimizer, steps done, losses so far and seconds spent, all or nothing."""
        tensors = {f"model/{k}": v.detach().contiguous() for k, v in model.state_dict().items()}
        tensors |= {f"optimizer/{name}": value for name, value in optimizer.tensors().items()}
        with atomic_path(self.folder, folder=True) as temporary:
            save_file(tensors, temporary / STATE)
            notes = {
                "key": self.key,
                "step": step,
                "losses": log,
                "seconds": seconds,
                "sha256": sha256_file(temporary / STATE),
            }
            (temporary / NOTES).write_text(json.dumps(notes), encoding="utf-8")

    def restore(self, model: nn.Module, optimizer: Optimizer) -> tuple[int, list[dict], float]:
        """Load the checkpoint into model and optimizer.

        Returns:
            steps done, losses so far, seconds spent; (0, [], 0) without a checkpoint.

        Raises:
            InputError: for a checkpoint of another config, data or network, or a damaged one.
        """
        path = self.folder / NOTES
        if not path.exists():
            return 0, [], 0.0
        fix = f"delete {self.folder} to train from the start"
        notes = read_json(path)
        if notes.get("key") != self.key:
            raise InputError(f"{path}: a checkpoint of another config or other data; {fix}")
        tensors = read_tensors(self.folder / STATE, fix)
        if sha256_file(self.folder / STATE) != notes.get("sha256"):
            raise InputError(f"{self.folder / STATE}: damaged (its hash differs); {fix}")
        load_weights(
            model,
            _under(tensors, "model/"),
            f"{path}: a checkpoint of another version of the network",
            fix,
        )
        optimizer.load(_under(tensors, "optimizer/"))
        return int(notes["step"]), notes["losses"], float(notes["seconds"])

    def clear(self) -> None:
        """Remove the checkpoint of a finished training."""
        for name in (NOTES, STATE):
            (self.folder / name).unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
