"""Write a safetensors file tensor by tensor, so that a split need not fit into memory."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_BYTES = {"F16": 2, "F32": 4, "U8": 1, "I32": 4, "I64": 8}


@dataclass(frozen=True)
class TensorSpec:
    """Name, safetensors type and shape of a tensor that will be written."""

    name: str
    kind: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of the tensor."""
        return _BYTES[self.kind] * math.prod(self.shape)


class TensorStream:
    """A safetensors file whose tensors are declared once and written in that order.

    Raises `ValueError` when a tensor differs from its declaration or one is missing at the end.
    """

    def __init__(self, path: str | os.PathLike[str], metadata: dict[str, str]) -> None:
        self._path = path
        self._metadata = metadata
        self._left: list[TensorSpec] = []

    def __enter__(self) -> TensorStream:
        self._handle = open(self._path, "wb")  # noqa: SIM115 - closed in __exit__
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._handle.close()
        if kind is None and self._left:
            raise ValueError(f"tensor {self._left[-1].name} was declared and never written")

    def declare(self, specs: Iterable[TensorSpec]) -> None:
        """Write the header for these tensors (format: huggingface/safetensors, README)."""
        header: dict[str, object] = {"__metadata__": self._metadata}
        position = 0
        self._left = list(specs)
        for spec in self._left:
            offsets = [position, position + spec.size]
            header[spec.name] = {"dtype": spec.kind, "shape": spec.shape, "data_offsets": offsets}
            position += spec.size
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._handle.write(len(text).to_bytes(8, "little") + text)
        self._left.reverse()

    def write(self, array: np.ndarray) -> None:
        """Append the next declared tensor."""
        spec = self._left.pop()
        if array.shape != spec.shape or array.nbytes != spec.size:
            raise ValueError(f"tensor {spec.name}: {array.shape} was declared {spec.shape}")
        self._handle.write(np.ascontiguousarray(array).tobytes())
