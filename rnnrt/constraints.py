"""Keras's constraints: what is done to a weight after each update, so that it stays within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnrt.numerics import EPSILON
from rnnrt.registry import Configurable, Registry

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "max_norm",
    "min_max_norm",
    "non_neg",
    "serialize",
    "unit_norm",
]

Axis = int | tuple[int, ...]


class Constraint(Configurable):
    """Base of constraints: overwrite ``__call__``, and `get_config` where there are arguments."""

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """The weight within bounds: a new array of w's shape and dtype."""
        return w


def _norms(w: np.ndarray, axis: Axis) -> np.ndarray:
    # JSON knows lists only.
    axes = axis if isinstance(axis, int) else tuple(axis)
    return np.sqrt(np.sum(np.square(w), axis=axes, keepdims=True))


class NonNeg(Constraint):
    """No element below 0."""

    def __call__(self, w: np.ndarray) -> np.ndarray:
        return np.maximum(w, 0)


class UnitNorm(Constraint):
    """Euclidean norm 1 along `axis` (an int or several): axis 0 of a Dense kernel is what feeds one unit."""

    def __init__(self, axis: Axis = 0) -> None:
        self.axis = axis

    def __call__(self, w: np.ndarray) -> np.ndarray:
        return w / (EPSILON + _norms(w, self.axis))

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


class MaxNorm(Constraint):
    """Euclidean norm along `axis` no more than `max_value`."""

    def __init__(self, max_value: float = 2, axis: Axis = 0) -> None:
        self.max_value, self.axis = max_value, axis

    def __call__(self, w: np.ndarray) -> np.ndarray:
        norms = _norms(w, self.axis)
        return w * (np.clip(norms, 0, self.max_value) / (EPSILON + norms))

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


class MinMaxNorm(Constraint):
    """Euclidean norm along `axis` from `min_value` to `max_value`.

    Parameters
    ----------
    min_value, max_value : float
    rate : float
        How far towards the bounds one call goes: 1 is all the way.
    axis : int or tuple of int
    """

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Axis = 0) -> None:
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def __call__(self, w: np.ndarray) -> np.ndarray:
        norms = _norms(w, self.axis)
        desired = self.rate * np.clip(norms, self.min_value, self.max_value) + (1 - self.rate) * norms
        return w * (desired / (EPSILON + norms))

    def get_config(self) -> dict[str, Any]:
        return {"min_value": self.min_value, "max_value": self.max_value, "rate": self.rate, "axis": self.axis}


non_neg, unit_norm, max_norm, min_max_norm = NonNeg, UnitNorm, MaxNorm, MinMaxNorm

_REGISTRY = Registry("constraints", (MaxNorm, MinMaxNorm, NonNeg, UnitNorm))


def serialize(constraint: Constraint) -> dict[str, Any]:
    """A dictionary in Keras's form, for `deserialize`."""
    return _REGISTRY.serialize(constraint)


def deserialize(config: str | Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The constraint that a name or a dictionary describes."""
    return _REGISTRY.deserialize(config, custom_objects)


def get(identifier: Any) -> Any:
    """A constraint from a name, a dictionary, a class or a function; None stays None."""
    return _REGISTRY.get(identifier)
