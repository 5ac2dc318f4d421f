"""Safetensors files: what they hold, and the arrays in them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnrt.errors import ModelFormatError, UnsupportedModelError

_PLAIN = {"F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"}
_LENGTH = 8  # bytes of the header's length, at the front


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: its dtype in the format's words, such as "F32", and its shape."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


@dataclass(frozen=True)
class SafetensorsFile:
    """A file whose header has been read and checked.

    Attributes
    ----------
    path : Path
    metadata : dict of str to str
    entries : dict of str to Entry
        The tensors by name, in the order of their names.
    """

    path: Path
    metadata: dict[str, str]
    entries: dict[str, Entry]

    def arrays(self, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """The arrays of those names, or all; BF16, which NumPy lacks, becomes float32, which holds it exactly.

        Raises
        ------
        ModelFormatError
            The file is damaged.
        UnsupportedModelError
            A tensor has a dtype that rnnrt does not know.
        """
        from safetensors import safe_open

        wanted = list(self.entries if names is None else names)
        foreign = [
            f"tensor {n!r} is {self.entries[n]}" for n in wanted if self.entries[n].dtype not in {*_PLAIN, "BF16"}
        ]
        if foreign:
            raise UnsupportedModelError(str(self.path), [f"{what}; save it as F32" for what in foreign], "read")
        try:
            with safe_open(str(self.path), framework="numpy") as file:
                return {n: self._bfloat16(n) if self.entries[n].dtype == "BF16" else file.get_tensor(n) for n in wanted}
        except _damage() as error:
            raise ModelFormatError(f"{self.path}: is damaged ({error}); export or download it again") from None

    def _bfloat16(self, name: str) -> np.ndarray:
        """A tensor of half floats of 8 bits of exponent: the upper halves of float32."""
        with self.path.open("rb") as stream:
            size = int.from_bytes(stream.read(_LENGTH), "little")
            begin, end = json.loads(stream.read(size))[name]["data_offsets"]
            stream.seek(_LENGTH + size + begin)
            data = stream.read(end - begin)
        shape = self.entries[name].shape
        if len(data) != 2 * math.prod(shape):
            raise ValueError(f"tensor {name!r} has {len(data)} bytes for BF16 {shape}")
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)


def open_safetensors(
    path: str | os.PathLike[str], what: str = "safetensors file", advice: str = "export or download it again"
) -> SafetensorsFile:
    """The header of a file, checked: offsets within the file, without gaps and without overlaps.

    Raises
    ------
    ModelFormatError
        It is missing, truncated or no such file; the message calls it `what` and ends with `advice`.
    """
    from safetensors import safe_open

    file = Path(path)
    try:
        with safe_open(str(file), framework="numpy") as opened:
            parts = {name: opened.get_slice(name) for name in sorted(opened.keys())}
            entries = {name: Entry(str(s.get_dtype()), tuple(s.get_shape())) for name, s in parts.items()}
            return SafetensorsFile(file, dict(opened.metadata() or {}), entries)
    except _damage() as error:
        raise ModelFormatError(f"{file}: is not a whole {what} ({error}); {advice}") from None


def _damage() -> tuple[type[Exception], ...]:
    from safetensors import SafetensorError

    return SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError
