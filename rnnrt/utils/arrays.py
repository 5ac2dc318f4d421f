"""Helpers that make arrays: class matrices, padded sequences, normalised vectors."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from rnnrt.errors import RnnrtError, ShapeError


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> np.ndarray:
    """Class numbers as rows with one 1.

    Parameters
    ----------
    x : array-like of int
        Class numbers from 0, any shape; a last axis of extent 1 is dropped.
    num_classes : int, optional
        Default: the largest class plus 1.

    Returns
    -------
    ndarray of float64
        The shape of `x` with an axis `num_classes` behind.

    Raises
    ------
    ShapeError
        `x` is empty and `num_classes` not given, or it holds something that is not a class number.
    """
    given = np.asarray(x)
    if given.dtype.kind not in "fiub":
        raise ShapeError(f"to_categorical: x is of type {given.dtype}; give class numbers")
    numbers = given.astype(np.int64)
    if given.dtype.kind == "f" and (numbers != given).any():
        at = _first(numbers != given)
        raise ShapeError(f"to_categorical: x[{_index(at)}] is {given[at]}, which is not a class number")
    if numbers.ndim > 1 and numbers.shape[-1] == 1:
        numbers = numbers[..., 0]
    if not num_classes:
        if not numbers.size:
            raise ShapeError("to_categorical: x is empty; give num_classes")
        num_classes = int(numbers.max()) + 1
    wrong = (numbers < 0) | (numbers >= num_classes)
    if wrong.any():
        at = _first(wrong)
        raise ShapeError(f"to_categorical: x[{_index(at)}] is {numbers[at]}, outside of 0 to {num_classes - 1}")
    rows = np.zeros((numbers.size, num_classes))
    rows[np.arange(numbers.size), numbers.reshape(-1)] = 1
    return rows.reshape(*numbers.shape, num_classes)


def pad_sequences(
    sequences: SequenceOf[Any],
    maxlen: int | None = None,
    dtype: DTypeLike = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Sequences of several lengths as one array.

    Parameters
    ----------
    sequences : sequence of N sequences
        Each of shape (length, ...), the axes behind the same for all.
    maxlen : int, optional
        Default: the longest length.
    dtype : dtype, default "int32"
    padding, truncating : {"pre", "post"}
        Where padding goes, and where what is too long is cut.
    value : scalar
        What the padding is.

    Returns
    -------
    ndarray (N, maxlen, ...)

    Raises
    ------
    RnnrtError
        An argument is not understood.
    ShapeError
        `sequences` are no sequences, or their trailing axes differ.
    """
    for name, where in (("padding", padding), ("truncating", truncating)):
        if where not in ("pre", "post"):
            raise RnnrtError(f"pad_sequences: {name}={where!r}: give 'pre' or 'post'")
    if maxlen is not None and maxlen < 1:
        raise RnnrtError(f"pad_sequences: maxlen={maxlen}: give 1 or more")
    if isinstance(value, str) and dtype is not object and np.dtype(dtype).kind not in "US":
        raise RnnrtError(f"pad_sequences: dtype {dtype} does not take value={value!r}; give dtype=object")
    if not hasattr(sequences, "__len__"):
        raise ShapeError("pad_sequences: `sequences` must be a list of sequences")
    lengths: list[int] = []
    for position, item in enumerate(sequences):
        if not hasattr(item, "__len__"):
            raise ShapeError(
                f"pad_sequences: `sequences` must be a list of sequences; at position {position} is {item!r:.60}"
            )
        lengths.append(len(item))
    if not lengths and maxlen is None:
        raise ShapeError("pad_sequences: there are no sequences; give maxlen")
    extent = max(lengths) if maxlen is None else maxlen
    trailing = next((np.asarray(item).shape[1:] for item in sequences if len(item)), ())
    padded = np.full((len(lengths), extent, *trailing), value, dtype)
    for position, item in enumerate(sequences):
        if not len(item):
            continue
        kept = np.asarray(item[-extent:] if truncating == "pre" else item[:extent], dtype)
        if kept.shape[1:] != trailing:
            raise ShapeError(
                f"pad_sequences: sequence {position} has steps of shape {kept.shape[1:]}, those before it {trailing}"
            )
        if padding == "post":
            padded[position, : len(kept)] = kept
        else:
            padded[position, extent - len(kept) :] = kept
    return padded


def normalize(x: ArrayLike, axis: int = -1, order: int = 2) -> np.ndarray:
    """Vectors along an axis divided by their norm; those of norm 0 stay.

    Parameters
    ----------
    x : array-like of numbers
    axis : int, default -1
    order : int, default 2
        Of the norm, as `numpy.linalg.norm` takes it.

    Returns
    -------
    ndarray
        Of the shape of `x`.

    Notes
    -----
    Keras 3.15 divides along the wrong axis for ``axis=0``; here 0 means 0.
    """
    array = np.asarray(x)
    norm = np.atleast_1d(np.linalg.norm(array, order, axis, keepdims=True))
    return array / np.where(norm == 0, 1, norm)


def _first(wrong: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(wrong)[0])


def _index(at: tuple[int, ...]) -> str:
    return ", ".join(map(str, at))
