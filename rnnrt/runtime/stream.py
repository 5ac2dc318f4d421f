"""A stream: a network that is fed piece by piece and owns its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnrt._kernels import program
from rnnrt._kernels.stepper import MAX_OUTPUTS, BusyError, Stepper
from rnnrt.errors import RnnrtError, ShapeError, StateError
from rnnrt.ir import Dim, Graph, Node, Shape, Value
from rnnrt.ops import TensorSpec
from rnnrt.passes import specialise
from rnnrt.passes.expose_state import expose_states
from rnnrt.passes.follow_time import RECURRENT, mixing, time_axes
from rnnrt.plan import Target
from rnnrt.runtime.session import Session

_LENGTHS = (7, 11)
"""Lengths that tell the axis of time by its difference."""


class Stream:
    """Runs a network over a sequence that arrives in pieces; the pieces give what the whole would have given.

    Parameters
    ----------
    graph : Graph
        One input that carries time; recurrent nodes that run forward only.
    batch_size : int
        Sequences side by side.
    target : Target, optional
    threads : int, optional
        As for `Session`.

    Raises
    ------
    StateError
        The network cannot be streamed; the message names the node and the reason.
    """

    def __init__(
        self, graph: Graph, batch_size: int = 1, target: Target | None = None, threads: int | None = None
    ) -> None:
        if len(graph.inputs) != 1 or graph.inputs[0].shape is None:
            raise StateError("a stream takes networks with one input of known rank; feed states yourself with run()")
        value = graph.inputs[0]
        self.time_axis, layouts = _find_time(graph, batch_size)
        shape = _shape_for(value, self.time_axis, batch_size, None)
        short, long = (specs for _, specs in layouts)
        axes = time_axes(layouts[0][0], short, long, _LENGTHS)
        self._output_axes = tuple(axes.get(v.name) for v in graph.outputs)
        known = {
            name: spec.value
            for name, spec in short.items()
            if spec.value is not None and (other := long[name].value) is not None and np.array_equal(spec.value, other)
        }
        fixed, _ = specialise(graph, {value.name: TensorSpec(value.dtype, shape)})
        fixed = fixed.replace(inputs=(Value(value.name, value.dtype, shape),))
        exposed, self._slots = expose_states(fixed, batch_size, known)
        self._n_outputs = len(graph.outputs)
        self._session = Session(exposed, target, threads)
        self._stepper = self._make_stepper(_shape_for(value, self.time_axis, batch_size, 1))
        self._states = self._initial()

    def step(self, x: Any) -> Any:
        """One time step.

        Parameters
        ----------
        x : array_like
            The input without its time axis, such as (batch_size, features).

        Returns
        -------
        ndarray or tuple of ndarray
            The outputs; those that carry time come without that axis.
        """
        if self._stepper is not None:
            try:
                y = self._stepper.step(x)
            except BusyError as error:
                raise StateError(f"{error}; give each thread its own stream") from None
            except program.KernelError as error:
                raise RnnrtError(str(error)) from None
            if y is not None:
                return y
        results = self._advance(np.expand_dims(np.asarray(x), self.time_axis))
        outputs = [
            y if axis is None else y[(slice(None),) * axis + (0,)]
            for y, axis in zip(results, self._output_axes, strict=True)
        ]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def run(self, chunk: Any) -> Any:
        """A chunk of any length, in the network's own layout; the state goes on from the last call."""
        results = self._advance(np.asarray(chunk))
        return results[0] if len(results) == 1 else tuple(results)

    @property
    def output_axes(self) -> tuple[int | None, ...]:
        """For each output of the network the axis that time has in it; None where it has none."""
        return self._output_axes

    def reset(self) -> None:
        """Back to the initial state."""
        self._states = self._initial()

    @property
    def state(self) -> dict[str, np.ndarray]:
        """Copies of the states by name, each (1, batch_size, hidden); assign such a dict to restore them."""
        return {slot.name: array.copy() for slot, array in zip(self._slots, self._states, strict=True)}

    @state.setter
    def state(self, value: Mapping[str, Any]) -> None:
        if set(value) != {slot.name for slot in self._slots}:
            raise StateError(f"the stream's states are {[s.name for s in self._slots]}, got {sorted(value)}")
        arrays = []
        for slot in self._slots:
            array = np.array(value[slot.name], slot.initial.dtype, order="C")
            if array.shape != slot.initial.shape:
                raise ShapeError(f"state {slot.name!r} has shape {slot.initial.shape}, got {array.shape}")
            arrays.append(array)
        self._states = arrays

    def _initial(self) -> list[np.ndarray]:
        return [slot.initial.copy() for slot in self._slots]

    @property
    def _states(self) -> list[np.ndarray]:
        return self._held if self._stepper is None else self._stepper.states

    @_states.setter
    def _states(self, arrays: list[np.ndarray]) -> None:
        self._held = arrays
        if self._stepper is not None:
            self._stepper.set_states(arrays)

    def _advance(self, chunk: np.ndarray) -> list[np.ndarray]:
        results = self._session.run([chunk, *self._states])
        self._states = results[self._n_outputs :]
        return results[: self._n_outputs]

    def _make_stepper(self, shape: Shape) -> Stepper | None:
        """The fast path of `step`, where the plan of one step has shapes that do not depend on data."""
        first = self._session.graph.inputs[0]
        extents = tuple(d for d in shape if isinstance(d, int))
        if len(extents) != len(shape):
            return None
        shapes = {slot.name: slot.initial.shape for slot in self._slots}
        shapes[first.name] = extents
        executor = self._session.executor_for(shapes)
        if executor is None or len(self._output_axes) > MAX_OUTPUTS:
            return None
        outputs = [
            (dtype, tuple(d for i, d in enumerate(full) if i != axis))
            for (dtype, full), axis in zip(executor.output_specs, self._output_axes, strict=False)
        ]
        step_shape = tuple(d for i, d in enumerate(extents) if i != self.time_axis)
        return Stepper(executor, (first.dtype, step_shape), outputs, self._initial())


