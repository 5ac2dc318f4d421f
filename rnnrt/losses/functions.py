"""Keras's function forms of losses: labels and predictions in, the losses of samples out.

`LOSS_OF` says which class a function is the `call` of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rnnrt.losses.base import Loss
from rnnrt.losses.ctc import CTC
from rnnrt.losses.probabilistic import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    KLDivergence,
    Poisson,
    SparseCategoricalCrossentropy,
)
from rnnrt.losses.regression import (
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    SquaredHinge,
)


def mean_squared_error(y_true: Any, y_pred: Any) -> np.ndarray:
    """The losses of samples by `MeanSquaredError`."""
    return MeanSquaredError().call(y_true, y_pred)


def mean_absolute_error(y_true: Any, y_pred: Any) -> np.ndarray:
    """The losses of samples by `MeanAbsoluteError`."""
    return MeanAbsoluteError().call(y_true, y_pred)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> np.ndarray:
    """The losses of samples by `MeanAbsolutePercentageError`."""
    return MeanAbsolutePercentageError().call(y_true, y_pred)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> np.ndarray:
    """The losses of samples by `MeanSquaredLogarithmicError`."""
    return MeanSquaredLogarithmicError().call(y_true, y_pred)


def log_cosh(y_true: Any, y_pred: Any) -> np.ndarray:
    """The losses of samples by `LogCosh`."""
    return LogCosh().call(y_true, y_pred)


def hinge(y_true: Any, y_pred: Any) -> np.ndarray:
    """The losses of samples by `Hinge`."""
    return Hinge().call(y_true, y_pred)


def squared_hinge(y_true: Any, y_pred: Any) -> np.ndarray:
    """The losses of samples by `SquaredHinge`."""
    return SquaredHinge().call(y_true, y_pred)


def categorical_hinge(y_true: Any, y_pred: Any) -> np.ndarray:
    """The losses of samples by `CategoricalHinge`."""
    return CategoricalHinge().call(y_true, y_pred)


def kl_divergence(y_true: Any, y_pred: Any) -> np.ndarray:
    """The losses of samples by `KLDivergence`."""
    return KLDivergence().call(y_true, y_pred)


def poisson(y_true: Any, y_pred: Any) -> np.ndarray:
    """The losses of samples by `Poisson`."""
    return Poisson().call(y_true, y_pred)


def ctc(y_true: Any, y_pred: Any) -> np.ndarray:
    """The losses of samples by `CTC`."""
    return CTC().call(y_true, y_pred)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> np.ndarray:
    """The losses of samples by `Huber`."""
    return Huber(delta).call(y_true, y_pred)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> np.ndarray:
    """The losses of samples by `CosineSimilarity`."""
    return CosineSimilarity(axis).call(y_true, y_pred)


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> np.ndarray:
    """The losses of samples by `BinaryCrossentropy`."""
    return BinaryCrossentropy(from_logits, label_smoothing, axis).call(y_true, y_pred)


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> np.ndarray:
    """The losses of samples by `CategoricalCrossentropy`."""
    return CategoricalCrossentropy(from_logits, label_smoothing, axis).call(y_true, y_pred)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> np.ndarray:
    """The losses of samples by `SparseCategoricalCrossentropy`."""
    return SparseCategoricalCrossentropy(from_logits, ignore_class, axis=axis).call(y_true, y_pred)


LOSS_OF: dict[Callable[..., np.ndarray], type[Loss]] = {
    mean_squared_error: MeanSquaredError,
    mean_absolute_error: MeanAbsoluteError,
    mean_absolute_percentage_error: MeanAbsolutePercentageError,
    mean_squared_logarithmic_error: MeanSquaredLogarithmicError,
    log_cosh: LogCosh,
    hinge: Hinge,
    squared_hinge: SquaredHinge,
    categorical_hinge: CategoricalHinge,
    kl_divergence: KLDivergence,
    poisson: Poisson,
    ctc: CTC,
    huber: Huber,
    cosine_similarity: CosineSimilarity,
    binary_crossentropy: BinaryCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
}
