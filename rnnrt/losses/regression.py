"""Losses between numbers, between directions, and the hinges. Formulas are those of Keras 3."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from rnnrt.errors import RnnrtError
from rnnrt.losses.base import BuiltinLoss
from rnnrt.numerics import EPSILON, normalize, normalize_gradient

__all__ = [
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "Huber",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "SquaredHinge",
]

Computed = tuple[np.ndarray, np.ndarray | None]


class _Elementwise(BuiltinLoss):
    """The mean along the last axis of a function of each pair of elements."""

    _name: str

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: DTypeLike | None = None
    ) -> None:
        super().__init__(reduction, name or self._name, dtype)

    def elements(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> Computed:
        """The function, and its derivative for p."""
        raise NotImplementedError

    def compute(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> Computed:
        values, slopes = self.elements(t, p, gradient)
        if slopes is not None:
            slopes = slopes / p.dtype.type(p.shape[-1])
        return np.mean(values, axis=-1), slopes


class MeanSquaredError(_Elementwise):
    """``mean((y_true - y_pred)²)`` along the last axis."""

    _name = "mean_squared_error"

    def elements(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> Computed:
        error = p - t
        return np.square(error), 2 * error if gradient else None


class MeanAbsoluteError(_Elementwise):
    """``mean(|y_true - y_pred|)`` along the last axis."""

    _name = "mean_absolute_error"

    def elements(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> Computed:
        error = p - t
        return np.abs(error), np.sign(error) if gradient else None


class MeanAbsolutePercentageError(_Elementwise):
    """``100 mean(|y_true - y_pred| / max(|y_true|, 1e-7))`` along the last axis."""

    _name = "mean_absolute_percentage_error"

    def elements(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> Computed:
        error, scale = p - t, 100 / np.maximum(np.abs(t), EPSILON)
        return np.abs(error) * scale, np.sign(error) * scale if gradient else None


class MeanSquaredLogarithmicError(_Elementwise):
    """``mean((log(y_true + 1) - log(y_pred + 1))²)`` along the last axis; both are taken as at least 1e-7."""

    _name = "mean_squared_logarithmic_error"

    def elements(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> Computed:
        raised = np.maximum(p, EPSILON)
        error = np.log(raised + 1) - np.log(np.maximum(t, EPSILON) + 1)
        return np.square(error), np.where(p > EPSILON, 2 * error / (raised + 1), 0) if gradient else None


class LogCosh(_Elementwise):
    """``mean(log(cosh(y_pred - y_true)))`` along the last axis."""

    _name = "log_cosh"

    def elements(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> Computed:
        error = p - t
        size = np.abs(error)
        return size + np.log1p(np.exp(-2 * size)) - math.log(2), np.tanh(error) if gradient else None


class Huber(_Elementwise):
    """Half the square of an error up to `delta`, and a line beyond; the mean along the last axis."""

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(reduction, name or "huber_loss", dtype)
        if not delta >= 0:
            raise RnnrtError(f"Huber: delta must be 0 or more; it is {delta!r}")
        self.delta = delta

    def elements(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> Computed:
        error = p - t
        size = np.abs(error)
        values = np.where(size <= self.delta, 0.5 * np.square(error), self.delta * (size - 0.5 * self.delta))
        return values, np.clip(error, -self.delta, self.delta) if gradient else None

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"delta": self.delta}


def _signs(t: np.ndarray) -> np.ndarray:
    """Labels of 0 and 1 as -1 and 1; others as they are."""
    return 2 * t - 1 if np.all((t == 0) | (t == 1)) else t


class Hinge(_Elementwise):
    """``mean(max(1 - y_true y_pred, 0))`` along the last axis; labels -1 and 1, or 0 and 1."""

    _name = "hinge"

    def elements(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> Computed:
        t = _signs(t)
        margin = np.maximum(1 - t * p, 0)
        return margin, np.where(margin > 0, -t, 0) if gradient else None


class SquaredHinge(_Elementwise):
    """``mean(max(1 - y_true y_pred, 0)²)`` along the last axis; labels -1 and 1, or 0 and 1."""

    _name = "squared_hinge"

    def elements(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> Computed:
        t = _signs(t)
        margin = np.maximum(1 - t * p, 0)
        return np.square(margin), -2 * t * margin if gradient else None


class CategoricalHinge(BuiltinLoss):
    """``max(neg - pos + 1, 0)``: pos is the sum of ``y_true y_pred``, neg the maximum of ``(1 - y_true) y_pred``."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_hinge",
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)

    def compute(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> Computed:
        others = (1 - t) * p
        margin = np.max(others, axis=-1) - np.sum(t * p, axis=-1) + 1
        if not gradient:
            return np.maximum(margin, 0), None
        slopes = -t
        largest = np.argmax(others, axis=-1)[..., None]
        np.put_along_axis(
            slopes, largest, np.take_along_axis(slopes, largest, -1) + np.take_along_axis(1 - t, largest, -1), -1
        )
        return np.maximum(margin, 0), np.where(margin[..., None] > 0, slopes, 0)


class CosineSimilarity(BuiltinLoss):
    """Minus the cosine between y_true and y_pred along `axis`: -1 for equal directions."""

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "cosine_similarity",
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.axis = axis

    def compute(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> Computed:
        t = normalize(t, self.axis)
        values = -np.sum(t * normalize(p, self.axis), axis=self.axis)
        return values, normalize_gradient(p, -t, self.axis) if gradient else None

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | ({} if self.axis == -1 else {"axis": self.axis})
