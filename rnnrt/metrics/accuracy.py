"""How often predictions are right: Keras 3's accuracies, as functions of samples and as metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.losses.reduction import squeeze_or_expand_to_same_rank
from rnnrt.metrics.base import MeanMetricWrapper, Metric

__all__ = [
    "Accuracy",
    "AccuracyOfShapes",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "resolve_accuracy",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]


def _equal_shapes(y_true: Any, y_pred: Any, who: str) -> tuple[np.ndarray, np.ndarray]:
    t, p = squeeze_or_expand_to_same_rank(np.asarray(y_true), np.asarray(y_pred))
    if t.shape != p.shape:
        raise ShapeError(f"{who}: y_true has the shape {np.shape(y_true)} and y_pred {np.shape(y_pred)}")
    return t, p


def accuracy(y_true: Any, y_pred: Any) -> np.ndarray:
    """1 where y_true equals y_pred, else 0; of their shape."""
    t, p = _equal_shapes(y_true, y_pred, "accuracy")
    return (t == p).astype(np.float32)


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> np.ndarray:
    """1 where y_true equals ``y_pred > threshold``, else 0; of their shape."""
    t, p = _equal_shapes(y_true, y_pred, "binary_accuracy")
    return (t == (p > threshold)).astype(np.float32)


def categorical_accuracy(y_true: Any, y_pred: Any) -> np.ndarray:
    """1 where the largest of y_true (..., classes) and of y_pred (..., classes) have the same place; (...)."""
    t, p = np.asarray(y_true), np.asarray(y_pred)
    if t.shape != p.shape:
        raise ShapeError(
            f"categorical_accuracy: y_true has the shape {t.shape} and y_pred {p.shape}; "
            f"for classes by number use SparseCategoricalAccuracy"
        )
    return (np.argmax(t, -1) == np.argmax(p, -1)).astype(np.float32)


def _labels(y_true: Any, y_pred: Any, who: str) -> tuple[np.ndarray, np.ndarray]:
    t, p = np.asarray(y_true), np.asarray(y_pred)
    if t.ndim == p.ndim and t.shape[-1] == 1:
        t = t[..., 0]
    if t.shape != p.shape[:-1]:
        raise ShapeError(
            f"{who}: y_true has the shape {np.shape(y_true)}; y_pred of shape {p.shape} needs one label less"
        )
    return t, p


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> np.ndarray:
    """1 where the largest of y_pred (..., classes) is at y_true (...), else 0; (...)."""
    t, p = _labels(y_true, y_pred, "sparse_categorical_accuracy")
    return (t == np.argmax(p, -1)).astype(np.float32)


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> np.ndarray:
    """1 where y_true (...) is among the `k` largest of y_pred (..., classes), else 0; (...).

    With `from_sorted_ids`, y_pred holds classes, the likeliest first.
    """
    t, p = _labels(y_true, y_pred, "sparse_top_k_categorical_accuracy")
    if from_sorted_ids:
        return (t[..., None] == p[..., :k]).any(axis=-1).astype(np.float32)
    if not 1 <= k <= p.shape[-1]:
        raise RnnrtError(f"top {k} of {p.shape[-1]} classes: k must be from 1 to the number of classes")
    own = np.take_along_axis(p, t.astype(np.int64)[..., None], -1)
    # Equal predictions all count as before, so that a tie is a hit.
    return ((p > own).sum(axis=-1) < k).astype(np.float32)


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> np.ndarray:
    """1 where the largest of y_true (..., classes) is among the `k` largest of y_pred, else 0; (...)."""
    return sparse_top_k_categorical_accuracy(np.argmax(np.asarray(y_true), -1), y_pred, k)


class Accuracy(MeanMetricWrapper):
    """How often y_pred equals y_true."""

    def __init__(self, name: str | None = "accuracy", dtype: str | None = None) -> None:
        super().__init__(accuracy, name, dtype)

    def get_config(self) -> dict[str, Any]:
        return Metric.get_config(self)


class BinaryAccuracy(MeanMetricWrapper):
    """How often ``y_pred > threshold`` equals y_true."""

    def __init__(self, name: str | None = "binary_accuracy", dtype: str | None = None, threshold: float = 0.5) -> None:
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)

    def get_config(self) -> dict[str, Any]:
        return Metric.get_config(self) | self.arguments


class CategoricalAccuracy(MeanMetricWrapper):
    """How often the likeliest class is the true one; labels are one-hot."""

    def __init__(self, name: str | None = "categorical_accuracy", dtype: str | None = None) -> None:
        super().__init__(categorical_accuracy, name, dtype)

    def get_config(self) -> dict[str, Any]:
        return Metric.get_config(self)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """How often the likeliest class is the true one; labels are classes by number."""

    def __init__(self, name: str | None = "sparse_categorical_accuracy", dtype: str | None = None) -> None:
        super().__init__(sparse_categorical_accuracy, name, dtype)

    def get_config(self) -> dict[str, Any]:
        return Metric.get_config(self)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the true class is among the `k` likeliest; labels are one-hot."""

    def __init__(self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype: str | None = None) -> None:
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)

    def get_config(self) -> dict[str, Any]:
        return Metric.get_config(self) | self.arguments


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the true class is among the `k` likeliest; labels are classes by number."""

    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: str | None = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, k=k, from_sorted_ids=from_sorted_ids)

    def get_config(self) -> dict[str, Any]:
        config = Metric.get_config(self) | self.arguments
        if not self.arguments["from_sorted_ids"]:
            del config["from_sorted_ids"]
        return config


def resolve_accuracy(
    loss: Any, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None], name: str = "accuracy"
) -> Metric:
    """The accuracy that ``metrics=["accuracy"]`` means for these shapes.

    Parameters
    ----------
    loss
        Not looked at: Keras 3 decides by shapes alone.
    y_true_shape, y_pred_shape : sequence of int or None
    name : str

    Returns
    -------
    Metric
        `BinaryAccuracy` for predictions whose last axis has extent 1, `SparseCategoricalAccuracy` for labels without
        an axis of classes, else `CategoricalAccuracy`.
    """
    if y_pred_shape[-1] == 1:
        return BinaryAccuracy(name)
    if len(y_true_shape) < len(y_pred_shape) or y_true_shape[-1] == 1:
        return SparseCategoricalAccuracy(name)
    return CategoricalAccuracy(name)


class AccuracyOfShapes(Metric):
    """What "accuracy" means until the first batch shows shapes; from then on the metric of `resolve_accuracy`."""

    takes_mask = True

    def __init__(self, name: str | None = "accuracy", dtype: str | None = None) -> None:
        super().__init__(dtype, name)
        self.metric: Metric | None = None

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None
    ) -> None:
        if self.metric is None:
            self.metric = resolve_accuracy(None, np.shape(y_true), np.shape(y_pred), self.name)
        self.metric.update_state(y_true, y_pred, sample_weight, mask)

    def result(self) -> float:
        return 0.0 if self.metric is None else self.metric.result()

    def reset_state(self) -> None:
        if self.metric is not None:
            self.metric.reset_state()
