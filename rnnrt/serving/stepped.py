"""Networks whose rows can be advanced some steps at a time, each from a state of its own.

The states of the recurrent nodes become inputs and outputs of the graph, with a free batch axis. All recurrent nodes
get a mask: rows that need fewer steps than the others of a round are padded in front, where the mask makes them hold
their state, so that all rows of a round end at its last step. That is exact for outputs with a time axis and for
outputs that are the last step's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnrt.errors import ShapeError, StateError
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops import TensorSpec, get_operator
from rnnrt.ops.recurrent_shapes import DROP, LENGTHS, MASK
from rnnrt.passes import specialise
from rnnrt.passes.expose_state import expose_states
from rnnrt.passes.follow_time import RECURRENT, Followed, time_axes
from rnnrt.runtime import Session
from rnnrt.runtime.time_search import LENGTHS_TRIED, find_time, shape_for
from rnnrt.serving.rows import SIZES, row_axes

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class OutputAxes:
    """Where an output has its batch, and its time (None: it is the last step's)."""

    batch: int
    time: int | None


@dataclass(frozen=True)
class Stepped:
    """A network with its states outside.

    Attributes
    ----------
    session : Session
        Takes x, mask, states...; gives outputs..., states...
    value : Value
        The network's input as it was declared.
    time_axis : int
        Of the input; the batch is on the other of its first two axes.
    initial : tuple of ndarray
        The states before the first step, with one row.
    state_axes : tuple of int
        The batch axis of each state.
    outputs : tuple of OutputAxes
    fixed_batch : bool
        The network takes one row only.
    """

    session: Session
    value: Value
    time_axis: int
    initial: tuple[np.ndarray, ...]
    state_axes: tuple[int, ...]
    outputs: tuple[OutputAxes, ...]
    fixed_batch: bool

    def run(self, x: np.ndarray, mask: np.ndarray, states: Sequence[np.ndarray]) -> tuple[Arrays, Arrays]:
        """Outputs and next states. `x` is in the network's layout, `mask` (steps, rows) of bool."""
        results = self.session.run([x, mask, *states])
        return results[: len(self.outputs)], results[len(self.outputs) :]

    def checked_state(self, state: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Copies of a row's states.

        Raises
        ------
        ShapeError
            They are not what a row of this network has.
        """
        want = [(s.shape, s.dtype) for s in self.initial]
        got = [(np.shape(s), np.asarray(s).dtype) for s in state]
        if want != got:
            raise ShapeError(f"a state of this network is {want}, got {got}; give what the piece before gave")
        return [np.array(s) for s in state]


def make_stepped(graph: Graph, threads: int | None = None) -> Stepped:
    """The stepped form of a network.

    Parameters
    ----------
    graph : Graph
        One input that carries time; recurrent nodes that run forward only.
    threads : int, optional
        As for `Session`.

    Raises
    ------
    StateError
        The network cannot be stepped, or its rows do not stay apart; the message names the node and the reason.
    """
    value = sole_input(graph)
    fixed = False
    try:
        time_axis, layouts = find_time(graph, SIZES[0])
    except StateError:
        if 1 not in (value.shape or ())[:2]:
            raise
        fixed = True
        time_axis, layouts = find_time(graph, 1)
    batch_axis = 1 - time_axis
    simple, short = layouts[0]
    long = layouts[1][1]
    times = time_axes(simple, short, long, LENGTHS_TRIED[0])
    refuse_lengths(simple)
    if fixed:
        rows = {v.name: _only_row(v.name, short, times) for v in simple.outputs}
    else:
        shape = shape_for(value, time_axis, SIZES[1], LENGTHS_TRIED[0][0])
        _, larger = specialise(graph, {value.name: TensorSpec(value.dtype, shape)})
        rows = row_axes(simple, short, larger)
    outputs = tuple(OutputAxes(rows[v.name], times.get(v.name)) for v in simple.outputs)
    wanted = (1 if fixed else SIZES[0], LENGTHS_TRIED[0][0])
    for v, axes in zip(simple.outputs, outputs, strict=True):
        extents = short[v.name].shape or ()
        got = (extents[axes.batch], wanted[1] if axes.time is None else extents[axes.time])
        if axes.batch == axes.time or got != wanted:
            raise StateError(f"output {v.name!r} has the batch or the time in one axis with something else")
    known = {
        name: spec.value
        for name, spec in short.items()
        if spec.value is not None and (other := long[name].value) is not None and np.array_equal(spec.value, other)
    }
    free = list(shape_for(value, time_axis, 1, None))
    free[batch_axis] = 1 if fixed else None
    opened, _ = specialise(graph, {value.name: TensorSpec(value.dtype, tuple(free))})
    opened = opened.replace(inputs=(Value(value.name, value.dtype, tuple(free)),))
    exposed, slots = expose_states(opened, Followed(times), short, known)
    initial, axes_of = [], []
    layout_of = {
        n.name or next(o for o in n.outputs if o): int(n.attrs.get("layout", 0))
        for n in opened.nodes
        if n.op in RECURRENT
    }
    for slot in slots:
        axis = 1 - layout_of[slot.name.rpartition(".")[0]]
        first = slot.initial.take([0], axis)
        if not np.array_equal(np.broadcast_to(first, slot.initial.shape), slot.initial):
            raise StateError(f"state {slot.name!r} begins with other values in each row of a batch")
        initial.append(first)
        axes_of.append(axis)
    masked = _with_masks(exposed, {s.name: a for s, a in zip(slots, axes_of, strict=True)}, fixed)
    return Stepped(Session(masked, threads=threads), value, time_axis, tuple(initial), tuple(axes_of), outputs, fixed)


def sole_input(graph: Graph) -> Value:
    """The only input of a network.

    Raises
    ------
    StateError
        It has several, or one of unknown rank or without a batch axis.
    """
    if len(graph.inputs) != 1 or not graph.inputs[0].shape:
        shapes = {v.name: v.shape for v in graph.inputs}
        raise StateError(f"a batcher takes networks with one input that has a batch axis, this one takes {shapes}")
    return graph.inputs[0]


def refuse_lengths(graph: Graph) -> None:
    """Raise where recurrent nodes have lengths or masks of their own, which depend on what came before."""
    for node in graph.nodes:
        if node.op in RECURRENT:
            given = get_operator(node.op).named(node.inputs)  # type: ignore[attr-defined]
            found = [name for name in (LENGTHS, MASK, DROP) if given[name]]
            if found:
                raise StateError(f"{node.label()} has {found[0]} of its own; rows are run whole")


def with_operand(node: Node, operand: str, name: str) -> Node:
    """The recurrent node with `name` as one of its optional operands."""
    operands = get_operator(node.op).operands  # type: ignore[attr-defined]
    at = operands.index(operand)
    inputs = [*node.inputs, *[""] * (at + 1 - len(node.inputs))]
    inputs[at] = name
    return Node(node.op, tuple(inputs), node.outputs, node.attrs, node.name)


def _only_row(name: str, specs: dict[str, TensorSpec], times: dict[str, int]) -> int:
    """Where a batch of one is in an output: the first axis of extent 1 that is not time."""
    for axis, extent in enumerate(specs[name].shape or ()):
        if extent == 1 and axis != times.get(name):
            return axis
    raise StateError(f"output {name!r} has no batch axis")


def _with_masks(graph: Graph, state_axes: dict[str, int], fixed: bool) -> Graph:
    name = "rnnrt.mask"
    nodes = tuple(with_operand(n, MASK, name) if n.op in RECURRENT else n for n in graph.nodes)
    rows = 1 if fixed else None
    x, *states = graph.inputs
    opened = [
        Value(v.name, v.dtype, tuple(rows if i == state_axes[v.name] else d for i, d in enumerate(v.shape or ())))
        for v in states
    ]
    results = [
        Value(v.name, v.dtype) if i >= len(graph.outputs) - len(states) else v for i, v in enumerate(graph.outputs)
    ]
    mask = Value(name, np.dtype(bool), (None, rows))
    return graph.replace(nodes=nodes, inputs=(x, mask, *opened), outputs=tuple(results))
