"""Keras's regularizers: a penalty on a weight, and its gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.numerics import normalize, normalize_gradient
from rnnrt.registry import Configurable, Registry

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "orthogonal_regularizer",
    "serialize",
]


class Regularizer(Configurable):
    """Base of regularizers: overwrite ``__call__`` and `gradient`, and `get_config` where there are arguments."""

    def __call__(self, x: np.ndarray) -> float:
        """The penalty on `x`, of any shape unless said otherwise."""
        return 0.0

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """The gradient of the penalty: an array of x's shape and dtype."""
        raise RnnrtError(f"{type(self).__name__} defines no gradient(x), which training needs beside __call__(x)")


def _factor(value: float | None, name: str, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise RnnrtError(f"a regularizer's {name} must be a finite number of 0 or more; it is {value!r}")
    return float(value)


class L1L2(Regularizer):
    """``l1 * sum(|x|) + l2 * sum(x²)``; sums are taken in float64."""

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1, self.l2 = _factor(l1, "l1", 0.0), _factor(l2, "l2", 0.0)

    def __call__(self, x: np.ndarray) -> float:
        x = np.asarray(x)
        penalty = 0.0
        if self.l1:
            penalty += self.l1 * float(np.sum(np.abs(x), dtype=np.float64))
        if self.l2:
            penalty += self.l2 * float(np.sum(np.square(x), dtype=np.float64))
        return penalty

    def gradient(self, x: np.ndarray) -> np.ndarray:
        result = x * (2 * self.l2)
        if self.l1:
            result += self.l1 * np.sign(x)
        return result

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


class L1(L1L2):
    """``l1 * sum(|x|)``."""

    def __init__(self, l1: float | None = 0.01) -> None:
        super().__init__(_factor(l1, "l1", 0.01), 0.0)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


class L2(L1L2):
    """``l2 * sum(x²)``."""

    def __init__(self, l2: float | None = 0.01) -> None:
        super().__init__(0.0, _factor(l2, "l2", 0.01))

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """`factor` times the mean absolute cosine between the rows (or columns) of a matrix."""

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        if mode not in ("rows", "columns"):
            raise RnnrtError(f"OrthogonalRegularizer: mode must be rows or columns; it is {mode!r}")
        self.factor, self.mode = _factor(factor, "factor", 0.01), mode

    def _cosines(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Rows (or columns) as rows of length 1, their cosines without the diagonal, and what a cosine counts."""
        if x.ndim != 2:
            raise ShapeError(f"OrthogonalRegularizer needs a matrix; the shape {x.shape} has rank {x.ndim}")
        unit = normalize(x if self.mode == "rows" else x.T, axis=1)
        cosines = unit @ unit.T
        np.fill_diagonal(cosines, 0)
        pairs = len(unit) * (len(unit) - 1) / 2
        return unit, cosines, self.factor / (2 * pairs) if pairs else 0.0

    def __call__(self, x: np.ndarray) -> float:
        _, cosines, weight = self._cosines(np.asarray(x))
        return weight * float(np.sum(np.abs(cosines), dtype=np.float64))

    def gradient(self, x: np.ndarray) -> np.ndarray:
        unit, cosines, weight = self._cosines(x)
        rows = x if self.mode == "rows" else x.T
        # Each cosine is there twice, once for each of its rows.
        gradient = normalize_gradient(rows, 2 * weight * (np.sign(cosines) @ unit), axis=1)
        return np.ascontiguousarray(gradient if self.mode == "rows" else gradient.T, x.dtype)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "mode": self.mode}


l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer

_REGISTRY = Registry("regularizers", (L1, L2, L1L2, OrthogonalRegularizer), {"l1_l2": L1L2})


def serialize(regularizer: Regularizer) -> dict[str, Any]:
    """A dictionary in Keras's form, for `deserialize`."""
    return _REGISTRY.serialize(regularizer)


def deserialize(config: str | Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The regularizer that a name or a dictionary describes."""
    return _REGISTRY.deserialize(config, custom_objects)


def get(identifier: Any) -> Any:
    """A regularizer from a name, a dictionary, a class or a function; None stays None."""
    return _REGISTRY.get(identifier)
