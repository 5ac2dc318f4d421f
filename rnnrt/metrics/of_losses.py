"""Means of loss functions as metrics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rnnrt import losses
from rnnrt.errors import ShapeError
from rnnrt.losses.reduction import apply_mask, squeeze_or_expand_to_same_rank
from rnnrt.metrics.base import MeanMetricWrapper, Metric

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "KLDivergence",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "RootMeanSquaredError",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "cosine_similarity",
]


class _OfLoss(MeanMetricWrapper):
    """The mean of a loss function that has no arguments."""

    _function: str
    _name: str | None = None

    def __init__(self, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(getattr(losses, self._function), name or self._name or self._function, dtype)

    def get_config(self) -> dict[str, Any]:
        return Metric.get_config(self)


class MeanSquaredError(_OfLoss):
    """The mean squared error."""

    _function = "mean_squared_error"


class MeanAbsoluteError(_OfLoss):
    """The mean absolute error."""

    _function = "mean_absolute_error"


class MeanAbsolutePercentageError(_OfLoss):
    """The mean absolute error in percent of labels."""

    _function = "mean_absolute_percentage_error"


class MeanSquaredLogarithmicError(_OfLoss):
    """The mean squared error of logarithms."""

    _function = "mean_squared_logarithmic_error"


class LogCoshError(_OfLoss):
    """The mean logarithm of the hyperbolic cosine of errors."""

    _function = "log_cosh"
    _name = "logcosh"


class Hinge(_OfLoss):
    """The mean hinge loss."""

    _function = "hinge"


class SquaredHinge(_OfLoss):
    """The mean squared hinge loss."""

    _function = "squared_hinge"


class CategoricalHinge(_OfLoss):
    """The mean categorical hinge loss."""

    _function = "categorical_hinge"


class KLDivergence(_OfLoss):
    """The mean divergence of Kullback and Leibler."""

    _function = "kl_divergence"


class Poisson(_OfLoss):
    """The mean Poisson loss."""

    _function = "poisson"


class _WithArguments(MeanMetricWrapper):
    """A metric whose configuration has the arguments of its function."""

    def get_config(self) -> dict[str, Any]:
        return Metric.get_config(self) | self.arguments


class BinaryCrossentropy(_WithArguments):
    """The mean binary crossentropy."""

    def __init__(
        self,
        name: str | None = "binary_crossentropy",
        dtype: str | None = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        super().__init__(
            losses.binary_crossentropy, name, dtype, from_logits=from_logits, label_smoothing=label_smoothing
        )


class CategoricalCrossentropy(_WithArguments):
    """The mean categorical crossentropy; labels are one-hot."""

    def __init__(
        self,
        name: str | None = "categorical_crossentropy",
        dtype: str | None = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ) -> None:
        super().__init__(
            losses.categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class SparseCategoricalCrossentropy(_WithArguments):
    """The mean categorical crossentropy; labels are classes by number."""

    def __init__(
        self,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: str | None = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        super().__init__(
            losses.sparse_categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None
    ) -> None:
        ignored = self.arguments["ignore_class"]
        # As in Keras, samples of the ignored class count as 0 in an unweighted mean, and not at all in a weighted one.
        if ignored is not None and (sample_weight is not None or mask is not None):
            loss = losses.SparseCategoricalCrossentropy(**self.arguments)
            sample_weight, mask = apply_mask(sample_weight, mask), loss.label_mask(y_true, y_pred)
        super().update_state(y_true, y_pred, sample_weight, mask)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> np.ndarray:
    """The cosine between y_true and y_pred along `axis`: minus the loss of that name."""
    return -losses.cosine_similarity(y_true, y_pred, axis)


class CosineSimilarity(MeanMetricWrapper):
    """The mean cosine between y_true and y_pred along `axis`: 1 for equal directions."""

    def __init__(self, name: str | None = "cosine_similarity", dtype: str | None = None, axis: int = -1) -> None:
        super().__init__(cosine_similarity, name, dtype, axis=axis)

    def get_config(self) -> dict[str, Any]:
        return Metric.get_config(self) | ({} if self.arguments["axis"] == -1 else self.arguments)


def _squared_error(y_true: Any, y_pred: Any) -> np.ndarray:
    t, p = squeeze_or_expand_to_same_rank(np.asarray(y_true, np.float64), np.asarray(y_pred, np.float64))
    if t.shape != p.shape:
        raise ShapeError(
            f"root_mean_squared_error: y_true has the shape {np.shape(y_true)} and y_pred {np.shape(y_pred)}"
        )
    return np.square(t - p)


class RootMeanSquaredError(MeanMetricWrapper):
    """The root of the mean squared error of all elements."""

    takes_mask = False

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: str | None = None) -> None:
        super().__init__(_squared_error, name, dtype)

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None
    ) -> None:
        super().update_state(y_true, y_pred, sample_weight, mask)

    def result(self) -> float:
        return math.sqrt(super().result())

    def get_config(self) -> dict[str, Any]:
        return Metric.get_config(self)