def stream_obstacles(graph: Graph, batch_size: int = 1) -> tuple[str, ...]:
    """Every reason for which `Stream` refuses a network; empty where it takes it."""
    try:
        Stream(graph, batch_size)
        return ()
    except (StateError, ShapeError) as error:
        first = str(error)
    if len(graph.inputs) != 1 or graph.inputs[0].shape is None:
        return (first,)
    try:
        _, layouts = _find_time(graph, batch_size)
    except StateError:
        return (first,)
    (folded, short), (_, long) = layouts
    return tuple(mixing(folded, short, long, _LENGTHS)) or (first,)


def _shape_for(value: Value, axis: int, batch_size: int, length: int | None) -> Shape:
    shape: list[Dim] = list(value.shape or ())
    shape[1 - axis], shape[axis] = batch_size, length
    return tuple(shape)


def _find_time(graph: Graph, batch_size: int) -> tuple[int, list[tuple[Graph, dict[str, TensorSpec]]]]:
    """Which axis of the input is time, and the graph specialised for two lengths of it.

    Time is the axis that reaches the time of the recurrent nodes; axis 1, Keras's, is tried first where the
    declared shape leaves both free.
    """
    value = graph.inputs[0]
    shape = value.shape or ()
    if len(shape) < 2:
        raise StateError(f"input {value.name!r} has shape {shape}; a stream needs a batch axis and a time axis")
    for axis in (1, 0):
        if isinstance(shape[1 - axis], int) and shape[1 - axis] != batch_size:
            continue
        try:
            made = [
                specialise(graph, {value.name: TensorSpec(value.dtype, _shape_for(value, axis, batch_size, n))})
                for n in _LENGTHS
            ]
        except ShapeError:
            continue
        short, long = (specs for _, specs in made)
        recurrent = [node for node in made[0][0].nodes if node.op in RECURRENT]
        if not recurrent:
            raise StateError("the network has no recurrent node whose state could be kept")
        if all(_runs_along(node, short, long) for node in recurrent):
            return axis, made
    raise StateError(f"the time axis of input {value.name!r} of shape {shape} was not found for batch {batch_size}")


def _runs_along(node: Node, short: Mapping[str, TensorSpec], long: Mapping[str, TensorSpec]) -> bool:
    """Whether the time axis of a recurrent node's input grows with the sequence."""
    a, b = short[node.inputs[0]].shape, long[node.inputs[0]].shape
    at = int(node.attrs.get("layout", 0))
    return a is not None and b is not None and a[at] != b[at]
