"""The data of `rnnrt train`: an .npz with x and y."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnrt.cli.common import load_arrays
from rnnrt.errors import RnnrtError, ShapeError

PARTS = ("x", "y", "x_val", "y_val", "sample_weight")
FORM = (
    "there are x and y, and perhaps x_val and y_val, and sample_weight; with several inputs or outputs each of them is "
    "split by name, as in x/INPUT and y/OUTPUT"
)

Arrays = np.ndarray | dict[str, np.ndarray]


@dataclass(frozen=True)
class TrainingData:
    """Arrays, or dicts of them by input and output."""

    x: Arrays
    y: Arrays
    sample_weight: Arrays | None
    validation: tuple[Arrays, Arrays] | None

    def __len__(self) -> int:
        first = next(iter(self.x.values())) if isinstance(self.x, dict) else self.x
        return len(first)

    def first_rows(self, rows: int) -> tuple[Any, Any]:
        """Inputs and targets of the first rows."""
        return _cut(self.x, rows), _cut(self.y, rows)


def read_training_data(path: str) -> TrainingData:
    """Read an .npz file.

    Raises
    ------
    RnnrtError
        The file is no .npz, or an array is missing, unknown, or holds something other than numbers.
    ShapeError
        Arrays have no rows.
    """
    arrays = load_arrays(path)
    if not isinstance(arrays, dict):
        raise RnnrtError(f"{path}: holds one array; {FORM} in an .npz, which numpy.savez(path, x=x, y=y) writes")
    parts: dict[str, Any] = {}
    for name, array in arrays.items():
        part, _, rest = name.partition("/")
        if part not in PARTS:
            raise RnnrtError(f"{path}: holds an array {name!r}; {FORM}")
        if array.dtype.kind not in "fiub":
            raise RnnrtError(f"{path}: {name} is of type {array.dtype}; give numbers")
        if not array.ndim or not len(array):
            raise ShapeError(f"{path}: {name} has shape {array.shape}; its first axis counts the rows, 1 or more")
        if rest:
            group = parts.setdefault(part, {})
            if not isinstance(group, dict):
                raise RnnrtError(f"{path}: holds both {part} and {name}; give one of them")
            group[rest] = array
        elif part in parts:
            raise RnnrtError(f"{path}: holds both {part} and {part}/...; give one of them")
        else:
            parts[part] = array
    _check_pairs(path, parts)
    validation = (parts["x_val"], parts["y_val"]) if "x_val" in parts else None
    return TrainingData(parts["x"], parts["y"], parts.get("sample_weight"), validation)


def _check_pairs(path: str, parts: dict[str, Any]) -> None:
    missing = [name for name in ("x", "y") if name not in parts]
    if missing:
        raise RnnrtError(f"{path}: lacks {' and '.join(missing)}; {FORM}")
    if ("x_val" in parts) != ("y_val" in parts):
        raise RnnrtError(f"{path}: holds one of x_val and y_val; give both or none")


def shape_of(data: TrainingData) -> tuple[Sequence[int], np.dtype]:
    """The shape of the only input without its rows, and its dtype; of several inputs those of the first."""
    first = next(iter(data.x.values())) if isinstance(data.x, dict) else data.x
    return first.shape[1:], first.dtype


def _cut(arrays: Arrays, rows: int) -> Arrays:
    return {k: a[:rows] for k, a in arrays.items()} if isinstance(arrays, dict) else arrays[:rows]
