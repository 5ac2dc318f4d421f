"""A data set in two parts."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError, ShapeError

Size = int | float | None


def split_dataset(
    dataset: Any,
    left_size: Size = None,
    right_size: Size = None,
    shuffle: bool = False,
    seed: int | None = None,
) -> tuple[Any, Any]:
    """Split arrays into a left and a right part, such as training and test.

    Parameters
    ----------
    dataset : ndarray, or list or tuple of ndarray
        Arrays with the same number of rows.
    left_size, right_size : int or float, optional
        A number of rows, or a fraction of them within (0, 1). At least one is given; the other part is the rest.
    shuffle : bool, default False
        Shuffle the rows first.
    seed : int, optional
        For the shuffling; the same seed gives the same parts as Keras's.

    Returns
    -------
    left, right : ndarray, or tuple of ndarray
        The left part is the first rows, the right part the last ones.

    Raises
    ------
    RnnrtError
        A size is no size, or a part would be empty.
    ShapeError
        `dataset` is not one or several arrays with the same number of rows.
    """
    single = isinstance(dataset, np.ndarray)
    arrays = (dataset,) if single else dataset
    if not isinstance(arrays, list | tuple) or not arrays or not all(isinstance(a, np.ndarray) for a in arrays):
        raise ShapeError(f"split_dataset: dataset is a {type(dataset).__name__}; give an array, or a list of arrays")
    counts = [len(array) if array.ndim else 0 for array in arrays]
    if len(set(counts)) > 1:
        raise ShapeError(f"split_dataset: the arrays have {counts} rows; they must have the same number")
    left, right = _sizes(left_size, right_size, counts[0])
    order = np.arange(counts[0])
    if shuffle:
        numbers = order.tolist()
        random.Random(seed).shuffle(numbers)
        order = np.array(numbers)
    parts = [tuple(array[rows] for array in arrays) for rows in (order[:left], order[-right:])]
    return (parts[0][0], parts[1][0]) if single else (parts[0], parts[1])


def _sizes(left: Size, right: Size, total: int) -> tuple[int, int]:
    if left is None and right is None:
        raise RnnrtError("split_dataset: give left_size, right_size or both")
    counts: list[int | None] = []
    for name, size in (("left_size", left), ("right_size", right)):
        if size is None:
            counts.append(None)
        elif type(size) is int and 0 < size < total:
            counts.append(size)
        elif type(size) is float and 0 < size < 1:
            counts.append(round(size * total))
        else:
            raise RnnrtError(
                f"split_dataset: {name}={size!r}; give a number of rows from 1 to {total - 1}, or a fraction between "
                "0.0 and 1.0"
            )
    first, last = counts
    first = total - last if first is None and last is not None else first
    last = total - first if last is None and first is not None else last
    if not first or not last or first + last > total:
        raise RnnrtError(f"split_dataset: {total} rows cannot be split into {first} and {last}; change the sizes")
    return first, last
