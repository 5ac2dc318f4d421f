"""Losses between distributions: the crossentropies, Kullback and Leibler's divergence, Poisson. As in Keras 3."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.losses.base import BuiltinLoss
from rnnrt.losses.reduction import as_float, check_finite
from rnnrt.numerics import EPSILON, log_softmax, sigmoid

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "KLDivergence",
    "Poisson",
    "SparseCategoricalCrossentropy",
]

Computed = tuple[np.ndarray, np.ndarray | None]


def _clipped(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities within [EPSILON, 1 - EPSILON], and where they were: a clipped value has no gradient."""
    low, high = p.dtype.type(EPSILON), p.dtype.type(1 - EPSILON)
    return np.clip(p, low, high), (p >= low) & (p <= high)


def _distribution(p: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Values over their sum along an axis, and one over that sum; a sum of 0 is left as it is."""
    total = np.sum(p, axis=axis, keepdims=True)
    inverse = 1 / np.where(total == 0, 1, total)
    return p * inverse, inverse


class _Crossentropy(BuiltinLoss):
    """What crossentropies share: logits or probabilities, smoothing, an axis."""

    def __init__(
        self,
        from_logits: bool,
        label_smoothing: float,
        axis: int,
        reduction: str | None,
        name: str | None,
        dtype: DTypeLike | None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise RnnrtError(f"{type(self).__name__}: axis must be an int; it is {axis!r}")
        if not 0 <= label_smoothing <= 1:
            raise RnnrtError(f"{type(self).__name__}: label_smoothing must be from 0 to 1; it is {label_smoothing!r}")
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def with_logits(self) -> BuiltinLoss | None:
        if self.from_logits:
            return None
        return type(self)(**(self.get_config() | {"from_logits": True, "axis": self.axis, "dtype": self.dtype}))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "from_logits": self.from_logits,
            "label_smoothing": self.label_smoothing,
            "axis": self.axis,
        }


class BinaryCrossentropy(_Crossentropy):
    """``-mean(y_true log(y_pred) + (1 - y_true) log(1 - y_pred))`` along `axis`; labels from 0 to 1.

    Parameters
    ----------
    from_logits : bool
        Whether y_pred comes before a sigmoid.
    label_smoothing : float
        How far labels are drawn to 0.5.
    axis : int
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_crossentropy",
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)

    def prepare(self, y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
        t, p = super().prepare(y_true, y_pred)
        if t.size and (t.min() < 0 or t.max() > 1):
            raise RnnrtError(
                f"{self.name}: labels go from {t.min():g} to {t.max():g} and must lie from 0 to 1; for classes by "
                f"number use SparseCategoricalCrossentropy, for -1 and 1 use (y_true + 1) / 2"
            )
        return t, p

    def compute(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> Computed:
        if self.label_smoothing:
            t = t * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        slopes = None
        if self.from_logits:
            values = np.maximum(p, 0) - p * t + np.log1p(np.exp(-np.abs(p)))
            if gradient:
                slopes = sigmoid(p) - t
        else:
            q, inside = _clipped(p)
            values = -(t * np.log(q) + (1 - t) * np.log(1 - q))
            if gradient:
                slopes = np.where(inside, (q - t) / (q * (1 - q)), 0)
        if slopes is not None:
            slopes = (slopes / p.shape[self.axis]).astype(p.dtype, copy=False)
        return np.mean(values, axis=self.axis), slopes


class CategoricalCrossentropy(_Crossentropy):
    """``-sum(y_true log(y_pred))`` along `axis`; labels are one-hot, or probabilities.

    Parameters
    ----------
    from_logits : bool
        Whether y_pred comes before a softmax. Otherwise it is divided by its sum first.
    label_smoothing : float
        How far labels are drawn to 1 / classes.
    axis : int
        The axis of classes.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_crossentropy",
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)

    def _shape_hint(self, true: tuple[int, ...], pred: tuple[int, ...]) -> str:
        if len(true) < len(pred) or true[-1:] == (1,):
            return "; for classes by number use SparseCategoricalCrossentropy, or make labels one-hot"
        return ""

    def compute(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> Computed:
        if self.label_smoothing:
            t = t * (1 - self.label_smoothing) + self.label_smoothing / t.shape[-1]
        slopes = None
        if self.from_logits:
            logs = log_softmax(p, self.axis)
            if gradient:
                slopes = np.exp(logs) * np.sum(t, axis=self.axis, keepdims=True) - t
        else:
            q, inverse = _distribution(p, self.axis)
            clipped, inside = _clipped(q)
            logs = np.log(clipped)
            if gradient:
                pull = np.where(inside, -t / clipped, 0)
                slopes = (pull - np.sum(pull * q, axis=self.axis, keepdims=True)) * inverse
        return -np.sum(t * logs, axis=self.axis), slopes


class SparseCategoricalCrossentropy(_Crossentropy):
    """``-log(y_pred[y_true])``: the crossentropy for classes by number.

    Parameters
    ----------
    from_logits : bool
        Whether y_pred comes before a softmax. Otherwise it is divided by its sum first.
    ignore_class : int, optional
        A label whose sample does not count, neither in the sum nor in the number of samples.
    axis : int
        The axis of classes in y_pred. y_true has no such axis, or one of extent 1.
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(from_logits, 0.0, axis, reduction, name, dtype)
        self.ignore_class = ignore_class

    def prepare(self, y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
        p = as_float(y_pred, self.dtype)
        labels = np.asarray(y_true)
        if not -p.ndim <= self.axis < p.ndim:
            raise ShapeError(f"{self.name}: y_pred of shape {p.shape} has no axis {self.axis}")
        without = p.shape[: self.axis % p.ndim] + p.shape[self.axis % p.ndim + 1 :]
        if labels.ndim == p.ndim and labels.shape[self.axis] == 1:
            labels = np.squeeze(labels, self.axis)
        if labels.shape != without:
            hint = "; for one-hot labels use CategoricalCrossentropy" if labels.shape == p.shape else ""
            raise ShapeError(
                f"{self.name}: y_true has the shape {np.shape(y_true)}; y_pred of shape {p.shape} needs {without}{hint}"
            )
        if labels.dtype.kind not in "iub":
            check_finite(as_float(labels), self.name)
            if (labels != np.floor(labels)).any():
                raise RnnrtError(
                    f"{self.name}: labels must be whole numbers, the classes; for probabilities use "
                    f"CategoricalCrossentropy"
                )
        labels = labels.astype(np.int64)
        counts = labels[labels != self.ignore_class] if self.ignore_class is not None else labels
        n_classes = p.shape[self.axis]
        if counts.size and (counts.min() < 0 or counts.max() >= n_classes):
            raise RnnrtError(
                f"{self.name}: labels go from {counts.min()} to {counts.max()}, but y_pred has {n_classes} classes, "
                f"0 to {n_classes - 1}; widen the last layer, or set ignore_class for a label that does not count"
            )
        return labels, p

    def label_mask(self, y_true: Any, y_pred: Any) -> np.ndarray | None:
        if self.ignore_class is None:
            return None
        return self.prepare(y_true, y_pred)[0] != self.ignore_class

    def compute(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> Computed:
        counts = np.ones(t.shape, bool) if self.ignore_class is None else t != self.ignore_class
        index = np.expand_dims(np.where(counts, t, 0), self.axis)
        counts = np.expand_dims(counts, self.axis)
        slopes = None
        if self.from_logits:
            logs = log_softmax(p, self.axis)
            chosen = np.take_along_axis(logs, index, self.axis)
            if gradient:
                slopes = np.exp(logs)
                np.put_along_axis(slopes, index, np.take_along_axis(slopes, index, self.axis) - 1, self.axis)
        else:
            q, inverse = _distribution(p, self.axis)
            own = np.take_along_axis(q, index, self.axis)
            clipped, inside = _clipped(own)
            chosen = np.log(clipped)
            if gradient:
                pull = np.where(inside, -1 / clipped, 0)
                slopes = np.broadcast_to(-pull * own, p.shape).copy()
                np.put_along_axis(slopes, index, pull * (1 - own), self.axis)
                slopes *= inverse
        values = np.squeeze(np.where(counts, -chosen, 0), self.axis)
        return values, None if slopes is None else np.where(counts, slopes, 0)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config() | {"ignore_class": self.ignore_class}
        del config["label_smoothing"]
        if self.axis == -1:
            del config["axis"]
        return config


class KLDivergence(BuiltinLoss):
    """``sum(y_true log(y_true / y_pred))`` along the last axis; both are clipped to [1e-7, 1]."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "kl_divergence",
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)

    def compute(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> Computed:
        t, q = np.clip(t, EPSILON, 1), np.clip(p, EPSILON, 1)
        inside = (p >= p.dtype.type(EPSILON)) & (p <= 1)
        return np.sum(t * np.log(t / q), axis=-1), np.where(inside, -t / q, 0) if gradient else None


class Poisson(BuiltinLoss):
    """``mean(y_pred - y_true log(y_pred + 1e-7))`` along the last axis."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "poisson",
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)

    def compute(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> Computed:
        raised = p + p.dtype.type(EPSILON)
        values = np.mean(p - t * np.log(raised), axis=-1)
        return values, (1 - t / raised) / p.dtype.type(p.shape[-1]) if gradient else None
