"""Columns of Arrow: lists of numbers as arrays, without a Python object for each number, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

from rnnrt.ray.columns import RowError, Rows, rows_of_numpy

_LONGEST = 2**31 - 1  # offsets of Arrow's lists are int32


class _FlawError(Exception):
    """What is wrong with element `at`, None: with the column."""

    def __init__(self, at: int | None, why: str) -> None:
        self.at, self.why = at, why


def rows_of_arrow(data: Any, column: str) -> Rows:
    """As `rows_of`, of an Array or ChunkedArray: numbers, lists of them nested to any depth, or tensors.

    Raises
    ------
    RowError
        As `rows_of` does.
    """
    try:
        if not isinstance(data, pa.ChunkedArray):
            return _values(data)
        rows: list[np.ndarray] = []
        for chunk in data.chunks:
            try:
                rows.extend(_values(chunk))
            except _FlawError as flaw:
                raise _FlawError(None if flaw.at is None else len(rows) + flaw.at, flaw.why) from None
        return rows
    except _FlawError as flaw:
        raise RowError(column, flaw.at, flaw.why) from None


def _values(array: Any) -> Rows:
    if array.null_count:
        at = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        raise _FlawError(at, "is missing or holds a missing value (null); leave such rows out before, or fill them")
    kind = array.type
    if isinstance(kind, pa.FixedShapeTensorType):
        return array.to_numpy_ndarray()
    if isinstance(kind, pa.BaseExtensionType):
        try:
            return rows_of_numpy(array.to_numpy(zero_copy_only=False), "")
        except RowError as error:
            raise _FlawError(error.row, error.why) from None
    if pa.types.is_fixed_size_list(kind):
        return _lists(array.flatten(), np.full(len(array), kind.list_size))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _lists(array.flatten(), array.value_lengths().to_numpy(zero_copy_only=False))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return array.to_numpy(zero_copy_only=False)
    raise _FlawError(None, f"is of Arrow's type {kind}, which is neither numbers nor lists of them; convert it before")


def _lists(flat: Any, lengths: np.ndarray) -> Rows:
    ends = np.cumsum(lengths, dtype=np.int64)
    try:
        inner = _values(flat)
    except _FlawError as flaw:
        at = None if flaw.at is None else int(np.searchsorted(ends, flaw.at, side="right"))
        raise _FlawError(at, flaw.why) from None
    if isinstance(inner, np.ndarray) and len(lengths) and (lengths == lengths[0]).all():
        return inner.reshape(len(lengths), int(lengths[0]), *inner.shape[1:])
    rows = []
    for i, (end, length) in enumerate(zip(ends, lengths, strict=True)):
        part = inner[int(end - length) : int(end)]
        if not isinstance(part, np.ndarray):
            if len({x.shape for x in part}) > 1:
                raise _FlawError(i, "its lists differ in length, so that they make no array")
            part = np.stack(part) if part else np.zeros((0, 0))
        rows.append(part)
    return rows


def nested(rows: list[np.ndarray], empty: np.ndarray, column: str) -> Any:
    """Arrays as one Arrow array of numbers, or of lists nested as deep as each has axes.

    Parameters
    ----------
    rows : list of ndarray
        All of one rank and dtype.
    empty : ndarray
        (0, ...): what no rows are.
    column : str
        For messages.

    Raises
    ------
    RowError
        The rows are of several ranks, or hold more numbers than Arrow's lists can.
    """
    if not rows:
        made = pa.array(empty.reshape(-1))
        for _ in empty.shape[1:]:
            made = pa.ListArray.from_arrays(pa.array([0], pa.int32()), made)
        return made
    ranks = {y.ndim for y in rows}
    if len(ranks) > 1:
        raise RowError(column, None, f"the results of the batch have {sorted(ranks)} axes; leave this output out")
    shapes = [y.shape for y in rows]
    made = pa.array(np.concatenate([y.reshape(-1) for y in rows]))
    for axis in reversed(range(ranks.pop())):
        counts = [math.prod(shape[:axis]) for shape in shapes]
        offsets = np.concatenate([[0], np.cumsum(np.repeat([shape[axis] for shape in shapes], counts))])
        if offsets[-1] > _LONGEST:
            raise RowError(column, None, f"{offsets[-1]} numbers are too many for a list column; take smaller batches")
        made = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), made)
    return made
