"""Networks that need the whole sequence: batches of sequences that may share one run.

Of the ways to put sequences of different lengths into one batch only those are used that change no result.
`padded`: all recurrent nodes, also those that read backwards, get the lengths of the rows, and every other node treats
each time step alone. `equal`: sequences of one shape share a batch. `single`: each sequence is run alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from rnnrt.errors import RnnrtError, ShapeError, StateError
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops import TensorSpec
from rnnrt.ops.recurrent_shapes import LENGTHS
from rnnrt.passes import specialise
from rnnrt.passes.follow_time import RECURRENT, time_axes
from rnnrt.runtime import Session
from rnnrt.runtime.time_search import LENGTHS_TRIED, find_time, shape_for
from rnnrt.serving.rows import SIZES, row_axes
from rnnrt.serving.slots import bucket
from rnnrt.serving.stepped import OutputAxes, refuse_lengths, sole_input, with_operand

_LEAST_PADDED = 8
_LONGEST = 1 << 40


@dataclass(frozen=True)
class Whole:
    """A network that is run on whole sequences.

    Attributes
    ----------
    session : Session
    value : Value
        The network's input as it was declared.
    batch_axis : int
        Of the input.
    outputs : tuple of OutputAxes or None
        None: the output has no batch axis that could be told from the others.
    mode : str
        "padded", "equal" or "single".
    """

    session: Session
    value: Value
    batch_axis: int
    outputs: tuple[OutputAxes | None, ...]
    mode: str

    def key(self, x: np.ndarray) -> Hashable:
        """Sequences (T, ...) of equal keys may share a batch; None: of their own only."""
        if self.mode == "padded":
            return self._padded(len(x)), x.shape[1:]
        return x.shape if self.mode == "equal" else None

    def _padded(self, length: int) -> int:
        """Few lengths, so that few plans are made, and never twice the steps that are needed."""
        return max(bucket(length, _LONGEST), _LEAST_PADDED)

    def run(self, xs: Sequence[np.ndarray], most: int) -> list[list[np.ndarray]]:
        """The outputs of each sequence, without batch axis.

        Parameters
        ----------
        xs : sequence of ndarray
            Of one key.
        most : int
            The largest batch size.

        Raises
        ------
        RnnrtError
            The run failed, for one of the sequences or for all.
        """
        size = bucket(len(xs), most)
        lengths = np.array([len(x) for x in xs] + [1] * (size - len(xs)), np.int32)
        steps = self._padded(int(lengths.max())) if self.mode == "padded" else int(lengths[0])
        batch = np.zeros((size, steps, *xs[0].shape[1:]), self.value.dtype)
        for row, x in zip(batch, xs, strict=False):
            row[: len(x)] = x
        if self.batch_axis == 1:
            batch = np.ascontiguousarray(batch.swapaxes(0, 1))
        results = self.session.run([batch, lengths] if self.mode == "padded" else [batch])
        return [
            [self._mine(y, axes, i, len(x)) for y, axes in zip(results, self.outputs, strict=True)]
            for i, x in enumerate(xs)
        ]

    def _mine(self, y: np.ndarray, axes: OutputAxes | None, at: int, length: int) -> np.ndarray:
        if axes is None:
            return y
        index: list[int | slice] = [slice(None)] * y.ndim
        index[axes.batch] = at
        if axes.time is not None:
            index[axes.time] = slice(length)
        return np.array(y[tuple(index)], order="C")


def make_whole(graph: Graph, threads: int | None = None) -> tuple[Whole, str]:
    """A network as it may be batched, and why not better.

    Raises
    ------
    StateError
        It has several inputs, or its input has no batch axis, or one that is fixed and not 1.
    """
    value = sole_input(graph)
    try:
        return _make_padded(graph, value, threads), ""
    except (StateError, ShapeError) as error:
        reason = str(error)
    batch_axis = _batch_axis(graph, value)
    extent = (value.shape or (None,))[batch_axis]
    if isinstance(extent, int) and extent != 1:
        raise StateError(
            f"input {value.name!r} of shape {value.shape} takes batches of {extent} alone; export the network again "
            "with a free batch axis"
        )
    session = Session(graph, threads=threads)
    if extent == 1:
        found: tuple[OutputAxes | None, ...] = tuple(_first_one(v) for v in session.graph.outputs)
        return Whole(session, value, batch_axis, found, "single"), f"input {value.name!r} has a batch axis of 1"
    small, large = (_with_batch(graph, value, batch_axis, size) for size in SIZES)
    try:
        axes = row_axes(small[0], small[1], large[1])
    except StateError as error:
        shapes = [(small[1].get(v.name), large[1].get(v.name)) for v in graph.outputs]
        return Whole(session, value, batch_axis, tuple(_grown(a, b) for a, b in shapes), "single"), str(error)
    outputs = tuple(OutputAxes(axes[v.name], None) for v in small[0].outputs)
    for v, out in zip(small[0].outputs, outputs, strict=True):
        if (small[1][v.name].shape or ())[out.batch] != SIZES[0]:
            reason = f"output {v.name!r} has the batch in one axis with something else"
            return Whole(session, value, batch_axis, (None,) * len(outputs), "single"), reason
    return Whole(session, value, batch_axis, outputs, "equal"), reason


def _make_padded(graph: Graph, value: Value, threads: int | None) -> Whole:
    """Of a network that is one but for the direction of its recurrent nodes.

    Raises
    ------
    StateError, ShapeError
        Padding would not be exact.
    """
    time_axis, layouts = find_time(graph, SIZES[0])
    (simple, short), (_, long) = layouts
    if isinstance((value.shape or ())[time_axis], int):
        raise StateError(f"input {value.name!r} has a fixed length")
    refuse_lengths(simple)
    forward = tuple(
        Node(n.op, n.inputs, n.outputs, {**n.attrs, "direction": "forward"}, n.name) if n.op in RECURRENT else n
        for n in simple.nodes
    )
    times = time_axes(simple.replace(nodes=forward), short, long, LENGTHS_TRIED[0])
    for node in simple.nodes:
        carries = node.op not in (*RECURRENT, "Shape", "Size") and any(name in times for name in node.inputs)
        if carries and not all(name in times for name in node.outputs if name):
            raise StateError(f"{node.label()} picks a time step by its position")
    _, larger = specialise(
        graph, {value.name: TensorSpec(value.dtype, shape_for(value, time_axis, SIZES[1], LENGTHS_TRIED[0][0]))}
    )
    rows = row_axes(simple, short, larger)
    outputs = tuple(OutputAxes(rows[v.name], times.get(v.name)) for v in simple.outputs)
    for v, axes in zip(simple.outputs, outputs, strict=True):
        extents = short[v.name].shape or ()
        if extents[axes.batch] != SIZES[0] or (axes.time is not None and extents[axes.time] != LENGTHS_TRIED[0][0]):
            raise StateError(f"output {v.name!r} has the batch or the time in one axis with something else")
    opened, _ = specialise(graph, {value.name: TensorSpec(value.dtype, value.shape)})
    name = "rnnrt.lengths"
    nodes = tuple(with_operand(n, LENGTHS, name) if n.op in RECURRENT else n for n in opened.nodes)
    lengths = Value(name, np.dtype(np.int32), (None,))
    padded = opened.replace(nodes=nodes, inputs=(*opened.inputs, lengths))
    return Whole(Session(padded, threads=threads), value, 1 - time_axis, outputs, "padded")


def _batch_axis(graph: Graph, value: Value) -> int:
    """Axis 0, unless recurrent nodes say that this is time."""
    for size in (SIZES[0], 1):
        try:
            return 1 - find_time(graph, size)[0]
        except RnnrtError:
            continue
    return 0


def _with_batch(graph: Graph, value: Value, axis: int, size: int) -> tuple[Graph, dict[str, TensorSpec]]:
    shape = list(value.shape or ())
    shape[axis] = size
    return specialise(graph, {value.name: TensorSpec(value.dtype, tuple(shape))})


def _first_one(value: Value) -> OutputAxes | None:
    shape = value.shape or ()
    return OutputAxes(shape.index(1), None) if 1 in shape else None


def _grown(small: TensorSpec | None, large: TensorSpec | None) -> OutputAxes | None:
    """The axis that is the batch of an output whose rows are not known to stay apart."""
    a, b = (spec.shape if spec is not None else None for spec in (small, large))
    if a is None or b is None or len(a) != len(b):
        return None
    found = [i for i, pair in enumerate(zip(a, b, strict=True)) if pair == SIZES]
    return OutputAxes(found[0], None) if len(found) == 1 else None
