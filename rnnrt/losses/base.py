"""What a loss is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.losses.reduction import as_float, check_finite, combine_weights, squeeze_or_expand_to_same_rank
from rnnrt.numerics import divide_no_nan
from rnnrt.registry import Configurable, auto_name

__all__ = ["BuiltinLoss", "Loss"]

_REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


class Loss(Configurable):
    """Base of losses. Subclasses define `call`, and `gradient` to be trained with.

    Parameters
    ----------
    name : str, optional
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None}
        How the losses of samples become one number: the sum over their count (first two), the sum, the sum over
        that of the weights, or not at all.
    dtype : dtype, optional
        What to compute in; unless given, y_pred's own dtype, or float32 where that is no float.
    """

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: DTypeLike | None = None
    ) -> None:
        if reduction not in _REDUCTIONS:
            raise RnnrtError(f"{type(self).__name__}: reduction must be one of {_REDUCTIONS}; it is {reduction!r}")
        self.name = name or auto_name(type(self).__name__)
        self.reduction = reduction
        self.dtype = None if dtype is None else np.dtype(dtype)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "reduction": self.reduction}

    def call(self, y_true: Any, y_pred: Any) -> np.ndarray:
        """The losses of samples: an array of y_pred's shape without an axis, by default the last."""
        raise NotImplementedError(f"{type(self).__name__} must define call(y_true, y_pred)")

    def gradient(self, y_true: Any, y_pred: Any) -> np.ndarray:
        """The gradient of ``call(y_true, y_pred).sum()`` for y_pred: an array of its shape."""
        raise RnnrtError(
            f"the loss {self.name!r} defines no gradient(y_true, y_pred); training needs it: return the derivative of "
            f"call(y_true, y_pred).sum() for y_pred, as an array of y_pred's shape"
        )

    def call_and_gradient(self, y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
        """`call` and `gradient` at once, for losses where they share work."""
        return self.call(y_true, y_pred), self.gradient(y_true, y_pred)

    def with_logits(self) -> Loss | None:
        """The same loss for logits, if this one is a crossentropy of probabilities; else None."""
        return None

    def label_mask(self, y_true: Any, y_pred: Any) -> np.ndarray | None:
        """Which of the losses count, if labels decide that; else None."""
        return None

    def _weights(
        self, values: np.ndarray, y_true: Any, y_pred: Any, sample_weight: ArrayLike | None, mask: ArrayLike | None
    ) -> tuple[np.ndarray, float]:
        labelled = self.label_mask(y_true, y_pred)
        if labelled is not None:
            given = labelled if mask is None else np.asarray(mask).astype(bool)
            if given.shape != labelled.shape:
                raise ShapeError(f"{self.name}: the mask has the shape {given.shape}; losses have {labelled.shape}")
            mask = labelled & given
        return combine_weights(values, sample_weight, mask, self.reduction)

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None
    ) -> Any:
        """The reduced loss.

        Parameters
        ----------
        y_true, y_pred : array
            Labels and predictions.
        sample_weight : array, optional
            What each loss counts; see `combine_weights` for shapes.
        mask : array of bool, optional
            True where a loss counts.

        Returns
        -------
        float
            Summed in float64. With ``reduction=None`` an array of weighted losses.

        Raises
        ------
        ShapeError
            Shapes do not go together.
        RnnrtError
            Labels are not what this loss takes.
        """
        y_pred = as_float(y_pred, self.dtype)
        values = np.asarray(self.call(y_true, y_pred))
        weights, divisor = self._weights(values, y_true, y_pred, sample_weight, mask)
        if self.reduction in (None, "none"):
            return (values * weights).astype(values.dtype)
        return float(divide_no_nan(np.sum(values * weights), divisor))

    def value_and_gradient(
        self, y_true: Any, y_pred: Any, sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None
    ) -> tuple[float, np.ndarray]:
        """The reduced loss and its gradient for y_pred.

        Parameters are those of a call.

        Returns
        -------
        value : float
        gradient : C-contiguous array of y_pred's shape and dtype

        Raises
        ------
        RnnrtError
            The reduction is None: many values have no single gradient.
        """
        if self.reduction in (None, "none"):
            raise RnnrtError(
                f"the loss {self.name!r} has reduction=None and gives many values; to train, use reduction='sum' "
                f"or 'sum_over_batch_size'"
            )
        y_pred = np.asarray(y_pred)
        work = as_float(y_pred, self.dtype)
        values, gradient = self.call_and_gradient(y_true, work)
        weights, divisor = self._weights(values, y_true, work, sample_weight, mask)
        value = float(divide_no_nan(np.sum(values * weights), divisor))
        scale = self.spread(divide_no_nan(weights, divisor), gradient)
        result = (gradient * scale.astype(gradient.dtype)).reshape(y_pred.shape)
        dtype = y_pred.dtype if y_pred.dtype.kind == "f" else work.dtype
        return value, np.ascontiguousarray(result, dtype)

    def spread(self, weights: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Weights of losses, with the axes that the gradient has and they have not."""
        return weights.reshape(weights.shape + (1,) * (gradient.ndim - weights.ndim))


class BuiltinLoss(Loss):
    """A loss whose values and gradient come out of one method, `compute`, on arrays of equal rank.

    `axis` is the one that losses lack.
    """

    axis: int = -1

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: DTypeLike | None = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    def prepare(self, y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
        """Labels and predictions as arrays that `compute` takes, or an error that says what is wrong with them."""
        p = as_float(y_pred, self.dtype)
        t = as_float(y_true, p.dtype)
        check_finite(t, self.name)
        given = t.shape, p.shape
        t, p = squeeze_or_expand_to_same_rank(t, p)
        if t.shape != p.shape:
            raise ShapeError(
                f"{self.name}: y_true has the shape {given[0]} and y_pred {given[1]}; they must be equal"
                + self._shape_hint(*given)
            )
        if p.ndim == 0:
            raise ShapeError(f"{self.name}: y_true and y_pred are single numbers; the last axis is averaged over")
        return t, p

    def _shape_hint(self, true: tuple[int, ...], pred: tuple[int, ...]) -> str:
        return ""

    def compute(self, t: np.ndarray, p: np.ndarray, gradient: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Losses, and where `gradient` is true the gradient of their sum, in p's shape."""
        raise NotImplementedError

    def call(self, y_true: Any, y_pred: Any) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return self.compute(*self.prepare(y_true, y_pred), False)[0]

    def gradient(self, y_true: Any, y_pred: Any) -> np.ndarray:
        return self.call_and_gradient(y_true, y_pred)[1].reshape(np.shape(y_pred))

    def call_and_gradient(self, y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
        # The gradient keeps the rank that `prepare` gave y_pred, so that weights find their axes.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            values, gradient = self.compute(*self.prepare(y_true, y_pred), True)
        assert gradient is not None
        return values, gradient

    def spread(self, weights: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        if gradient.ndim == weights.ndim + 1:
            return np.expand_dims(weights, self.axis)
        return super().spread(weights, gradient)
