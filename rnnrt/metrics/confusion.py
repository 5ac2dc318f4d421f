"""Metrics of true and false positives and negatives: precision, recall, and the area under curves of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.losses.reduction import squeeze_or_expand_to_same_rank
from rnnrt.metrics.base import Metric
from rnnrt.numerics import divide_no_nan

__all__ = [
    "ConfusionMetric",
    "FalseNegatives",
    "FalsePositives",
    "Precision",
    "Recall",
    "TrueNegatives",
    "TruePositives",
]

# Keras's stand-in for predictions that are not among the top k.
_NEVER = -1e10

Thresholds = float | Sequence[float] | None


def _only_top(p: np.ndarray, k: int) -> np.ndarray:
    """Predictions with all but the `k` largest along the last axis replaced by -1e10; the first of equals stay."""
    order = np.argsort(-p, axis=-1, kind="stable")
    result = np.full_like(p, _NEVER)
    np.put_along_axis(result, order[..., :k], np.take_along_axis(p, order[..., :k], -1), -1)
    return result


class ConfusionMetric(Metric):
    """Base: counts of true and false positives and negatives at each threshold.

    A prediction is positive where it is above a threshold. `true_positives`, `false_positives`, `true_negatives` and
    `false_negatives` are float64 arrays (thresholds,), weighted.
    """

    def __init__(
        self,
        thresholds: Sequence[float] | np.ndarray,
        top_k: int | None,
        class_id: int | None,
        name: str | None,
        dtype: str | None,
    ) -> None:
        super().__init__(dtype, name)
        self._levels = np.asarray(thresholds, np.float64)
        self.top_k, self.class_id = top_k, class_id
        self.reset_state()

    def reset_state(self) -> None:
        self.true_positives, self.false_positives, self.true_negatives, self.false_negatives = np.zeros(
            (4, self._levels.size)
        )

    def _samples(
        self, y_true: Any, y_pred: Any, sample_weight: ArrayLike | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels, predictions and weights of one shape."""
        p, t = squeeze_or_expand_to_same_rank(np.asarray(y_pred, np.float64), np.asarray(y_true, np.float64))
        if p.shape != t.shape:
            raise ShapeError(f"{self.name}: y_true has the shape {np.shape(y_true)} and y_pred {np.shape(y_pred)}")
        weights = np.ones(()) if sample_weight is None else np.asarray(sample_weight, np.float64)[..., None]
        if weights.ndim == t.ndim + 1:
            weights = weights[..., 0]
        if self.top_k is not None:
            p = _only_top(p, self.top_k)
        if self.class_id is not None:
            if p.ndim < 2 or not -p.shape[-1] <= self.class_id < p.shape[-1]:
                raise ShapeError(f"{self.name}: y_pred of shape {np.shape(y_pred)} has no class {self.class_id}")
            t, p = t[..., self.class_id, None], p[..., self.class_id, None]
        try:
            return t != 0, p, np.broadcast_to(weights, p.shape)
        except ValueError:
            raise ShapeError(
                f"{self.name}: sample_weight of shape {weights.shape} does not fit y_pred of shape {p.shape}"
            ) from None

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: ArrayLike | None = None) -> None:
        """Take in one batch.

        Parameters
        ----------
        y_true : array
            Not 0 where a label is positive.
        y_pred : array
            Of y_true's shape.
        sample_weight : array, optional
            One for each sample, or for each prediction.
        """
        t, p, weights = (x.ravel() for x in self._samples(y_true, y_pred, sample_weight))
        positives, negatives = self._above(p, weights * t), self._above(p, weights * ~t)
        self.true_positives += positives
        self.false_positives += negatives
        self.false_negatives += float(weights @ t) - positives
        self.true_negatives += float(weights @ ~t) - negatives

    def _above(self, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """For each threshold, the weight of predictions above it."""
        order = np.argsort(self._levels, kind="stable")
        passed = np.searchsorted(self._levels[order], p, side="left")
        # Nothing is below NaN, but it sorts last.
        passed = np.where(np.isnan(p), 0, passed)
        totals = np.bincount(passed, weights, minlength=self._levels.size + 1)
        result = np.empty(self._levels.size)
        result[order] = np.cumsum(totals[::-1])[::-1][1:]
        return result

    def _one_or_all(self, values: np.ndarray) -> Any:
        return float(values[0]) if values.size == 1 else values.copy()


class _AtThresholds(ConfusionMetric):
    """One with Keras's argument `thresholds`."""

    def __init__(
        self,
        thresholds: Thresholds = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        given = [thresholds] if isinstance(thresholds, int | float) else thresholds
        if given is not None and any(not 0 <= level <= 1 for level in given):
            raise RnnrtError(f"{type(self).__name__}: thresholds must lie from 0 to 1; they are {given}")
        default = 0.5 if top_k is None else _NEVER
        super().__init__([default] if given is None else given, top_k, class_id, name, dtype)
        self.thresholds = thresholds


class _Count(_AtThresholds):
    """One of the four counts."""

    _counts: str

    def __init__(self, thresholds: Thresholds = None, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(thresholds, None, None, name, dtype)

    def result(self) -> Any:
        return self._one_or_all(getattr(self, self._counts))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"thresholds": self.thresholds}


class TruePositives(_Count):
    """How many positives were found."""

    _counts = "true_positives"


class FalsePositives(_Count):
    """How many negatives were taken for positives."""

    _counts = "false_positives"


class TrueNegatives(_Count):
    """How many negatives were found."""

    _counts = "true_negatives"


class FalseNegatives(_Count):
    """How many positives were taken for negatives."""

    _counts = "false_negatives"


class _Share(_AtThresholds):
    """What precision and recall share: true positives over these and other counts."""

    def get_config(self) -> dict[str, Any]:
        own = {"thresholds": self.thresholds, "top_k": self.top_k, "class_id": self.class_id}
        return super().get_config() | own


class Precision(_Share):
    """How many of the predicted positives are positives.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        Above which a prediction is positive: 0.5, or with `top_k` any value. With several, the result is an array.
    top_k : int, optional
        Only the so many largest predictions along the last axis may be positive.
    class_id : int, optional
        Look at this one class along the last axis.
    name, dtype : str, optional
    """

    def result(self) -> Any:
        return self._one_or_all(divide_no_nan(self.true_positives, self.true_positives + self.false_positives))


class Recall(_Share):
    """How many of the positives are predicted to be; arguments are those of `Precision`."""

    def result(self) -> Any:
        return self._one_or_all(divide_no_nan(self.true_positives, self.true_positives + self.false_negatives))
