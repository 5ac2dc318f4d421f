"""Keras 3's rules by which the losses of samples become one number: weights, masks, reductions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.numerics import divide_no_nan

__all__ = ["apply_mask", "as_float", "check_finite", "combine_weights", "squeeze_or_expand_to_same_rank"]


def as_float(x: ArrayLike, dtype: DTypeLike | None = None) -> np.ndarray:
    """`x` as an array of `dtype`, or of its own dtype if that is a float, or else of float32."""
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise RnnrtError(f"numbers are needed; this array has the dtype {array.dtype}")
    if dtype is None:
        dtype = array.dtype if array.dtype in (np.float32, np.float64) else np.float32
    return np.asarray(array, dtype)


def check_finite(y_true: np.ndarray, who: str) -> None:
    """Raise `RnnrtError` where labels hold NaN or infinity."""
    if y_true.dtype.kind == "f" and not np.isfinite(y_true).all():
        first = tuple(int(i) for i in np.argwhere(~np.isfinite(y_true))[0])
        raise RnnrtError(f"{who}: y_true{list(first)} is {y_true[first]}; replace it, or drop the sample")


def squeeze_or_expand_to_same_rank(x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where ranks differ by one and the longer shape ends in 1, drop that axis, or add one to a partner of rank 1."""
    if x1.ndim == x2.ndim + 1 and x1.shape[-1] == 1:
        return (x1, x2[..., None]) if x2.ndim == 1 else (x1[..., 0], x2)
    if x2.ndim == x1.ndim + 1 and x2.shape[-1] == 1:
        return (x1[..., None], x2) if x1.ndim == 1 else (x1, x2[..., 0])
    return x1, x2


def _fits(smaller: np.ndarray, larger: np.ndarray) -> bool:
    """Whether the axes of one array are those of the other, some of them perhaps of extent 1."""
    if smaller.ndim == 0:
        return True
    pairs = zip(smaller.shape, larger.shape, strict=False)
    return smaller.ndim == larger.ndim and all(a in (1, b) for a, b in pairs)


def apply_mask(sample_weight: ArrayLike | None, mask: ArrayLike | None, reduction: str | None = "sum") -> Any:
    """Weights in which the mask is included, or None where there is neither.

    Parameters
    ----------
    sample_weight : array, optional
    mask : array of bool, optional
        True where a value counts.
    reduction : str, optional
        For "mean" and "sum_over_batch_size", what counts is scaled by total / valid, so that dividing by the number of
        all values gives the mean over valid ones.

    Returns
    -------
    float64 array or None

    Raises
    ------
    ShapeError
        One does not broadcast to the other.
    """
    weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
    if mask is None:
        return weights
    counts = np.asarray(mask).astype(bool).astype(np.float64)
    if reduction in ("mean", "sum_over_batch_size"):
        counts *= divide_no_nan(counts.size, counts.sum())
    if weights is None:
        return counts
    counts, weights = squeeze_or_expand_to_same_rank(counts, weights)
    if not _fits(counts, weights) and not _fits(weights, counts):
        raise ShapeError(
            f"a mask of shape {counts.shape} and sample_weight of shape {weights.shape} do not go together; "
            f"give a weight for each masked value, or a trailing axis: sample_weight[:, None]"
        )
    return counts * weights


def combine_weights(
    values: np.ndarray, sample_weight: ArrayLike | None, mask: ArrayLike | None, reduction: str | None
) -> tuple[np.ndarray, float]:
    """What each value counts in the reduced loss, before the division, and the divisor.

    Parameters
    ----------
    values : array
        The losses of samples.
    sample_weight, mask : array, optional
        Of the values' shape, with axes of extent 1 allowed; a last axis of extent 1 may be missing or extra.
    reduction : str, optional
        One of Keras's names.

    Returns
    -------
    weights : float64 array of values' shape
    divisor : float
        0 where the loss is to be 0.
    """
    weights = apply_mask(sample_weight, mask, reduction)
    divisor: float = values.size
    if weights is None:
        full = np.ones(values.shape)
    else:
        given = weights.shape
        same, weights = squeeze_or_expand_to_same_rank(values, weights)
        if not _fits(weights, same):
            what = "the mask" if sample_weight is None else "sample_weight"
            raise ShapeError(
                f"{what} of shape {given} does not fit losses of shape {values.shape}; give one weight for each loss, "
                f"with extent 1 on axes along which it is the same (sample_weight[:, None] for one a sequence), "
                f"and y_true the rank of y_pred"
            )
        if reduction == "mean_with_sample_weight":
            divisor = float(weights.sum())
        full = np.broadcast_to(weights, same.shape).reshape(values.shape)
    if reduction == "sum" or values.ndim == 0:
        divisor = 1.0
    return full, divisor
