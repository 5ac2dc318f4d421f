"""Scores of columns: F and R²."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.losses.reduction import squeeze_or_expand_to_same_rank
from rnnrt.metrics.base import Metric
from rnnrt.numerics import EPSILON

__all__ = ["F1Score", "FBetaScore", "R2Score"]


class _Columns(Metric):
    """Sums for each column of y_true and y_pred (batch, columns), made at the first batch."""

    _sums: tuple[str, ...]

    def __init__(self, name: str | None, dtype: str | None) -> None:
        super().__init__(dtype, name)
        self.reset_state()

    def reset_state(self) -> None:
        self.samples = 0
        for name in self._sums:
            setattr(self, name, np.zeros(()))

    def _batch(self, y_true: Any, y_pred: Any, sample_weight: ArrayLike | None) -> tuple[np.ndarray, ...]:
        t, p = squeeze_or_expand_to_same_rank(np.asarray(y_true, np.float64), np.asarray(y_pred, np.float64))
        if t.ndim != 2 or t.shape != p.shape:
            raise ShapeError(
                f"{self.name}: y_true has the shape {np.shape(y_true)} and y_pred {np.shape(y_pred)}; both must be "
                f"(batch, columns)"
            )
        weights = np.ones(()) if sample_weight is None else np.asarray(sample_weight, np.float64)
        try:
            weights = np.broadcast_to(weights[:, None] if weights.ndim == 1 else weights, t.shape)
        except ValueError:
            raise ShapeError(
                f"{self.name}: sample_weight of shape {weights.shape} does not fit y_pred of shape {p.shape}"
            ) from None
        self.samples += t.size
        return t, p, weights

    def _add(self, name: str, values: np.ndarray) -> None:
        setattr(self, name, getattr(self, name) + values)


class FBetaScore(_Columns):
    """``(1 + beta²) precision recall / (beta² precision + recall)``.

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        None gives a score for each column; "macro" their mean, "weighted" that by how often each is true, and "micro"
        the score of all together.
    beta : float
        What recall counts beside precision.
    threshold : float, optional
        Above which a prediction is positive; without one, the largest of a row is.
    name, dtype : str, optional
    """

    _sums = ("true_positives", "false_positives", "false_negatives", "intermediate_weights")
    true_positives: np.ndarray
    false_positives: np.ndarray
    false_negatives: np.ndarray
    intermediate_weights: np.ndarray

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, dtype)
        if average not in (None, "micro", "macro", "weighted"):
            raise RnnrtError(
                f"{type(self).__name__}: average must be None, micro, macro or weighted; it is {average!r}"
            )
        if not beta > 0:
            raise RnnrtError(f"{type(self).__name__}: beta must be more than 0; it is {beta!r}")
        if threshold is not None and not 0 < threshold <= 1:
            raise RnnrtError(f"{type(self).__name__}: threshold must be above 0 and at most 1; it is {threshold!r}")
        self.average, self.beta, self.threshold = average, beta, threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: ArrayLike | None = None) -> None:
        t, p, weights = self._batch(y_true, y_pred, sample_weight)
        if self.threshold is None:
            found = (p >= np.max(p, axis=-1, keepdims=True)) & (np.abs(p) > 1e-9)
        else:
            found = p > self.threshold
        axis = None if self.average == "micro" else 0
        for name, values in zip(self._sums, (found * t, found * (1 - t), ~found * t, t), strict=True):
            self._add(name, np.sum(values * weights, axis=axis))

    def result(self) -> Any:
        precision = self.true_positives / (self.true_positives + self.false_positives + EPSILON)
        recall = self.true_positives / (self.true_positives + self.false_negatives + EPSILON)
        square = self.beta**2
        score = (1 + square) * precision * recall / (square * precision + recall + EPSILON)
        if self.average == "weighted":
            score = score * self.intermediate_weights / (np.sum(self.intermediate_weights) + EPSILON)
            return float(np.sum(score))
        return score if self.average is None else float(np.mean(score))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"average": self.average, "beta": self.beta, "threshold": self.threshold}


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall; arguments are those of `FBetaScore`."""

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: str | None = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["beta"]
        return config


class R2Score(_Columns):
    """How much of the variance of y_true is in y_pred: 1 - residual / total.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average", None}
        How the scores of columns become one; None gives them all.
    num_regressors : int
        Of independent variables, for the adjusted score; 0 for the plain one.
    name, dtype : str, optional
    """

    _sums = ("sum", "squared_sum", "total_mse", "count")
    sum: np.ndarray
    squared_sum: np.ndarray
    total_mse: np.ndarray
    count: np.ndarray

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = "r2_score",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, dtype)
        if class_aggregation not in (None, "uniform_average", "variance_weighted_average"):
            raise RnnrtError(
                f"R2Score: class_aggregation must be None, uniform_average or variance_weighted_average; "
                f"it is {class_aggregation!r}"
            )
        if num_regressors < 0:
            raise RnnrtError(f"R2Score: num_regressors must be 0 or more; it is {num_regressors!r}")
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: ArrayLike | None = None) -> None:
        t, p, weights = self._batch(y_true, y_pred, sample_weight)
        for name, values in zip(self._sums, (t, t * t, np.square(t - p), np.ones_like(t)), strict=True):
            self._add(name, np.sum(values * weights, axis=0))

    def result(self) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            total = self.squared_sum - self.sum * (self.sum / self.count)
            scores = 1 - self.total_mse / total
        scores = np.where(np.isinf(scores), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            scores = np.mean(scores)
        elif self.class_aggregation == "variance_weighted_average":
            scores = np.sum(total * scores) / np.sum(total)
        if self.num_regressors:
            free = self.samples - self.num_regressors - 1
            if free <= 0:
                warnings.warn(
                    f"{self.name}: {self.num_regressors} regressors need more than {self.samples} samples for the "
                    f"adjusted score; this is the plain one",
                    stacklevel=2,
                )
            else:
                scores = 1 - (1 - scores) * (self.samples - 1) / free
        return float(scores) if np.ndim(scores) == 0 else scores

    def get_config(self) -> dict[str, Any]:
        own = {"class_aggregation": self.class_aggregation, "num_regressors": self.num_regressors}
        return super().get_config() | own
