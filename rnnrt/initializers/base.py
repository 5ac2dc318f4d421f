"""What an initializer is, and those that draw no numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.registry import Configurable

__all__ = ["Constant", "Identity", "Initializer", "Ones", "Zeros", "checked"]


class Initializer(Configurable):
    """Base of initializers: overwrite ``__call__``, and `get_config` where there are arguments."""

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        """Make an array.

        Parameters
        ----------
        shape : sequence of int
        dtype : dtype, optional
            float32 unless given.

        Raises
        ------
        ShapeError
            No array has this shape, or the initializer does not make such arrays.
        """
        raise NotImplementedError(f"{type(self).__name__} must define __call__(shape, dtype=None)")

    def clone(self) -> Initializer:
        """Another one with the same configuration."""
        return type(self).from_config(self.get_config())


def checked(shape: Sequence[int], dtype: DTypeLike | None) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of the array to make, or an error that says why there is none."""
    try:
        extents = tuple(int(n) for n in shape)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"an initializer needs a shape, a sequence of ints; it got {shape!r}") from error
    if any(n < 0 for n in extents):
        raise ShapeError(f"no array has the shape {extents}: extents are 0 or more")
    try:
        return extents, np.dtype(np.float32 if dtype is None else dtype)
    except TypeError as error:
        raise RnnrtError(f"{dtype!r} is no dtype") from error


class Zeros(Initializer):
    """All elements 0."""

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        return np.zeros(*checked(shape, dtype))


class Ones(Initializer):
    """All elements 1."""

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        return np.ones(*checked(shape, dtype))


class Constant(Initializer):
    """All elements `value`: a number, or an array that broadcasts to the shape."""

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        extents, kind = checked(shape, dtype)
        try:
            return np.broadcast_to(np.asarray(self.value, kind), extents).copy()
        except ValueError as error:
            raise ShapeError(f"Constant's value of shape {np.shape(self.value)} does not fill {extents}") from error

    def get_config(self) -> dict[str, Any]:
        value = self.value
        return {"value": value.tolist() if isinstance(value, np.ndarray | np.generic) else value}


class Identity(Initializer):
    """`gain` on the main diagonal of a matrix and 0 elsewhere."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None) -> np.ndarray:
        extents, kind = checked(shape, dtype)
        if len(extents) != 2:
            raise ShapeError(f"Identity makes matrices; the shape {extents} has rank {len(extents)}")
        return np.eye(*extents, dtype=kind) * kind.type(self.gain)

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain}
