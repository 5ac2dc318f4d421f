"""Batches of a data set as columns: the rows of a column as arrays, and results as new columns.

A batch is a mapping of names to arrays, as Ray Data has it by default, or a table or record batch of Arrow. In a
mapping, a column whose rows differ in shape is an array of objects; in Arrow it is lists, or lists of lists.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnrt.errors import ShapeError

Rows = Sequence[np.ndarray] | np.ndarray


class RowError(ShapeError):
    """What is wrong with a column, or with one row of it."""

    def __init__(self, column: str, row: int | None, why: str) -> None:
        self.column, self.row, self.why = column, row, why
        where = "" if row is None else f", row {row} of the batch"
        super().__init__(f"column {column!r}{where}: {why}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.column, self.row, self.why)


def is_arrow(batch: Any) -> bool:
    """Whether a batch is Arrow's; anything else must be a mapping.

    Raises
    ------
    ShapeError
        It is neither.
    """
    arrow = sys.modules.get("pyarrow")
    if arrow is not None and isinstance(batch, (arrow.Table, arrow.RecordBatch)):
        return True
    if not isinstance(batch, Mapping):
        kind = f"{type(batch).__module__}.{type(batch).__qualname__}"
        raise ShapeError(f'a batch of {kind} is not taken; give batch_format="numpy" or "pyarrow" to map_batches')
    return False


def names_of(batch: Any) -> list[str]:
    """The names of the columns, in order."""
    return list(batch.column_names) if is_arrow(batch) else list(batch)


def rows_of(batch: Any, column: str) -> Rows:
    """The rows of a column, each an array of numbers.

    Raises
    ------
    RowError
        The column is missing, or a row of it is missing or holds something else than evenly nested numbers.
    """
    names = names_of(batch)
    if column not in names:
        raise RowError(column, None, f"is missing; the batch has {names}")
    if is_arrow(batch):
        from rnnrt.ray.arrow import rows_of_arrow

        return rows_of_arrow(batch.column(column), column)
    return rows_of_numpy(np.asarray(batch[column]), column)


def rows_of_numpy(array: np.ndarray, column: str) -> Rows:
    """As `rows_of`, of an array whose first axis is the rows."""
    if array.ndim == 0:
        raise RowError(column, None, f"is a single {array.dtype}; a column has a row for each of the batch")
    if array.dtype.kind in "biuf":
        return array
    if array.dtype != object:
        raise RowError(column, None, f"holds {array.dtype}, not numbers; convert it before")
    return [_row(value, column, i) for i, value in enumerate(array)]


def _row(value: Any, column: str, row: int) -> np.ndarray:
    if value is None:
        raise RowError(column, row, "is missing; leave such rows out before, or fill them")
    try:
        array = np.asarray(value)
        if array.dtype == object and array.ndim:
            array = np.stack([_row(v, column, row) for v in array])
    except ValueError as error:
        if isinstance(error, RowError):
            raise
        raise RowError(column, row, "its lists differ in length, so that they make no array") from None
    if array.dtype.kind not in "biuf":
        raise RowError(column, row, f"holds {type(value).__name__} of {array.dtype}, not numbers; convert it before")
    return array


def with_columns(batch: Any, keep: Sequence[str], new: Mapping[str, list[np.ndarray]], empty: Mapping[str, Any]) -> Any:
    """A batch with the columns `keep` of another one, and new ones.

    Parameters
    ----------
    batch : mapping, Table or RecordBatch
    keep : sequence of str
    new : mapping of str to list of ndarray
        For each column its rows.
    empty : mapping of str to ndarray
        For each new column what it is in a batch without rows.

    Returns
    -------
    dict of str to ndarray, Table or RecordBatch
        Of the kind of `batch`. In a mapping, rows of one shape are stacked and others are an array of objects; in
        Arrow, rows are lists nested as deep as they have axes.
    """
    if is_arrow(batch):
        from rnnrt.ray.arrow import nested

        made = batch.select(list(keep))
        for name, rows in new.items():
            made = made.append_column(name, nested(rows, empty[name], name))
        return made
    found = {name: batch[name] for name in keep}
    for name, rows in new.items():
        if not rows:
            found[name] = empty[name]
        elif len({y.shape for y in rows}) == 1:
            found[name] = np.stack(rows)
        else:
            found[name] = np.empty(len(rows), object)
            found[name][:] = rows
    return found
