"""Offline scoring: a model over the batches of a data set, for Ray Data, and for whatever else has columns."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.models import TensorInfo, load
from rnnrt.models.running import Running
from rnnrt.ray.columns import RowError, names_of, rows_of, with_columns
from rnnrt.ray.grouping import Row, make_grouping
from rnnrt.runtime.session import checked_input


class Predictor:
    """A model that takes batches of columns and gives them back with its outputs as further columns.

    A row of an input's column is the model's input without the axis of the batch, (T, features) say, and rows may
    differ in length. Each row gets what the model gives for it alone, so that results do not depend on how a data set
    is cut into batches: rows are padded to a common length only where all recurrent layers can be told the lengths;
    otherwise those of equal shapes share a run, or each is run alone where a network is not known to keep rows apart.
    Of a network that runs in compiled code these are the same bits.

    Parameters
    ----------
    model : path-like or Model
        A path is read by each process, and so has to be there on each machine; a `Model` is sent to them.
    inputs : str, or mapping of str to str, optional
        The column of the model's only input, or for each column the input that it goes to. By default columns have
        the names of the inputs.
    outputs : str, sequence of str, or mapping of str to str, optional
        The column for the model's only output; the outputs that are wanted; or for each of them its column. By
        default all, under the names of the outputs.
    keep : sequence of str, optional
        Columns of the batch that are given back; by default all.
    threads : int, optional
        How many threads a run may use. One is right where each processor has a process of its own.
    sort_by_length : bool
        Look for rows that may share a run in the whole batch, short ones first. If False, only among neighbours, as
        suits rows that are sorted already.
    max_batch_size : int
        The most rows of a run; it bounds the memory that a run takes.
    batch_axes : mapping of str to int, optional
        For a model of several inputs, those whose axis of the batch is not 0.
    **options
        For a path: what `rnnrt.load` takes beside it, such as `constants`.

    Raises
    ------
    RnnrtError
        An argument names something that the model does not have, or the model cannot be read or does not take rows.

    Examples
    --------
    >>> scored = ray.data.read_parquet("in/").map_batches(
    ...     rnnrt.ray.Predictor,
    ...     fn_constructor_kwargs={"model": "tagger.rnnrt", "inputs": "readings", "outputs": "score"},
    ...     batch_format="pyarrow", batch_size=1024, compute=ray.data.ActorPoolStrategy(size=8),
    ... )
    >>> scored.write_parquet("out/")
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Running,
        inputs: str | Mapping[str, str] | None = None,
        outputs: str | Sequence[str] | Mapping[str, str] | None = None,
        *,
        keep: Sequence[str] | None = None,
        threads: int | None = 1,
        sort_by_length: bool = True,
        max_batch_size: int = 64,
        batch_axes: Mapping[str, int] | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(max_batch_size, int) or max_batch_size < 1:
            raise RnnrtError(f"max_batch_size={max_batch_size!r} must be a whole number above 0")
        if isinstance(keep, str):
            raise RnnrtError(f"keep={keep!r} must be a list of columns; give [{keep!r}]")
        if isinstance(model, Running):
            if options:
                raise RnnrtError(f"{sorted(options)} go with the path of a model; of a Model leave them out")
        elif isinstance(model, (str, os.PathLike)):
            model = load(model, threads, **options)
        else:
            raise RnnrtError(f"model must be a path or a Model, got {type(model).__name__}")
        self._keep, self._sorts, self._most = keep, sort_by_length, max_batch_size
        self._columns = _input_columns(inputs, [v.name for v in model.inputs])
        self._wanted = _output_columns(outputs, model.outputs)
        self._grouping = make_grouping(model.graph, threads, batch_axes or {})
        untold = [info.name for (at, info), _ in self._wanted if not self._grouping.told[at]]
        if untold:
            raise RnnrtError(f"outputs {untold} have no axis of the batch that could be told; choose others by outputs")

    def __call__(self, batch: Any) -> Any:
        """The batch with the outputs as further columns, in the order of its rows.

        Parameters
        ----------
        batch : mapping of str to ndarray, or Table or RecordBatch of pyarrow
            In a mapping, rows of different lengths are an array of objects; in Arrow, numbers are in lists, nested as
            deep as a row has axes, or in tensors.

        Returns
        -------
        dict of str to ndarray, Table or RecordBatch
            Of the kind of `batch`.

        Raises
        ------
        ShapeError
            A column is missing, or a row does not suit the model; the message names both.
        RnnrtError
            A row holds a value outside an operator's domain, such as an index out of range.
        """
        names = names_of(batch)
        keep = names if self._keep is None else list(self._keep)
        made = [column for _, column in self._wanted]
        missing, taken = [c for c in keep if c not in names], [c for c in made if c in keep]
        if missing:
            raise ShapeError(f"columns {missing} of keep are missing; the batch has {names}")
        if taken:
            raise ShapeError(
                f"columns {taken} are in the batch already; name others by outputs, or leave them out of keep"
            )
        results = self._results(self._rows(batch))
        new = {column: [result[at] for result in results] for (at, _), column in self._wanted}
        empty = {
            column: np.zeros((0,) * (1 + self._grouping.ranks[at]), info.dtype) for (at, info), column in self._wanted
        }
        return with_columns(batch, keep, new, empty)

    def _rows(self, batch: Any) -> list[Row]:
        arrays: list[list[np.ndarray]] = []
        for column, value in zip(self._columns, self._grouping.values, strict=True):
            rows = []
            for i, row in enumerate(rows_of(batch, column)):
                try:
                    rows.append(checked_input(value, row))
                except ShapeError as error:
                    raise RowError(column, i, str(error)) from None
                if not row.size:
                    raise RowError(column, i, f"is empty (shape {row.shape}); leave such rows out before")
            if arrays and len(rows) != len(arrays[0]):
                raise RowError(column, None, f"has {len(rows)} rows, {self._columns[0]!r} has {len(arrays[0])}")
            arrays.append(rows)
        return list(zip(*arrays, strict=True))

    def _results(self, rows: Sequence[Row]) -> list[list[np.ndarray]]:
        """For each row its outputs."""
        results: list[Any] = [None] * len(rows)
        for group in self._groups([self._grouping.key(row) for row in rows]):
            try:
                found = self._grouping.run([rows[i] for i in group], self._most)
            except RnnrtError:
                found = [self._alone(rows[i], i) for i in group]  # to find out which one it was
            for i, outputs in zip(group, found, strict=True):
                results[i] = outputs
        return results

    def _alone(self, row: Row, at: int) -> list[np.ndarray]:
        try:
            return self._grouping.run([row], self._most)[0]
        except RnnrtError as error:
            if len(self._columns) == 1:
                raise RowError(self._columns[0], at, str(error)) from None
            raise ShapeError(f"columns {self._columns}, row {at} of the batch: {error}") from None

    def _groups(self, keys: Sequence[Hashable]) -> Iterator[list[int]]:
        """Positions of rows that share a run."""
        order = list(range(len(keys)))
        if self._sorts:
            order.sort(key=lambda i: (keys[i] is not None, keys[i] or ()))
        for key, members in groupby(order, keys.__getitem__):
            found = list(members)
            size = 1 if key is None else self._most
            yield from (found[start : start + size] for start in range(0, len(found), size))


