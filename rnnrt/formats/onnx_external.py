"""Tensors that an ONNX model keeps in files beside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnrt.errors import ModelFormatError
from rnnrt.formats.files import LFS_POINTER, is_regular

MAPPED_BYTES = 1 << 20
"""Tensors from this size on are mapped, not read: they take memory only while they are used, and no second copy."""


@dataclass(frozen=True)
class DataFolder:
    """Where external data may lie.

    Parameters
    ----------
    path : Path
        The folder that locations start from: that of the model file.
    real : Path, optional
        The folder of the file that a symbolic link to the model stands for; caches keep models that way, with
        links to the data beside them.
    """

    path: Path
    real: Path | None = None

    @classmethod
    def of(cls, model: Path) -> DataFolder:
        """That of a model file."""
        return cls(model.parent, model.resolve().parent)

    def read(self, tensor: Any, stored: np.dtype, count: int, where: str) -> np.ndarray:
        """The `count` values of dtype `stored` that an onnx.TensorProto says lie in a file; read-only.

        Raises
        ------
        ModelFormatError
            The file is missing, too short, not a file, or outside the folder.
        """
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        path = self._inside(location, where)
        needed = count * stored.itemsize
        try:
            offset = int(entries.get("offset", "0"))
            length = int(entries.get("length", str(needed)))
        except ValueError:
            raise ModelFormatError(f"{where}: external data has offset or length that is no number") from None
        if offset < 0 or length != needed:
            raise ModelFormatError(f"{where}: external data of {length} bytes at {offset}; its shape needs {needed}")
        what = f"{where}: external data file {location!r}"
        try:
            if not is_regular(path):
                raise ModelFormatError(f"{what} is a folder, pipe or device; put the data file itself beside the model")
            with path.open("rb") as stream:
                if stream.read(len(LFS_POINTER)) == LFS_POINTER:
                    raise ModelFormatError(
                        f"{what} is a git-lfs pointer, not the data; run `git lfs pull` to fetch the file"
                    )
                size = stream.seek(0, os.SEEK_END)
                held = max(min(length, size - offset), 0)
                if held != length:
                    raise ModelFormatError(f"{what} ends early: {held} of {length} bytes; download or copy it again")
                if length < MAPPED_BYTES or offset % stored.itemsize:
                    stream.seek(offset)
                    return np.frombuffer(stream.read(length), stored)
                return np.memmap(stream, stored, "r", offset, (count,)).view(np.ndarray)
        except OSError as error:
            raise ModelFormatError(f"{what} cannot be read ({error.strerror}); keep it beside the model") from None

    def _inside(self, location: str, where: str) -> Path:
        """The file that a location names; it must lie below the model's folder, links followed."""
        if "\0" in location:
            raise ModelFormatError(f"{where}: external data file {location!r} has no valid name; the file is corrupt")
        path = (self.path / location).resolve()
        roots = [root.resolve() for root in (self.path, self.real) if root is not None]
        if not location or Path(location).is_absolute() or not any(root in path.parents for root in roots):
            link = f", where it leads to {str(path)!r}" if (self.path / location).is_symlink() else ""
            raise ModelFormatError(
                f"{where}: external data {location!r} lies outside the model's folder{link}; that is not read. "
                "Put the data file itself beside the model"
            )
        return path
