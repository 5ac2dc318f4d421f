"""The area under a curve of rates at many thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.metrics.confusion import ConfusionMetric
from rnnrt.numerics import EPSILON, divide_no_nan, sigmoid

__all__ = ["AUC"]


class AUC(ConfusionMetric):
    """The area under the ROC curve, or under that of precision over recall, from counts at thresholds.

    Parameters
    ----------
    num_thresholds : int
        How many, from 0 to 1; 2 or more.
    curve : {"ROC", "PR"}
    summation_method : {"interpolation", "minoring", "majoring"}
        What the curve is between thresholds. Interpolation of PR is that of Davis and Goadrich, 2006.
    name, dtype : str, optional
    thresholds : sequence of float, optional
        Instead of `num_thresholds`.
    multi_label : bool
        Whether to take the mean of the areas of the columns of y_pred (batch, labels).
    num_labels : int, optional
        With `multi_label`, how many columns there are.
    label_weights : sequence of float, optional
        What each column counts; without `multi_label`, what its predictions count.
    from_logits : bool
        Whether y_pred comes before a sigmoid.
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: str | None = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ) -> None:
        if curve.upper() not in ("ROC", "PR"):
            raise RnnrtError(f"AUC: curve must be ROC or PR; it is {curve!r}")
        if summation_method.lower() not in ("interpolation", "minoring", "majoring"):
            raise RnnrtError(
                f"AUC: summation_method must be interpolation, minoring or majoring; it is {summation_method!r}"
            )
        if num_labels and not multi_label:
            raise RnnrtError("AUC: num_labels goes with multi_label=True only")
        if thresholds is None:
            if num_thresholds <= 1:
                raise RnnrtError(f"AUC: num_thresholds must be 2 or more; it is {num_thresholds!r}")
            inner = [k / (num_thresholds - 1) for k in range(1, num_thresholds - 1)]
        else:
            inner = sorted(thresholds)
        self.curve, self.summation_method = curve.upper(), summation_method.lower()
        self.multi_label, self.num_labels, self.from_logits = multi_label, num_labels, from_logits
        self.label_weights = None if label_weights is None else list(label_weights)
        self._given = None if thresholds is None else inner
        self._columns: list[ConfusionMetric] = []
        super().__init__([-EPSILON, *inner, 1 + EPSILON], None, None, name, dtype)

    @property
    def thresholds(self) -> list[float]:
        """All thresholds; the first is just below 0 and the last just above 1."""
        return self._levels.tolist()

    def reset_state(self) -> None:
        super().reset_state()
        self._columns = []

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: ArrayLike | None = None) -> None:
        p = np.asarray(y_pred, np.float64)
        p = np.clip(sigmoid(p) if self.from_logits else p, 0, 1)
        weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
        if not self.multi_label:
            if self.label_weights is not None:
                given = np.ones(len(p)) if weights is None else weights
                given = given[:, None] if given.ndim == 1 else given
                weights = given * np.asarray(self.label_weights)
            super().update_state(y_true, p, weights)
            return
        t = np.asarray(y_true)
        n_labels = self.num_labels or (len(self._columns) or p.shape[-1])
        if p.ndim != 2 or t.shape != p.shape or p.shape[1] != n_labels:
            raise ShapeError(
                f"{self.name}: y_true has the shape {t.shape} and y_pred {p.shape}; with multi_label both must be "
                f"(batch, {n_labels})"
            )
        if not self._columns:
            self._columns = [ConfusionMetric(self._levels, None, None, "column", None) for _ in range(n_labels)]
        for k, column in enumerate(self._columns):
            column.update_state(
                t[:, k], p[:, k], weights[:, k] if weights is not None and weights.ndim > 1 else weights
            )

    def result(self) -> float:
        if not self.multi_label:
            return self._area(self)
        if not self._columns:
            return 0.0
        areas = np.array([self._area(column) for column in self._columns])
        if self.label_weights is None:
            return float(np.mean(areas))
        return float(divide_no_nan(np.dot(areas, self.label_weights), np.sum(self.label_weights)))

    def _area(self, counts: ConfusionMetric) -> float:
        tp, fp = counts.true_positives, counts.false_positives
        recall = divide_no_nan(tp, tp + counts.false_negatives)
        if self.curve == "ROC":
            x, y = divide_no_nan(fp, fp + counts.true_negatives), recall
        elif self.summation_method == "interpolation":
            return self._interpolated(counts)
        else:
            x, y = recall, divide_no_nan(tp, tp + fp)
        height = {"interpolation": (y[:-1] + y[1:]) / 2, "minoring": np.minimum(y[:-1], y[1:])}.get(
            self.summation_method, np.maximum(y[:-1], y[1:])
        )
        return float(np.sum((x[:-1] - x[1:]) * height))

    def _interpolated(self, counts: ConfusionMetric) -> float:
        """Between two thresholds true positives are a line over all positives: the area is that of a / p + b."""
        tp, positives = counts.true_positives, counts.true_positives + counts.false_positives
        slope = divide_no_nan(tp[:-1] - tp[1:], np.maximum(positives[:-1] - positives[1:], 0))
        intercept = tp[1:] - slope * positives[1:]
        both = (positives[:-1] > 0) & (positives[1:] > 0)
        ratio = np.where(both, divide_no_nan(positives[:-1], positives[1:]), 1.0)
        ratio = np.where(ratio > 0, ratio, 1.0)
        parts = slope * (tp[:-1] - tp[1:] + intercept * np.log(ratio))
        return float(np.sum(divide_no_nan(parts, np.maximum(tp[1:] + counts.false_negatives[1:], 0))))

    def get_config(self) -> dict[str, Any]:
        return (
            super().get_config()
            | {
                "num_thresholds": self._levels.size,
                "curve": self.curve,
                "summation_method": self.summation_method,
                "multi_label": self.multi_label,
                "num_labels": self.num_labels,
                "label_weights": self.label_weights,
                "from_logits": self.from_logits,
            }
            | ({} if self._given is None else {"thresholds": self._given})
        )