def _input_columns(given: str | Mapping[str, str] | None, names: Sequence[str]) -> list[str]:
    """For each input its column."""
    if given is None:
        return list(names)
    if isinstance(given, str):
        if len(names) != 1:
            raise RnnrtError(f"inputs={given!r} is one column and the model takes {names}; give {{column: input, ...}}")
        return [given]
    columns = {name: column for column, name in given.items()}
    if len(columns) != len(given) or set(columns) != set(names):
        raise RnnrtError(f"inputs={dict(given)} must name a column for each of the model's inputs {list(names)}, once")
    return [columns[name] for name in names]


def _output_columns(
    given: str | Sequence[str] | Mapping[str, str] | None, infos: Sequence[TensorInfo]
) -> list[tuple[tuple[int, TensorInfo], str]]:
    """The outputs that are wanted, with their positions, and for each its column."""
    names = [info.name for info in infos]
    if given is None:
        given = names
    elif isinstance(given, str):
        if len(names) != 1:
            raise RnnrtError(
                f"outputs={given!r} is one column and the model gives {names}; give {{output: column, ...}}"
            )
        given = {names[0]: given}
    pairs = dict(given) if isinstance(given, Mapping) else {name: name for name in given}
    unknown = [name for name in pairs if name not in names]
    if unknown or not pairs or len(set(pairs.values())) != len(pairs):
        raise RnnrtError(f"outputs={pairs} must name outputs of the model, {names}, each with a column of its own")
    return [((names.index(name), infos[names.index(name)]), column) for name, column in pairs.items()]
