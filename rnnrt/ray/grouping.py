"""Which rows may share a run without a change to any result."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol

import numpy as np

from rnnrt.errors import RnnrtError, StateError
from rnnrt.ir import Graph, Value
from rnnrt.ops import TensorSpec
from rnnrt.passes import specialise
from rnnrt.runtime import Session
from rnnrt.serving.rows import SIZES, row_axes
from rnnrt.serving.whole import make_whole

Row = tuple[np.ndarray, ...]
"""For each input of the model its array, without the axis of the batch."""


class Grouping(Protocol):
    """How the rows of a network are run.

    Attributes
    ----------
    values : list of Value
        For each input of the model the type of a row.
    told : list of bool
        For each output, whether its axis of the batch is known.
    ranks : list of int
        For each output, how many axes it has for a row; 0 where that is not known before a run.
    """

    values: list[Value]
    told: list[bool]
    ranks: list[int]

    def key(self, row: Row) -> Hashable:
        """Rows of equal keys may share a run; None: it is run alone."""

    def run(self, rows: Sequence[Row], most: int) -> list[list[np.ndarray]]:
        """For each of at most `most` rows of one key its outputs, without the axis of the batch."""


class OneInput:
    """A network of one input: rows of about one length, or of one shape, or each alone; see `rnnrt.serving.whole`."""

    def __init__(self, graph: Graph, threads: int | None) -> None:
        self._whole, _ = make_whole(graph, threads)
        self.values = [_without(self._whole.value, self._whole.batch_axis)]
        self.told = [axes is not None for axes in self._whole.outputs]
        self.ranks = _ranks(self._whole.session)

    def key(self, row: Row) -> Hashable:
        return self._whole.key(row[0])

    def run(self, rows: Sequence[Row], most: int) -> list[list[np.ndarray]]:
        return self._whole.run([x for (x,) in rows], most)


class SeveralInputs:
    """A network of several inputs: rows of equal shapes share a run.

    Raises
    ------
    StateError
        Its rows are not known to stay apart, or an input has no free axis for the batch.
    """

    def __init__(self, graph: Graph, threads: int | None, batch_axes: Mapping[str, int]) -> None:
        self._axes = [batch_axes.get(v.name, 0) for v in graph.inputs]
        for value, axis in zip(graph.inputs, self._axes, strict=True):
            shape = value.shape
            if shape is None or not 0 <= axis < len(shape) or isinstance(shape[axis], int):
                raise StateError(
                    f"input {value.name!r} of shape {shape} has no free axis {axis} for the batch; name the axis with "
                    "batch_axes={...}, or export the network again with a free batch axis"
                )
        small, large = (self._for(graph, size) for size in SIZES)
        axes = row_axes(small[0], small[1], large[1])
        self._outputs = [axes[v.name] for v in small[0].outputs]
        for v, axis in zip(small[0].outputs, self._outputs, strict=True):
            if (small[1][v.name].shape or ())[axis] != SIZES[0]:
                raise StateError(f"output {v.name!r} has the batch in one axis with something else")
        self._session = Session(graph, threads=threads)
        self.values = [_without(v, axis) for v, axis in zip(graph.inputs, self._axes, strict=True)]
        self.told = [True] * len(self._outputs)
        self.ranks = _ranks(self._session)

    def key(self, row: Row) -> Hashable:
        return tuple(x.shape for x in row)

    def run(self, rows: Sequence[Row], most: int) -> list[list[np.ndarray]]:
        inputs = [np.stack(xs, axis) for xs, axis in zip(zip(*rows, strict=True), self._axes, strict=True)]
        results = self._session.run(inputs)
        apart = [np.moveaxis(y, axis, 0) for y, axis in zip(results, self._outputs, strict=True)]
        return [[np.array(y[i], order="C") for y in apart] for i in range(len(rows))]

    def _for(self, graph: Graph, size: int) -> tuple[Graph, dict[str, TensorSpec]]:
        specs = {}
        for value, axis in zip(graph.inputs, self._axes, strict=True):
            shape = list(value.shape or ())
            shape[axis] = size
            specs[value.name] = TensorSpec(value.dtype, tuple(shape))
        return specialise(graph, specs)


def make_grouping(graph: Graph, threads: int | None, batch_axes: Mapping[str, int]) -> Grouping:
    """How the rows of a network are run.

    Raises
    ------
    RnnrtError
        `batch_axes` names something else than inputs, or is given where it is found.
    StateError
        The network does not take rows; the message says why.
    """
    unknown = sorted(set(batch_axes) - {v.name for v in graph.inputs})
    if unknown:
        raise RnnrtError(f"batch_axes names {unknown}; the model takes {[v.name for v in graph.inputs]}")
    if len(graph.inputs) > 1:
        return SeveralInputs(graph, threads, batch_axes)
    if batch_axes:
        raise RnnrtError("batch_axes is for models of several inputs; of one input the axis is found, leave it out")
    return OneInput(graph, threads)


def _ranks(session: Session) -> list[int]:
    shapes = [session.specs[v.name].shape for v in session.graph.outputs]
    return [len(shape) - 1 if shape else 0 for shape in shapes]


def _without(value: Value, axis: int) -> Value:
    shape = value.shape or ()
    return Value(value.name, value.dtype, (*shape[:axis], *shape[axis + 1 :]))
